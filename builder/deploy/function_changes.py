"""Changes of the Cloud Function, which take minutes: each begins an operation, and the operation is waited for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

from builder.deploy.refusals import is_setting_up
from builder.deploy.resources import SOURCE_PATH, Resources, updated_config
from builder.deploy.steps import Step, is_busy
from builder.deploy_ports import Clients, FunctionOperation, FunctionState
from builder.ports import CallFailed
from builder.waiting import poll

T = TypeVar("T")

POLL_SECONDS = 5.0
_DEADLINE = 1200.0  # seconds for one operation; Google's take about two minutes, and its builds at most ten
_REFUSED = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN})
_PERMISSION_DENIED = 7  # of google.rpc.Code


@dataclass(frozen=True)
class FunctionChanges:
    """Changes the function of a deployment. Its methods raise CallFailed, and WaitTimeout after 20 minutes."""

    desired: Resources
    clients: Clients
    log: Callable[[str], None]

    def carry_out(self, step: Step, current: FunctionState | None) -> FunctionOperation | None:
        """The operation of the step at its end; None if there is no function to delete any more.

        Google checks its own accounts within the call, too. If the agent of Eventarc or of Cloud Functions has no role
        yet, the result is a failed operation.
        """
        try:
            started = self._start(step, current)
        except CallFailed as failure:
            if failure.http_status in _REFUSED and is_setting_up(failure.message):
                return FunctionOperation("", done=True, code=_PERMISSION_DENIED, message=failure.message)
            raise
        return None if started is None else self._finish(started)

    def wait_until_settled(self) -> None:
        """Wait until no change of the function is under way."""
        path = self.desired.names.function_path

        def settled() -> bool | None:
            return None if is_busy(self.clients.functions.get(path)) else True

        self._poll(settled, f"The deployment of {path} that is under way")

    def _start(self, step: Step, current: FunctionState | None) -> FunctionOperation | None:
        functions, names, spec = self.clients.functions, self.desired.names, self.desired.function
        if step.action == "delete":
            return functions.delete(names.function_path)
        if spec is None:
            raise AssertionError
        self.log(f"function {names.function}: deploying, which takes about two minutes")
        if current is None:
            source = functions.upload(names.location, spec.zip)
            return functions.create(names.function_path, spec.config, source)
        new_source = functions.upload(names.location, spec.zip) if SOURCE_PATH in step.paths else None
        config = updated_config(current, spec, step.paths)
        return functions.update(names.function_path, config, new_source, mask=step.paths)

    def _finish(self, started: FunctionOperation) -> FunctionOperation:
        """The operation at its end. The address of the build's log is logged once, as soon as it is known."""
        latest, logged = started, False

        def ended() -> FunctionOperation | None:
            nonlocal latest, logged
            if not latest.done:
                latest = self.clients.functions.operation(started.name)
            if latest.log_url and not logged:
                logged = True
                self.log(f"function {self.desired.names.function}: build log {latest.log_url}")
            return latest if latest.done else None

        return self._poll(ended, f"The deployment {started.name}")

    def _poll(self, check: Callable[[], T | None], what: str) -> T:
        return poll(check, what=what, interval=POLL_SECONDS, deadline=_DEADLINE, clock=self.clients.clock)
