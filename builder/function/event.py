"""An event of the topic: its ID, time and message, checked before any call. Pure."""

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

# The ID becomes part of a tag, of an object's name, and of a run's ID, between "event-" and the function's hash. A
# run's ID has at most 63 characters, three of them for the -2 of a second run.
_PLAIN_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,43}[A-Za-z0-9])?")
_HASH_DIGITS = 40


@dataclass(frozen=True)
class Event:
    """An event.

    `id`, the message's own or else Pub/Sub's, can be part of names; `time` is the given text (RFC 3339) of `when`;
    `raw` is the text of `message`.
    """

    id: str
    time: str
    when: datetime
    raw: str
    message: Message


def plain_id(given: str) -> str:
    """The given ID if it is plain, as those of Pub/Sub are, else its hash."""
    if _PLAIN_ID.fullmatch(given):
        return given
    return hashlib.sha256(given.encode(errors="surrogatepass")).hexdigest()[:_HASH_DIGITS]


def read_event(given_id: str, time: str, data: Any) -> Event:
    """Read a CloudEvent's ID, time and data. Raises MessageRefused with every mistake, without repeating values."""
    try:
        when = moment(time)
    except ValueError as error:
        raise MessageRefused([f"the event's time: {error}"]) from error
    raw = _text(data)
    message = read_message(raw)
    return Event(message.id or plain_id(given_id), time, when, raw, message)


def _text(data: Any) -> str:
    """The text of the message.

    Without data, or with blanks alone, it is {}, so that the build's variable is never empty.
    """
    message = data.get("message") if isinstance(data, Mapping) else None
    if not isinstance(message, Mapping):
        raise MessageRefused(["the event carries no Pub/Sub message"])
    encoded = message.get("data") or ""
    try:
        text = base64.b64decode(encoded, validate=True).decode()
    except (TypeError, ValueError) as error:
        raise MessageRefused(["the message's data is no text: expected base64 of UTF-8"]) from error
    return text if text.strip() else "{}"
