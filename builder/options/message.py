"""The message that asks for a run: `{}`, `{"today": "2018-04-01"}`, `{"parameters": {…}}`, and nothing else. Pure.

The Cloud Function refuses by this before it submits a build, `run` before it plans: whoever may publish to the topic can choose
a day and values for declared parameters, and no project, account, bucket, notebook or image.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NoReturn

from builder.options.parameters import MATRIX, secrets_in
from builder.options.values import Unfit, parameters

LONGEST_MESSAGE = 4000  # bytes in a build's variable, where each dollar sign is written twice
_TODAY, _PARAMETERS = "today", "parameters"
_LOOKS_PRIVATE = (
    "looks like a secret, and messages can be read in the build, the bucket and the notebook: give it by NB_SECRETS; "
    "if it is none, set NB_ALLOW_SECRET_PARAMETERS=true"
)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

# What a parameter may be, as JSON Schema names it; "" is anything.
Kinds = Mapping[str, str]
_KINDS: Sequence[tuple[str, tuple[type, ...]]] = (
    ("boolean", (bool,)),
    ("integer", (int,)),
    ("number", (int, float)),
    ("string", (str,)),
    ("array", (list, tuple)),
    ("object", (Mapping,)),
)


@dataclass(frozen=True)
class Declared:
    """What one notebook takes: its parameters by name, and whether they may look like secrets (NB_ALLOW_SECRET_PARAMETERS)."""

    kinds: Kinds
    allow_secrets: bool = False


@dataclass(frozen=True)
class Message:
    """What a message asks for: another day than the event's, and values over the schedule's."""

    today: date | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


class MessageRefused(ValueError):
    """A message that asks for nothing that it may; `problems` says why, with no value repeated that may be private."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def read_message(raw: str) -> Message:
    """The message in this text; an empty text is `{}`. Raises MessageRefused with all that is wrong."""
    data = _load(raw)
    problems = [
        f"{key!r:.60} is no field of a message: expected {_TODAY} and {_PARAMETERS} alone"
        for key in data
        if key not in {_TODAY, _PARAMETERS}
    ]
    today, values = None, {}
    if _TODAY in data:
        today = _day(data[_TODAY])
        if today is None:
            problems.append(f"{_TODAY}: expected a day as YYYY-MM-DD")
    if _PARAMETERS in data:
        try:
            values = dict(parameters(_mapping(data[_PARAMETERS])))
        except Unfit as unfit:
            problems += [f"{_PARAMETERS}: {expected}" for _, expected in unfit.faults]
        if MATRIX in values:
            problems.append(f"{_PARAMETERS}: a message cannot fan out; {MATRIX} is no parameter's name")
    if problems:
        raise MessageRefused(problems)
    return Message(today, values)


def unfit_parameters(given: Mapping[str, Any], declared: Sequence[Declared]) -> Iterator[str]:
    """What is wrong with a message's values; `declared` is what each notebook takes.

    A name must be declared by one of them at least, and its value fit wherever it is declared.
    """
    for name, value in given.items():
        takers = [taker for taker in declared if name in taker.kinds]
        if not takers:
            known = ", ".join(sorted({known for taker in declared for known in taker.kinds})) or "none"
            yield f"parameter {name}: no notebook declares it; declared: {known}"
        for kind in dict.fromkeys(taker.kinds[name] for taker in takers):
            if not fits(value, kind):
                yield f"parameter {name}: {expected_kind(kind)}"
        if any(secrets_in({name: value})) and not all(taker.allow_secrets for taker in takers):
            yield f"parameter {name}: {_LOOKS_PRIVATE}"


def expected_kind(kind: str) -> str:
    """What a message says of a value of another kind."""
    return f"expected {'an' if kind[0] in 'aio' else 'a'} {kind}"


def kind_of(value: Any) -> str:
    """The narrowest kind that the value is of; "" for null, which says nothing."""
    return next((kind for kind, types in _KINDS if isinstance(value, types)), "")


def fits(value: Any, kind: str) -> bool:
    """Whether a value may stand where this kind is expected; a whole number may where a number is."""
    own = kind_of(value)
    return kind in {"", own} or (kind == "number" and own == "integer")


def _load(raw: str) -> dict[str, Any]:
    if len(raw.encode(errors="surrogatepass")) + raw.count("$") > LONGEST_MESSAGE:
        raise MessageRefused(
            [f"the message is longer than {LONGEST_MESSAGE} bytes, of which each $ takes two"]
        )
    try:
        data = json.loads(
            raw.strip() or "{}", object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite
        )
    except MessageRefused:
        raise
    except RecursionError as error:
        raise MessageRefused(["the message is nested too deeply"]) from error
    except ValueError as error:
        raise MessageRefused([f"the message is no JSON: {error}"]) from error
    if not isinstance(data, dict):
        raise MessageRefused(['expected an object, such as {} or {"today": "2018-04-01"}'])
    return data


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    again = next((key for key in keys if keys.count(key) > 1), None)
    if again is not None:
        raise MessageRefused([f"{again!r:.60} stands there twice"])
    return dict(pairs)


def _no_number(word: str) -> NoReturn:
    raise MessageRefused([f"{word} is no JSON number"])


def _finite(word: str) -> float:
    """JSON knows numbers of any size, a notebook only those below infinity."""
    number = float(word)
    if math.isinf(number):
        raise MessageRefused(["a number in it is too large; give a finite one, or text"])
    return number


def _mapping(value: object) -> Mapping[str, Any]:
    """The value, if it is an object: a text of JSON or YAML may be one for an option, never in a message."""
    if not isinstance(value, Mapping):
        raise Unfit('expected an object, such as {"city": "Paris"}')
    return value


def _day(value: object) -> date | None:
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None
