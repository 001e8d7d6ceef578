"""The steps from what exists in Google Cloud to what a deployment needs, as values. Pure.

`deploy --status` prints them, and `reconcile.py` carries them out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from builder.deploy.names import is_our_function, is_our_job, is_our_topic, owner_of
from builder.deploy.refusals import foreign
from builder.deploy.resources import (
    Resources,
    Status,
    function_differences,
    is_bound,
    job_differences,
    subscription_missing,
    uses_topic,
)
from builder.deploy_ports import FunctionState, JobState

Stage = Literal["topic", "function", "invoker binding", "schedule"]
Action = Literal["wait for", "create", "update", "delete", "bind"]
Kind = Literal["topic", "function", "invoker", "schedule"]

STAGES: tuple[Stage, ...] = ("topic", "function", "invoker binding", "schedule")
REMOVAL_STAGES: tuple[Stage, ...] = ("schedule", "function", "topic")
# 6 is DETACHING, which the client library knows only by its number.
_BUSY = frozenset({"DEPLOYING", "DELETING", "DETACHING", "6"})
_PAST = {
    "wait for": "awaited",
    "create": "created",
    "update": "updated",
    "delete": "deleted",
    "bind": "bound",
}


@dataclass(frozen=True)
class Step:
    """One change of one resource, or a wait for a change that somebody else has begun.

    `paths` is the mask of an update. `reason` completes a sentence about the resource: why it is replaced or awaited.
    """

    stage: Stage
    action: Action
    kind: Kind
    name: str
    paths: tuple[str, ...] = ()
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.action} {self.kind} {self.name}{self._mask()}{self._why()}"

    @property
    def done(self) -> str:
        """The step after it was carried out: `topic news created`."""
        return f"{self.kind} {self.name} {_PAST[self.action]}"

    @property
    def log_line(self) -> str:
        """`done`, with the mask of an update, and the reason."""
        return self.done + self._mask() + self._why()

    def _why(self) -> str:
        return f", which {self.reason}" if self.reason else ""

    def _mask(self) -> str:
        return f" ({', '.join(self.paths)})" if self.paths else ""


def steps(status: Status, desired: Resources) -> tuple[Step, ...]:
    """The steps from `status` to `desired`, in order; empty if nothing has to change.

    Raises ProjectSetup if a resource that is not ours has a name that `desired` needs.
    """
    return tuple(_removal(status, desired) if desired.function is None else _deployment(status, desired))


def is_busy(function: FunctionState | None) -> bool:
    """True if a change of the function is under way, so that it takes no other one."""
    return function is not None and function.state in _BUSY


def _deployment(status: Status, desired: Resources) -> Iterator[Step]:
    names, spec, function = desired.names, desired.function, status.function
    if spec is None:
        raise AssertionError
    _refuse_foreign(status, desired)
    cut_off = subscription_missing(status, names)
    if cut_off:
        # Before the topic is created: after a crash in between, the topic or the function is still missing.
        reason = "has no subscription because its topic was deleted"
        yield Step("topic", "delete", "function", names.function, reason=reason)
    if status.topic is None:
        yield Step("topic", "create", "topic", names.topic)
    busy = is_busy(function)
    moved = function is not None and not busy and not uses_topic(function, names)
    if moved:
        reason = "receives the messages of another topic"
        yield Step("function", "delete", "function", names.function, reason=reason)
    if function is None or cut_off or moved:
        yield Step("function", "create", "function", names.function)
    elif busy:
        yield Step("function", "wait for", "function", names.function, reason=f"is {function.state}")
    elif paths := function_differences(function, spec):
        yield Step("function", "update", "function", names.function, paths)
    if cut_off or moved or status.policy is None or not is_bound(status.policy, spec.invoker):
        yield Step("invoker binding", "bind", "invoker", spec.config.trigger_account)
    yield from _schedule(status.job, desired)


def _schedule(current: JobState | None, desired: Resources) -> Iterator[Step]:
    name = desired.names.function
    if desired.job is None:
        if current is not None and is_our_job(current, desired.names):
            paused = (
                "is paused; a schedule that replaces it starts enabled" if current.state == "PAUSED" else ""
            )
            yield Step("schedule", "delete", "schedule", name, reason=paused)
    elif current is None:
        yield Step("schedule", "create", "schedule", name)
    elif current.target != "pubsub":
        reason = f"calls {current.target} instead of Pub/Sub"
        yield Step("schedule", "delete", "schedule", name, reason=reason)
        yield Step("schedule", "create", "schedule", name)
    elif paths := job_differences(current, desired.job):
        yield Step("schedule", "update", "schedule", name, paths)


def _removal(status: Status, desired: Resources) -> Iterator[Step]:
    names = desired.names
    yield from _schedule(status.job, desired)
    if status.function is not None and is_our_function(status.function, names):
        if is_busy(status.function):
            reason = f"is {status.function.state}"
            yield Step("function", "wait for", "function", names.function, reason=reason)
        yield Step("function", "delete", "function", names.function)
    if status.topic is not None and is_our_topic(status.topic, names) and not status.topic.subscriptions:
        yield Step("topic", "delete", "topic", names.topic)


def _refuse_foreign(status: Status, desired: Resources) -> None:
    names = desired.names
    if status.function is not None and not is_our_function(status.function, names):
        raise foreign("function", names.function_path, "NB_FUNCTION", owner_of(status.function))
    if desired.job is not None and status.job is not None and not is_our_job(status.job, names):
        raise foreign("Cloud Scheduler job", names.job_path, "NB_FUNCTION")


def remark(stage: Stage, status: Status, desired: Resources) -> str:
    """Return a message about a resource that a finished stage leaves as it is; "" if users need none."""
    names, topic, function, job = desired.names, status.topic, status.function, status.job
    removed = desired.function is None
    foreign_job = job is not None and not is_our_job(job, names)
    if stage == "schedule" and foreign_job and desired.job is None:
        return f"schedule {names.function} was not made by this deployment and stays"
    if stage == "schedule" and job is not None and job.state == "PAUSED" and not removed:
        command = f"gcloud scheduler jobs resume {names.function} --location={names.region}"
        return f"schedule {names.function} stays paused; to resume it: {command}"
    if stage == "schedule" and job is not None and job.state == "DISABLED" and not removed:
        command = f"gcloud scheduler jobs delete {names.function} --location={names.region}"
        return (
            f"schedule {names.function}: Cloud Scheduler has disabled it after an error, so nothing runs. Find the cause in the "
            f"schedule's log, delete the schedule ({command}), and deploy again"
        )
    if removed and stage == "function" and function is not None and not is_our_function(function, names):
        return f"function {names.function} was not made by this deployment and stays"
    if removed and stage == "topic" and topic is not None:
        why = "has other subscriptions" if is_our_topic(topic, names) else "was not made by this deployment"
        return f"topic {names.topic} {why} and stays"
    return ""
