"""Topic, function, who may invoke it, schedule: each is looked at, and only what is missing or differs is written.

So a deployment that was killed anywhere, or whose calls failed, is repaired by the next one; and where all is as it should
be, nothing is written at all. What is not ours is never touched.
"""

from __future__ import annotations

from collections.abc import Callable

from builder.deploy.converge_function import put_function, remove_function, replace_function
from builder.deploy.names import Names, is_our_function, is_our_job, is_our_topic, owner_of
from builder.deploy.ports import Doors, FunctionState, JobState
from builder.deploy.refusals import contested, foreign
from builder.deploy.resources import Resources, Status, is_bound, is_deaf, job_differences, with_member
from builder.deploy.work import Change, Work
from builder.ports import CallFailed

__all__ = ["Change", "converge", "look", "put_schedule", "remove", "remove_topic"]

_TRIES = 10
_PAUSE = 2.0
_NOT_FOUND, _CONFLICT, _OUTDATED = 404, 409, 412
_STEPS = ("topic", "function", "invoker binding", "schedule")

Say = Callable[[str], None]


def look(names: Names, doors: Doors) -> Status:
    """What there is of a deployment. It changes nothing; raises CallFailed."""
    function = doors.functions.get(names.function_path)
    return Status(
        topic=doors.topics.get(names.topic_path),
        function=function,
        policy=doors.services.policy(_service(function, names)) if function else None,
        job=doors.schedules.get(names.job_path),
    )


def converge(desired: Resources, doors: Doors, say: Say, *, schedule: bool = True) -> tuple[Change, ...]:
    """Make everything as desired, the schedule last or not at all; the changes that were made, none where nothing had to be.

    Raises ProjectSetup (4) for what is not ours, permissions, and a function that does not build; EnvironmentFailed (6) where
    Google fails for long. Both say what was done before and what was not.
    """
    work = Work(desired.names, doors, say)
    with work.telling(_STEPS):
        status = look(desired.names, doors)
        _refuse_foreign(status, desired)
    with work.telling(_STEPS):
        if is_deaf(status, desired.names):
            # First, so that whoever goes on after a crash sees the topic missing still, or the function.
            work.say(
                f"function {desired.names.function} hears nothing: its topic was deleted; it is made anew"
            )
            replace_function(work)
        if status.topic is None:
            _put_topic(work)
    with work.telling(_STEPS[1:]):
        function = put_function(work, desired.function)
    with work.telling(_STEPS[2:]):
        _bind(work, _service(function, desired.names), desired.invoker)
    if schedule:
        with work.telling(_STEPS[3:]):
            _put_schedule(work, desired)
    return tuple(work.changes)


def put_schedule(desired: Resources, doors: Doors, say: Say) -> tuple[Change, ...]:
    """Make the schedule as desired, and nothing else. Raises as `converge` does."""
    work = Work(desired.names, doors, say)
    with work.telling(_STEPS[3:]):
        _put_schedule(work, desired)
    return tuple(work.changes)


def remove(names: Names, doors: Doors, say: Say, *, keep_topic: bool = False) -> tuple[Change, ...]:
    """Delete schedule, function and topic, each only if it is ours; the changes that were made. Raises as `converge` does."""
    work = Work(names, doors, say)
    left = ("schedule", "function", *(() if keep_topic else ("topic",)))
    with work.telling(left):
        status = look(names, doors)
        if status.job is not None and _is_ours(work, "schedule", ours=is_our_job(status.job, names)):
            _remove_schedule(work)
    with work.telling(left[1:]):
        function = status.function
        if function is not None and _is_ours(work, "function", ours=is_our_function(function, names)):
            remove_function(work)
    if not keep_topic:
        with work.telling(left[2:]):
            _remove_topic(work)
    return tuple(work.changes)


def remove_topic(names: Names, doors: Doors, say: Say) -> tuple[Change, ...]:
    """Delete a topic that the function hears no longer, if it is ours and nobody else hears it."""
    work = Work(names, doors, say)
    with work.telling(("topic",)):
        _remove_topic(work)
    return tuple(work.changes)


def _remove_topic(work: Work) -> None:
    names = work.names
    topic = work.doors.topics.get(names.topic_path)
    if topic is None or not _is_ours(work, "topic", ours=is_our_topic(topic, names)):
        return
    if topic.subscriptions:
        work.say(f"topic {names.topic} is heard by others, and stays")
    elif work.doors.topics.delete(names.topic_path):
        work.changed(Change("topic", names.topic, "deleted"))


def _is_ours(work: Work, kind: str, *, ours: bool) -> bool:
    if not ours:
        name = work.names.topic if kind == "topic" else work.names.function
        work.say(f"{kind} {name} was not made by this deployment, and stays")
    return ours


def _refuse_foreign(status: Status, desired: Resources) -> None:
    names = desired.names
    if status.function is not None and not is_our_function(status.function, names):
        raise foreign("function", names.function_path, "NB_FUNCTION", owner_of(status.function))
    if desired.job is not None and status.job is not None and not is_our_job(status.job, names):
        raise foreign("Cloud Scheduler job", names.job_path, "NB_FUNCTION")


def _service(function: FunctionState | None, names: Names) -> str:
    return (function.service if function else "") or names.service_path


def _put_topic(work: Work) -> None:
    names = work.names
    try:
        work.doors.topics.create(names.topic_path, names.labels)
    except CallFailed as failure:
        if failure.http_status != _CONFLICT:
            raise
        if not failure.repeated:
            return  # somebody else's, made this moment: it will do
    work.changed(Change("topic", names.topic, "created"))


def _bind(work: Work, service: str, member: str) -> None:
    """Let the trigger's account invoke the function: Google does not do that by itself."""
    bound = Change("invoker", member.partition(":")[2], "bound")
    asked = False
    for _ in range(_TRIES):
        policy = work.doors.services.policy(service)
        if policy is not None and is_bound(policy, member):
            if asked:
                work.changed(bound)
            return
        if policy is not None:
            asked = True
            try:
                work.doors.services.set_policy(service, with_member(policy, member))
            except CallFailed as failure:
                if failure.http_status not in {_CONFLICT, _OUTDATED}:
                    raise
            else:
                work.changed(bound)
                return
        work.doors.clock.sleep(_PAUSE)
    raise contested(f"The access policy of {service}")


def _put_schedule(work: Work, desired: Resources) -> None:
    for _ in range(_TRIES):
        found = work.doors.schedules.get(work.names.job_path)
        if _schedule_is_put(work, desired, found):
            return
        work.doors.clock.sleep(_PAUSE)
    raise contested(f"The schedule {work.names.job_path}")


def _schedule_is_put(work: Work, desired: Resources, found: JobState | None) -> bool:
    """One try, after a look; False: look again."""
    name, wanted = work.names.function, desired.job
    if found is not None and not is_our_job(found, work.names):
        if wanted is not None:
            raise foreign("Cloud Scheduler job", work.names.job_path, "NB_FUNCTION")
        work.say(f"schedule {name} was not made by this deployment, and stays")
        return True
    if wanted is None:
        if found is not None:
            _remove_schedule(work)
        return True
    if found is None:
        return _create_schedule(work, desired)
    if found.target != "pubsub":
        work.say(f"schedule {name} calls {found.target} instead of Pub/Sub: it is made anew")
        _remove_schedule(work)
        return False
    paths = job_differences(found, wanted)
    if paths:
        try:
            work.doors.schedules.update(work.names.job_path, wanted, mask=paths)
        except CallFailed as failure:
            if failure.http_status == _NOT_FOUND:
                return False
            raise
        work.changed(Change("schedule", name, "updated", paths))
    _say_if_resting(work, found)
    return True


def _create_schedule(work: Work, desired: Resources) -> bool:
    if desired.job is None:
        raise AssertionError
    try:
        work.doors.schedules.create(work.names.job_path, desired.job)
    except CallFailed as failure:
        if failure.http_status != _CONFLICT:
            raise
        if not failure.repeated:
            return False
    work.changed(Change("schedule", work.names.function, "created"))
    return True


def _remove_schedule(work: Work) -> None:
    if work.doors.schedules.delete(work.names.job_path):
        work.changed(Change("schedule", work.names.function, "deleted"))


def _say_if_resting(work: Work, job: JobState) -> None:
    names = work.names
    if job.state == "PAUSED":
        work.say(
            f"schedule {names.function} is paused and stays so; "
            f"gcloud scheduler jobs resume {names.function} --location={names.region}"
        )
    elif job.state == "DISABLED":
        work.say(f"schedule {names.function} was disabled by Google, and does not run")
