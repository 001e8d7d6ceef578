"""The message that asks for a run: `{}`, `today`, `parameters`, `publish`, `id`, and nothing else. Pure.

The Cloud Function checks a message before it submits a build, and `run` before it plans. A publisher to the topic can
choose a day and values of declared parameters, but no project, account, bucket, notebook or image.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from builder.options.day import read_day
from builder.options.parameters import MATRIX, parse_parameters, secrets_in
from builder.options.values import InvalidValue
from builder.strict_json import UnreadableJson, read_object

MAX_MESSAGE = 4000  # bytes in a build's variable, where each dollar sign is written twice
_FIELDS = _TODAY, _PARAMETERS, _PUBLISH, _ID = "today", "parameters", "publish", "id"
_LOOKS_PRIVATE = (
    "looks like a secret, and messages can be read in the build, the bucket and the notebook: use NB_SECRETS; "
    "if it is not secret, set NB_ALLOW_SECRET_PARAMETERS=true"
)
# The form of an event's ID (builder/function/event.py). Those of Pub/Sub are numbers, so that none of them is equal.
_OWN_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,43}[A-Za-z0-9]")
_HASH_DIGITS = 8

# The type of each parameter, by JSON Schema's names; "" is any type.
ParameterTypes = Mapping[str, str]
_TYPES: Sequence[tuple[str, tuple[type, ...]]] = (
    ("boolean", (bool,)),
    ("integer", (int,)),
    ("number", (int, float)),
    ("string", (str,)),
    ("array", (list, tuple)),
    ("object", (Mapping,)),
)


@dataclass(frozen=True)
class AcceptedParameters:
    """The parameters that one notebook accepts. `allow_secrets` is NB_ALLOW_SECRET_PARAMETERS."""

    types: ParameterTypes
    allow_secrets: bool = False


@dataclass(frozen=True)
class Message:
    """A parsed message: a day that replaces the event's, and values that replace the schedule's.

    `publish`: the results are the day's, although the message has values. `id`: the event's ID instead of the one that
    Pub/Sub gave, so that two messages are one event; "" for none.
    """

    today: date | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    publish: bool = False
    id: str = ""


class MessageRefused(ValueError):
    """An invalid message. `problems` repeats no value, which may be private."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def read_message(raw: str) -> Message:
    """Return the message in this text; an empty text is `{}`. Raises MessageRefused with all problems."""
    data = _load(raw)
    problems = [
        f"{key!r:.60} is no field of a message: expected {_TODAY}, {_PARAMETERS}, {_PUBLISH} and {_ID} alone"
        for key in data
        if key not in _FIELDS
    ]
    today, values = None, {}
    if _TODAY in data:
        today = _day(data[_TODAY])
        if today is None:
            problems.append(f"{_TODAY}: expected a day as YYYY-MM-DD")
    if _PARAMETERS in data:
        try:
            values = dict(parse_parameters(_mapping(data[_PARAMETERS])))
        except InvalidValue as invalid:
            problems += [f"{_PARAMETERS}: {expected}" for _, expected in invalid.faults]
        if MATRIX in values:
            problems.append(f"{_PARAMETERS}: a message cannot fan out; {MATRIX} is no parameter's name")
    if data.get(_PUBLISH, True) is not True:
        problems.append(
            f"{_PUBLISH}: expected true; without it, values of a message do not replace the day's results"
        )
    own_id = data.get(_ID, "")
    if _ID in data and not (isinstance(own_id, str) and _OWN_ID.fullmatch(own_id)):
        problems.append(
            f"{_ID}: expected 2 to 45 letters, digits, - and _, the first a letter, the last a letter or digit"
        )
    if problems:
        raise MessageRefused(problems)
    return Message(today, values, publish=_PUBLISH in data, id=own_id)


def run_event_id(given: str, address: str) -> str:
    """Return NB_EVENT_ID for the event with the ID `given`. `address` is that of the live.json of its function.

    Functions on one topic receive each message with the same ID. The hash of the address gives each its own run.
    """
    return f"{given}-{hashlib.sha256(address.encode()).hexdigest()[:_HASH_DIGITS]}"


def parameter_faults(given: Mapping[str, Any], declared: Sequence[AcceptedParameters]) -> Iterator[str]:
    """Yield the faults of a message's values. `declared` has the parameters that each notebook accepts.

    At least one notebook must declare a name, and the value must have the type in each notebook that declares it.
    """
    for name, value in given.items():
        takers = [taker for taker in declared if name in taker.types]
        if not takers:
            known = ", ".join(sorted({known for taker in declared for known in taker.types})) or "none"
            yield f"parameter {name}: no notebook declares it; declared: {known}"
        for wanted_type in dict.fromkeys(taker.types[name] for taker in takers):
            if not fits(value, wanted_type):
                yield f"parameter {name}: {expected_type(wanted_type)}"
        if any(secrets_in({name: value})) and not all(taker.allow_secrets for taker in takers):
            yield f"parameter {name}: {_LOOKS_PRIVATE}"


def expected_type(wanted_type: str) -> str:
    """Return the text about a value of another type."""
    return f"expected {'an' if wanted_type[0] in 'aio' else 'a'} {wanted_type}"


def type_of(value: Any) -> str:
    """Return the value's narrowest type; "" for null."""
    return next((name for name, types in _TYPES if isinstance(value, types)), "")


def fits(value: Any, wanted_type: str) -> bool:
    """True if the value has the wanted type; a whole number counts as a number."""
    own = type_of(value)
    return wanted_type in {"", own} or (wanted_type == "number" and own == "integer")


def _load(raw: str) -> dict[str, Any]:
    if len(raw.encode(errors="surrogatepass")) + raw.count("$") > MAX_MESSAGE:
        raise MessageRefused([f"the message is longer than {MAX_MESSAGE} bytes, of which each $ takes two"])
    try:
        return read_object(raw.strip() or "{}")
    except UnreadableJson as error:
        raise MessageRefused([f"the message is no JSON that can be used: {error}"]) from error


def _mapping(value: object) -> Mapping[str, Any]:
    """Return the value if it is an object. Raises InvalidValue for text, which only an option may hold."""
    if not isinstance(value, Mapping):
        raise InvalidValue('expected an object, such as {"city": "Paris"}')
    return value


def _day(value: object) -> date | None:
    return read_day(value) if isinstance(value, str) else None
