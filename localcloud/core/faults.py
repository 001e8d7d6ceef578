"""Fault plans: the calls that fail, the failures, and their counts."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from localcloud.core.discovery import load
from localcloud.core.spec import FaultForm, Spec

Json = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """One fault that is due on one call."""

    action: str
    args: Mapping[str, Any]
    method: str

    @property
    def generic(self) -> bool:
        """True if the server applies it, for every service."""
        return self.action in _ON_EVERY_CALL


_ERROR = FaultForm(required={"status": int}, optional={"reason": str, "message": str, "details": list})
_WAIT = FaultForm(required={"seconds": (int, float)})
_ON_EVERY_CALL: Mapping[str, FaultForm] = {
    "error": _ERROR,
    "error_after": _ERROR,
    "drop_before": FaultForm(),
    "drop_after": FaultForm(),
    "delay": _WAIT,
    "delay_after": _WAIT,
    "stall": _WAIT,
}

_DEFAULTS: Json = {"match": {}, "skip": 0, "times": 1, "args": {}}
_KEYS = _DEFAULTS.keys() | {"method", "action"}


@dataclass
class _Entry:
    spec: Json
    skipped: int = 0
    consumed: int = 0

    def matches(self, method: str, facts: Mapping[str, Any]) -> bool:
        if not fnmatchcase(method, self.spec["method"]):
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

    The first entry that matches a call and is not used up decides: it skips the call (then the next entry decides), or
    acts on it. Later entries do not count a call on which an earlier one acted.
    """

    def __init__(self, specs: Sequence[Spec]) -> None:
        self._forms = _Forms(specs)
        self._entries: list[_Entry] = []
        self._lock = threading.Lock()

    def add(self, *specs: Json) -> None:
        """Append faults; raises ValueError that names the first mistake, and then appends none."""
        entries = [_Entry(self._checked(spec)) for spec in specs]
        with self._lock:
            self._entries += entries

    def _checked(self, spec: Json) -> Json:
        full = _DEFAULTS | spec if isinstance(spec, dict) else {}
        problem = (
            next(self._forms.problems(full), None) if full else f"a fault is a JSON object, not {spec!r}"
        )
        if problem is not None:
            raise ValueError(problem)
        return full

    def take(self, method: str, facts: Mapping[str, Any]) -> Fault | None:
        """Return the fault that is due on this call, and count it as consumed."""
        with self._lock:
            for entry in self._entries:
                spec = entry.spec
                if (
                    entry.consumed < spec["times"]
                    and self._forms.acts_on(spec["action"], method)
                    and entry.matches(method, facts)
                    and entry.due()
                ):
                    return Fault(action=spec["action"], args=spec["args"], method=method)
        return None

    def inventory(self) -> list[Json]:
        """Return every fault as it was given, with how often it has acted ("consumed")."""
        with self._lock:
            return [entry.spec | {"consumed": entry.consumed} for entry in self._entries]


class _Forms:
    """The forms of faults that services take."""

    def __init__(self, specs: Sequence[Spec]) -> None:
        self._specs = specs
        self._events = frozenset(event for spec in specs for event in spec.events)

    def acts_on(self, action: str, method: str) -> bool:
        return any(
            method not in self._events if form.methods is None else method in form.methods
            for form in self._of(action)
        )

    def _of(self, action: str) -> list[FaultForm]:
        """Return the forms of an action, of which each acts on other methods."""
        if action in _ON_EVERY_CALL:
            return [_ON_EVERY_CALL[action]]
        return [spec.faults[action] for spec in self._specs if action in spec.faults]

    def problems(self, spec: Json) -> Iterator[str]:
        """Yield the mistakes of a fault; each assumes that there is none before it."""
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
        yield from self._action_problems(spec["method"], spec["action"], spec["args"])

    def _action_problems(self, method: str, action: str, args: Json) -> Iterator[str]:
        forms = self._of(action)
        if not forms:
            known = {*_ON_EVERY_CALL, *(name for spec in self._specs for name in spec.faults)}
            yield f"unknown fault action {action!r}; known are {', '.join(sorted(known))}"
            return
        form = next((form for form in forms if form.methods is None or method in form.methods), None)
        if form is None:
            methods = [name for form in forms for name in form.methods or ()]
            yield f"fault action {action!r} acts on {' and '.join(methods)}, not on {method!r}"
            return
        if form.methods is None:
            yield from self._call_problems(method, action)
        yield from _argument_problems(form, action, args)

    def _call_problems(self, method: str, action: str) -> Iterator[str]:
        """Yield the mistakes in the method (or glob) of a fault that acts on calls: it must fit Google's methods."""
        if method in self._events:
            yield f"fault action {action!r} acts on calls of an API, and {method!r} is none"
            return
        known = {name for spec in self._specs for name in spec.methods}
        known |= {name for spec in self._specs for api in spec.apis for name in load(api).methods}
        if not any(fnmatchcase(name, method) for name in known):
            near = get_close_matches(method, sorted(known | self._events), n=1, cutoff=0.0)[0]
            yield f"fault method {method!r} is no API method that localcloud knows; the nearest is {near!r}"


def _argument_problems(form: FaultForm, action: str, args: Json) -> Iterator[str]:
    if form.one_of and len(args.keys() & form.one_of.keys()) != 1:
        yield f"fault action {action!r} needs one of the args {' and '.join(map(repr, form.one_of))}"
    for name in form.required:
        if name not in args:
            yield f"fault action {action!r} needs the arg {name!r}"
    for name, value in args.items():
        if name not in form.types:
            known = ", ".join(sorted(form.types)) or "none"
            yield f"fault action {action!r} has no arg {name!r}; known: {known}"
        elif not _is(value, form.types[name]):
            yield f"fault action {action!r}: arg {name!r} cannot be {value!r}"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _is(value: object, kind: type | tuple[type, ...]) -> bool:
    """True if a JSON value is of a type; true and false are no numbers."""
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
