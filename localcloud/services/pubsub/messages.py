"""Messages: their rules, and their form in an answer and in a push. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from localcloud.core.bodies import check_covered, decoded
from localcloud.core.errors import invalid
from localcloud.core.times import timestamp
from localcloud.services.pubsub.refusals import empty_message, too_large, too_small

Json = dict[str, Any]

_MAX_MESSAGES = 1000
_MAX_BYTES = 10_000_000
_MAX_ATTRIBUTES = 100
_MAX_KEY = 256
_MAX_VALUE = 1024
_RESERVED = "goog"


@dataclass(frozen=True)
class Content:
    """A publisher's message."""

    data: bytes
    attributes: Mapping[str, str]

    @property
    def size(self) -> int:
        """The bytes that count for the limit of a request."""
        texts = sum(len(key.encode()) + len(value.encode()) for key, value in self.attributes.items())
        return len(self.data) + texts


@dataclass(frozen=True)
class Message:
    """A published message; `published` in seconds since the epoch."""

    id: str
    published: float
    content: Content

    def view(self) -> Json:
        """Return a `PubsubMessage`; empty fields are left out."""
        content = self.content
        view: Json = {
            "data": base64.b64encode(content.data).decode(),
            "attributes": dict(content.attributes),
            "messageId": self.id,
            "publishTime": timestamp(self.published, "milliseconds"),
        }
        return {key: value for key, value in view.items() if value}

    def envelope(self, subscription: str) -> Json:
        """Return the body of a push, which has id and time in both spellings."""
        view = self.view()
        both = {"message_id": view["messageId"], "publish_time": view["publishTime"]}
        return {"message": view | both, "subscription": subscription}


def contents(messages: Sequence[Json]) -> list[Content]:
    """Return the messages of a `PublishRequest`; raises `ApiError` 400 or 501. Ids and times in it are ignored."""
    if not messages:
        raise too_small("message_count", 0, 1)
    if len(messages) > _MAX_MESSAGES:
        raise too_large("message_count", len(messages), _MAX_MESSAGES)
    found = [_content(message) for message in messages]
    size = sum(content.size for content in found)
    if size > _MAX_BYTES:
        raise too_large("request_size", size, _MAX_BYTES)
    return found


def content(data: str, attributes: Mapping[str, str]) -> Content:
    """Return a message of base64 and attributes; raises `ApiError` 400."""
    return _content({"data": data, "attributes": attributes})


def _content(message: Json) -> Content:
    data = decoded(message.get("data"))
    attributes = message.get("attributes") or {}
    check_covered(message, ("orderingKey",), "message")
    if not data and not attributes:
        raise empty_message()
    if len(attributes) > _MAX_ATTRIBUTES:
        raise too_large("attribute_count", len(attributes), _MAX_ATTRIBUTES)
    for name, value in attributes.items():
        _check_attribute(name, value)
    return Content(data, attributes)


def _check_attribute(name: str, value: str) -> None:
    if not name or name.startswith(_RESERVED):
        raise invalid(f"Invalid attribute key '{name}': it must not be empty or begin with '{_RESERVED}'.")
    if len(name.encode()) > _MAX_KEY:
        raise too_large("attribute_key_size", len(name.encode()), _MAX_KEY)
    if len(value.encode()) > _MAX_VALUE:
        raise too_large("attribute_value_size", len(value.encode()), _MAX_VALUE)
