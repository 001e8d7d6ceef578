"""Carries out the steps of `steps.py`: look, take the first step, look again, until no step of the stage is left.

So a deployment that was killed anywhere, or whose calls failed, is completed by the next one, and a deployment that
finds everything as desired writes nothing. A stage that is over is not looked at again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus

from builder.deploy.function_changes import POLL_SECONDS, FunctionChanges
from builder.deploy.names import Names
from builder.deploy.refusals import (
    call_refused,
    contested,
    deployment_failed,
    deployment_kept_failing,
    is_build_failure,
    is_setting_up,
    operation_timed_out,
    with_progress,
)
from builder.deploy.resources import Resources, Status, with_member
from builder.deploy.steps import STAGES, Stage, Step, remark, steps
from builder.deploy_ports import Clients, FunctionOperation
from builder.errors import BuilderError
from builder.ports import CallFailed
from builder.waiting import WaitTimeout

_TRIES = 5  # writes in one stage; others may overtake them, and faults of Google may end them
# While Google's agents get their roles, which takes "a few minutes" (Google), `deploy` tries again after so many
# seconds.
_SETTING_UP = 60.0
_MAX_SETTING_UP = 10
_OVERTAKEN = frozenset({HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED})
# Values of google.rpc.Code.
_NOT_FOUND, _ALREADY_EXISTS = 5, 6
# DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, INTERNAL, UNAVAILABLE
_TRANSIENT = frozenset({4, 8, 10, 13, 14})


class _Result(Enum):
    """The end of a step."""

    DONE = auto()
    WAITED = auto()  # nothing was written
    OVERTAKEN = auto()  # somebody else changed the resource first
    UNKNOWN = auto()  # the write may have had its effect: the next look shows it


def look(names: Names, clients: Clients) -> Status:
    """The current resources of a deployment. Raises CallFailed."""
    function = clients.functions.get(names.function_path)
    return Status(
        topic=clients.topics.get(names.topic_path),
        function=function,
        policy=clients.services.policy(function.service or names.service_path) if function else None,
        job=clients.schedules.get(names.job_path),
    )


def caller_of(clients: Clients) -> str:
    """The address of the account that deploys; "" if Google does not tell it."""
    try:
        return clients.project.caller()
    except CallFailed:
        return ""


@contextmanager
def progress(
    clients: Clients, changes: Sequence[Step], left: Sequence[str], consequence: Callable[[], str]
) -> Iterator[None]:
    """Add to an error what was done before it, what is left, and the consequence.

    Raises BuilderError for CallFailed and WaitTimeout.
    """

    def extended(error: BuilderError) -> BuilderError:
        return with_progress(error, [step.done for step in changes], left, consequence())

    try:
        yield
    except CallFailed as failure:
        raise extended(call_refused(failure, caller_of(clients))) from failure
    except WaitTimeout as timeout:
        raise extended(operation_timed_out(timeout)) from timeout
    except BuilderError as error:
        raise extended(error) from error


def reconcile(
    desired: Resources,
    clients: Clients,
    log: Callable[[str], None],
    stages: Sequence[Stage] = STAGES,
    *,
    later: Sequence[str] = (),
) -> tuple[Step, ...]:
    """Carry out the steps of these stages, one stage after the other. Returns the steps that changed something.

    Raises ProjectSetup (4) for a foreign resource, a missing permission, and a function that does not build;
    EnvironmentFailed (6) if Google keeps failing. Both say what was done and what was not: the stages left, and
    `later`.
    """
    work = _Reconciliation(desired, clients, log)
    for number, stage in enumerate(stages):
        with progress(clients, work.changes, (*stages[number:], *later), work.consequence):
            work.complete(stage)
    return tuple(work.changes)


@dataclass
class _Reconciliation:
    """One deployment under way. `changes` grows with each write."""

    desired: Resources
    clients: Clients
    log: Callable[[str], None]
    changes: list[Step] = field(default_factory=list)
    _status: Status | None = None  # None: look again
    _ended: FunctionOperation | None = None  # the last operation that one of Google's faults ended
    _setting_up: int = 0
    _build_failed: bool = False

    def __post_init__(self) -> None:
        self._function = FunctionChanges(self.desired, self.clients, self.log)

    def consequence(self) -> str:
        """The consequence for users if the reconciliation ends here."""
        last = [step.action for step in self.changes if step.kind == "function"][-1:]
        replaced = self.desired.function is not None and last == ["delete"]
        return "The function is gone: nothing runs before a deploy succeeds." if replaced else ""

    def complete(self, stage: Stage) -> None:
        """Carry out the steps of a stage until none is left. Raises BuilderError, CallFailed and WaitTimeout."""
        unknown: Step | None = None
        accepted = False
        tries = 0
        while True:
            status = self._status = self._status or look(self.desired.names, self.clients)
            step = next((one for one in steps(status, self.desired) if one.stage == stage), None)
            if unknown and not (step and step.action in {unknown.action, "wait for"}):
                self._changed(unknown)
                unknown = None
            # After a write that Google accepted, a difference is a newer deployment's, or Google's way to write the
            # same value.
            if step is None or (accepted and step.action in {"update", "bind"}):
                if text := remark(stage, status, self.desired):
                    self.log(text)
                return
            if tries == _TRIES:
                raise self._given_up(stage)
            self._status = None
            result = self._carry_out(step, status)
            tries += result is not _Result.WAITED
            if result is _Result.DONE:
                self._changed(step)
                unknown, accepted = None, step.action != "delete"
            elif result is not _Result.WAITED:
                unknown = step if result is _Result.UNKNOWN else unknown
                self.clients.clock.sleep(POLL_SECONDS)

    def _given_up(self, stage: Stage) -> BuilderError:
        name = self.desired.names.function
        if self._ended:
            return deployment_kept_failing(name, self._ended, _TRIES)
        return contested(f"the {stage} of deployment {name}")

    def _changed(self, step: Step) -> None:
        self.changes.append(step)
        self.log(step.log_line)

    def _carry_out(self, step: Step, status: Status) -> _Result:
        self._ended = None
        if step.action == "wait for":
            self.log(f"{step.kind} {step.name} {step.reason}: waiting for that to end")
            self._function.wait_until_settled()
            return _Result.WAITED
        if step.reason:
            self.log(f"{step.kind} {step.name} {step.reason}: deleting it and creating it again")
        try:
            if step.kind == "function":
                return self._change_function(step, status)
            return self._write(step, status)
        except CallFailed as failure:
            gone = failure.http_status == HTTPStatus.NOT_FOUND and step.kind == "schedule"
            if not gone and failure.http_status not in _OVERTAKEN:
                raise
            if step.kind == "function":
                self.log(f"function {step.name} is busy: {failure.message}")
            return _Result.UNKNOWN if failure.repeated else _Result.OVERTAKEN

    def _write(self, step: Step, status: Status) -> _Result:
        """Change a resource that Google changes within the call."""
        names, clients, job = self.desired.names, self.clients, self.desired.job
        found = True
        match step.kind, step.action:
            case "topic", "create":
                clients.topics.create(names.topic_path, names.labels)
            case "topic", _:
                found = clients.topics.delete(names.topic_path)
            case "schedule", "delete":
                found = clients.schedules.delete(names.job_path)
            case "schedule", "create" if job:
                clients.schedules.create(names.job_path, job)
            case "schedule", _ if job:
                clients.schedules.update(names.job_path, job, mask=step.paths)
            case _:
                found = self._bind(status)
        return _Result.DONE if found else _Result.OVERTAKEN

    def _bind(self, status: Status) -> bool:
        """Let the trigger's account invoke the function, which Google does not do by itself.

        False if it has no service yet.
        """
        spec, function = self.desired.function, status.function
        if spec is None or function is None or status.policy is None:
            return False
        self.clients.services.set_policy(
            function.service or self.desired.names.service_path, with_member(status.policy, spec.invoker)
        )
        return True

    def _change_function(self, step: Step, status: Status) -> _Result:
        """Change the function, and wait for the end of the operation.

        Raises ProjectSetup if Google refuses the change for good.
        """
        ended = self._function.carry_out(step, status.function)
        if ended is None:
            return _Result.UNKNOWN
        if not ended.code:
            return _Result.DONE
        if is_setting_up(ended.message) and self._setting_up < _MAX_SETTING_UP:
            self._setting_up += 1
            self.log(
                f"Google is still setting up Cloud Functions and Eventarc in this project: waiting {_SETTING_UP:.0f} s"
            )
            self.clients.clock.sleep(_SETTING_UP)
            return _Result.WAITED
        if is_build_failure(ended.message):
            # A grant to the account of the build can still be on its way.
            if step.action == "create" and not self._build_failed:
                self._build_failed = True
                self.log(
                    f"function {step.name}: trying once more, since its first build failed: {ended.message}"
                )
                self.clients.clock.sleep(_SETTING_UP)
                return _Result.WAITED
        elif ended.code in _TRANSIENT or ended.code == (
            _NOT_FOUND if step.action == "delete" else _ALREADY_EXISTS
        ):
            self._ended = ended
            return _Result.UNKNOWN
        now = self.clients.functions.get(self.desired.names.function_path)
        live = step.action == "update" and status.function is not None and status.function.state == "ACTIVE"
        problems = now.problems if now else ()
        raise deployment_failed(step.name, ended, problems, live=live, caller=caller_of(self.clients))
