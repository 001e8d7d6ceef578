"""An event of the topic: its id, its time and its message, checked before anything is called. Pure."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from builder.options.day import moment
from builder.options.message import Message, MessageRefused, read_message

# An id stands in a tag, an object's name and, between "event-" and the function's hash, in a run's id: that has 63 characters at
# most, of which three are for the -2 of a second run.
_PLAIN_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,43}[A-Za-z0-9])?")
_HASH_DIGITS = 40


@dataclass(frozen=True)
class Event:
    """An event: `id` fit for names, `time` as it was given (RFC 3339), `raw` the text of its message, and what that asks for."""

    id: str
    time: str
    when: datetime
    raw: str
    message: Message


def plain_id(given: str) -> str:
    """The event's id where it is plain, as Pub/Sub's are; any other is hashed: the same one gives the same id."""
    if _PLAIN_ID.fullmatch(given):
        return given
    return hashlib.sha256(given.encode(errors="surrogatepass")).hexdigest()[:_HASH_DIGITS]


def read_event(given_id: str, time: str, data: Any) -> Event:
    """The event in a CloudEvent's id, time and data. Raises MessageRefused with all that is wrong, no value repeated."""
    try:
        when = moment(time)
    except ValueError as error:
        raise MessageRefused([f"the event's time: {error}"]) from error
    raw = _text(data)
    return Event(plain_id(given_id), time, when, raw, read_message(raw))


def _text(data: Any) -> str:
    """The message's text. One of attributes alone has no data, one of blanks says nothing: either is {}, and never an unset variable."""
    message = data.get("message") if isinstance(data, Mapping) else None
    if not isinstance(message, Mapping):
        raise MessageRefused(["the event carries no Pub/Sub message"])
    encoded = message.get("data") or ""
    try:
        text = base64.b64decode(encoded, validate=True).decode()
    except (TypeError, ValueError) as error:
        raise MessageRefused(["the message's data is no text: expected base64 of UTF-8"]) from error
    return text if text.strip() else "{}"
