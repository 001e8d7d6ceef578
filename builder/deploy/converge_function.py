"""The function made as it is to be, whatever an earlier deployment left: looked at first, waited for, and looked at again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from builder.act.waiting import poll
from builder.deploy.names import is_our_function, owner_of
from builder.deploy.ports import FunctionOperation, FunctionState
from builder.deploy.refusals import (
    contested,
    deployment_failed,
    deployment_passing,
    foreign,
    is_setting_up,
)
from builder.deploy.resources import (
    EVERY_PATH,
    SOURCE_PATH,
    FunctionSpec,
    function_differences,
    is_fed,
    updated_config,
)
from builder.deploy.work import Change, Work
from builder.ports import CallFailed

_DEADLINE = 1200.0  # seconds for one deployment; Google's own take two minutes, their builds at the most ten
_LOOK = 5.0
_SETTING_UP = (
    60.0  # seconds between two tries while Eventarc's agent gets its role; Google says "a few minutes"
)
_MOST_SETTING_UP = 10  # such waits
_ROUNDS = 5  # looks, each followed by a try, before somebody else is to blame
_BUSY = frozenset({"DEPLOYING", "DELETING", "DETACHING", "6"})  # 6: what the library calls DETACHING
_CONFLICT = 409
_REFUSED = frozenset({400, 403})
_NOT_FOUND, _ALREADY_EXISTS, _PERMISSION_DENIED = 5, 6, 7
# DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, INTERNAL, UNAVAILABLE
_PASSING = frozenset({4, 8, 10, 13, 14})


def put_function(work: Work, spec: FunctionSpec) -> FunctionState:
    """Create or change the function until it is so, and return it. Raises BuilderError, CallFailed and WaitTimeout."""
    asked: Change | None = None  # what an earlier round asked for, its end not seen
    ended: FunctionOperation | None = None
    rounds = waits = 0
    while rounds < _ROUNDS:
        found = settled(work)
        if found is not None and not is_fed(found, work.names):
            work.say(
                f"function {work.names.function} hears another topic: it is made anew, and hears no message until then"
            )
            replace_function(work)
            found = None
        if found is not None and not function_differences(found, spec):
            if asked:
                work.changed(asked)
            work.replacing = False
            return found
        asked = asked if asked and asked.action == "created" else _change(work, found, spec)
        started = _started(work, partial(_ask, work, found, spec))
        ended = _finished(work, started) if started else None
        if ended and not ended.code:
            work.changed(asked)
            if made := settled(work):
                work.replacing = False
                return made
        new = ended is not None and is_setting_up(ended.message) and waits < _MOST_SETTING_UP
        if ended and ended.code not in _PASSING | {0, _ALREADY_EXISTS} and not new:
            raise _failed(work, ended, before=found)
        if new:
            work.say(f"Google is still setting up Eventarc in this project: waiting {_SETTING_UP:.0f} s")
            waits += 1
        else:
            rounds += 1
        work.doors.clock.sleep(_SETTING_UP if new else _LOOK)
    raise (
        deployment_passing(work.names.function, ended, _ROUNDS)
        if ended
        else contested(f"The function {work.names.function}")
    )


def replace_function(work: Work) -> None:
    """Delete the function, which `put_function` is to make anew. Raises as that does."""
    work.replacing = True
    remove_function(work)


def remove_function(work: Work) -> None:
    """Delete the function, which must be ours, and see it gone. Raises as `put_function` does."""
    path, name = work.names.function_path, work.names.function
    asked = False
    for _ in range(_ROUNDS):
        if settled(work) is None:
            if asked:
                work.changed(Change("function", name, "deleted"))
            return
        asked = True
        started = _started(work, partial(work.doors.functions.delete, path))
        ended = _finished(work, started) if started else None
        if ended and ended.code not in _PASSING | {0, _NOT_FOUND}:
            raise _failed(work, ended, before=None)
        if ended and ended.code:
            work.doors.clock.sleep(_LOOK)
    raise contested(f"The function {name}")


def settled(work: Work) -> FunctionState | None:
    """The function once no deployment of it is under way; None if there is none. Raises ProjectSetup if it is not ours."""
    path = work.names.function_path
    told: list[str] = []

    def look() -> tuple[FunctionState | None] | None:
        found = work.doors.functions.get(path)
        if found is None or found.state not in _BUSY:
            return (found,)
        if found.state not in told:
            told.append(found.state)
            work.say(f"function {work.names.function} is {found.state}: waiting for that to end")
        return None

    what = f"The deployment of {path} that is under way"
    (found,) = poll(look, what=what, interval=_LOOK, deadline=_DEADLINE, clock=work.doors.clock)
    if found is not None and not is_our_function(found, work.names):
        raise foreign("function", path, "NB_FUNCTION", owner_of(found))
    return found


def _change(work: Work, found: FunctionState | None, spec: FunctionSpec) -> Change:
    if found is None:
        return Change("function", work.names.function, "created")
    return Change("function", work.names.function, "updated", function_differences(found, spec))


def _ask(work: Work, found: FunctionState | None, spec: FunctionSpec) -> FunctionOperation:
    functions, names = work.doors.functions, work.names
    work.say(f"function {names.function}: deploying; that takes some two minutes")
    mask = EVERY_PATH if found is None else function_differences(found, spec)
    source = functions.upload(names.location, spec.zip) if SOURCE_PATH in mask else None
    if found is not None:
        return functions.update(names.function_path, updated_config(found, spec, mask), source, mask=mask)
    if source is None:
        raise AssertionError
    return functions.create(names.function_path, spec.config, source)


def _started(work: Work, ask: Callable[[], FunctionOperation | None]) -> FunctionOperation | None:
    """The operation that was asked for; None where Google has another one of the same function under way, or no function.

    Google checks the trigger in the call, too: a refusal because Eventarc's agent has no role yet is an operation that failed.
    """
    try:
        return ask()
    except CallFailed as failure:
        if failure.http_status in _REFUSED and is_setting_up(failure.message):
            return FunctionOperation("", done=True, code=_PERMISSION_DENIED, message=failure.message)
        if failure.http_status != _CONFLICT:
            raise
        work.say(f"function {work.names.function} is busy: {failure.message}")
        return None


def _finished(work: Work, started: FunctionOperation) -> FunctionOperation:
    """The operation at its end. The build's log is told once, as soon as it is known."""
    latest, told = started, ""

    def look() -> FunctionOperation | None:
        nonlocal latest, told
        if not latest.done:
            latest = work.doors.functions.operation(started.name)
        if latest.log_url and not told:
            told = latest.log_url
            work.say(f"function {work.names.function}: build log {told}")
        return latest if latest.done else None

    what = f"The deployment {started.name}"
    return poll(look, what=what, interval=_LOOK, deadline=_DEADLINE, clock=work.doors.clock)


def _failed(work: Work, ended: FunctionOperation, *, before: FunctionState | None) -> Exception:
    now = work.doors.functions.get(work.names.function_path)
    live = before is not None and before.state == "ACTIVE"
    return deployment_failed(
        work.names.function, ended, now.problems if now else (), live=live, caller=work.caller()
    )
