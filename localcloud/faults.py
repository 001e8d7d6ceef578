"""Fault plans: what shall go wrong, on which calls, how often; and whether it did."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from localcloud import method_ids

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Json = dict[str, Any]

GENERIC_ACTIONS = frozenset({"error", "drop_before", "drop_after", "error_after", "delay", "stall"})


@dataclass(frozen=True)
class Fault:
    """One fault that is due on one call."""

    action: str
    args: Mapping[str, Any]
    method: str

    @property
    def generic(self) -> bool:
        """Whether the server applies it, whatever the service."""
        return self.action in GENERIC_ACTIONS


@dataclass(frozen=True)
class _Form:
    """What an action accepts: the methods it acts on (None for every call of an API), and its arguments with their types."""

    methods: tuple[str, ...] | None
    required: Mapping[str, type | tuple[type, ...]]
    optional: Mapping[str, type | tuple[type, ...]]


_NUMBER = (int, float)
_ERROR = _Form(None, {"status": int}, {"reason": str, "message": str, "details": list})
_LIFE = _Form(("vm.life",), {}, {"after": _NUMBER, "at": str})
_PREEMPTION = _Form(("vm.life",), {}, {"after": _NUMBER, "at": str, "notice": _NUMBER})
_WRITES = ("storage.objects.insert",)

_ACTIONS: Mapping[str, _Form] = {
    "error": _ERROR,
    "error_after": _ERROR,
    "drop_before": _Form(None, {}, {}),
    "drop_after": _Form(None, {}, {}),
    "delay": _Form(None, {"seconds": _NUMBER}, {}),
    "stall": _Form(None, {"seconds": _NUMBER}, {}),
    "operation_error": _Form(
        (
            "compute.instances.insert",
            "compute.instances.delete",
            "cloudfunctions.projects.locations.functions.create",
            "cloudfunctions.projects.locations.functions.patch",
            "cloudfunctions.projects.locations.functions.delete",
        ),
        {"code": str},
        {
            "message": str,
            "http_status": int,
            "http_message": str,
            "visible_instance": bool,
            "stage": str,
        },
    ),
    "idle": _Form(("vm.boot",), {}, {}),
    "exit": _Form(("vm.boot",), {"code": int}, {}),
    "slow": _Form(("vm.boot",), {"seconds": _NUMBER}, {}),
    "gpus": _Form(("vm.boot",), {"count": int}, {}),
    "vanish": _LIFE,
    "preempt": _PREEMPTION,
    "stop": _LIFE,
    "corrupt": _Form(_WRITES, {}, {}),
    "truncate": _Form(_WRITES, {"bytes": int}, {}),
    "lose": _Form(_WRITES, {}, {}),
    "duplicate": _Form(("pubsub.subscriptions.push",), {}, {"copies": int, "after": _NUMBER}),
    "update_failed": _Form(
        ("cloudscheduler.projects.locations.jobs.patch",), {}, {"status": int, "message": str}
    ),
}

_DEFAULTS: Json = {"match": {}, "skip": 0, "times": 1, "args": {}}
_KEYS = _DEFAULTS.keys() | {"method", "action"}

# What services ask a plan about of their own accord; nobody calls these, so there is no call that could fail.
_NO_CALLS = ("vm.boot", "vm.life", "pubsub.subscriptions.push")


@dataclass
class _Entry:
    spec: Json
    skipped: int = 0
    consumed: int = 0

    def matches(self, method: str, facts: Mapping[str, Any]) -> bool:
        if not fnmatchcase(method, self.spec["method"]) or not _acts_on(self.spec["action"], method):
            return False
        return all(
            key in facts and fnmatchcase(_text(facts[key]), str(pattern))
            for key, pattern in self.spec["match"].items()
        )

    def due(self) -> bool:
        """Count one matching call; True when the fault acts on it."""
        if self.skipped < self.spec["skip"]:
            self.skipped += 1
            return False
        self.consumed += 1
        return True


class FaultPlan:
    """The faults still to come, in order; safe to use from several threads.

    The first entry that matches a call and is not used up decides: it skips the call (and the next entry is asked), or
    acts on it. Later entries do not see, nor count, a call on which an earlier one acted.
    """

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._lock = threading.Lock()

    def add(self, spec: Json) -> None:
        """Append a fault; raises ValueError that names what is wrong with it."""
        entry = _Entry(_checked(spec))
        with self._lock:
            self._entries.append(entry)

    def take(self, method: str, facts: Mapping[str, Any]) -> Fault | None:
        """Return the fault that is due on this call, and count it as consumed."""
        with self._lock:
            for entry in self._entries:
                spec = entry.spec
                if entry.consumed < spec["times"] and entry.matches(method, facts) and entry.due():
                    return Fault(action=spec["action"], args=spec["args"], method=method)
        return None

    def inventory(self) -> list[Json]:
        """Return every fault as it was given, with how often it has acted ("consumed")."""
        with self._lock:
            return [entry.spec | {"consumed": entry.consumed} for entry in self._entries]


def _acts_on(action: str, method: str) -> bool:
    methods = _ACTIONS[action].methods
    return method not in _NO_CALLS if methods is None else method in methods


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _checked(spec: object) -> Json:
    """Return the spec with its defaults filled in; raises ValueError that says what is wrong with it."""
    full = _DEFAULTS | spec if isinstance(spec, dict) else {}
    problem = next(_problems(full), None) if full else f"a fault is a JSON object, not {spec!r}"
    if problem is not None:
        raise ValueError(problem)
    return full


def _problems(spec: Json) -> Iterator[str]:
    """Yield what is wrong with a spec; each problem rests on there being none before it."""
    for key in sorted(spec.keys() - _KEYS):
        yield f"fault has an unknown key {key!r}; known are {', '.join(sorted(_KEYS))}"
    for key in ("method", "action"):
        if not isinstance(spec.get(key), str) or not spec[key]:
            yield f"fault needs {key!r}, a text; got {spec.get(key)!r}"
    for key in ("match", "args"):
        if not isinstance(spec[key], dict):
            yield f"fault {key!r} is a JSON object, not {spec[key]!r}"
    for key, least in (("skip", 0), ("times", 1)):
        if not _is(spec[key], int) or spec[key] < least:
            yield f"fault {key!r} is a whole number of at least {least}, not {spec[key]!r}"
    yield from _action_problems(spec["method"], spec["action"], spec["args"])


def _action_problems(method: str, action: str, args: Json) -> Iterator[str]:
    form = _ACTIONS.get(action)
    if form is None:
        yield f"unknown fault action {action!r}; known are {', '.join(sorted(_ACTIONS))}"
        return
    if form.methods is None:
        yield from _call_problems(method, action)
    elif method not in form.methods:
        yield f"fault action {action!r} acts on {' and '.join(form.methods)}, not on {method!r}"
    if form in (_LIFE, _PREEMPTION) and len(args.keys() & {"after", "at"}) != 1:
        yield f"fault action {action!r} needs one of the args 'after' (seconds) and 'at' (text)"
    for name in form.required:
        if name not in args:
            yield f"fault action {action!r} needs the arg {name!r}"
    types = {**form.required, **form.optional}
    for name, value in args.items():
        if name not in types:
            yield f"fault action {action!r} has no arg {name!r}; known: {', '.join(sorted(types)) or 'none'}"
        elif not _is(value, types[name]):
            yield f"fault action {action!r}: arg {name!r} cannot be {value!r}"


def _call_problems(method: str, action: str) -> Iterator[str]:
    """Yield what is wrong with the method, or the glob, of a fault that acts on calls: it must fit one that there is."""
    known = method_ids.known()
    if method in _NO_CALLS:
        yield f"fault action {action!r} acts on calls of an API, and {method!r} is none"
    elif not any(fnmatchcase(name, method) for name in known):
        near = method_ids.nearest(method, known.union(_NO_CALLS))
        yield f"fault method {method!r} is no API method that localcloud knows; the nearest is {near!r}"


def _is(value: object, kind: type | tuple[type, ...]) -> bool:
    """Tell whether a JSON value is of a type, not taking true for 1."""
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
