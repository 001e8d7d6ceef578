"""The CloudEvent, in binary mode, that Eventarc and Cloud Run make of a push. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from localcloud.engines.function.revision import Trigger

Json = dict[str, Any]

MODE, PUBSUB_MODE = "__GCP_CloudEventsMode", "CE_PUBSUB_BINDING"
"""The query parameter by which the subscription of a trigger says that its pushes are to become CloudEvents."""


@dataclass(frozen=True)
class Event:
    """An event as an HTTP request."""

    headers: Mapping[str, str]
    body: bytes


def event(trigger: Trigger, pushed: bytes) -> Event | None:
    """Return the event in the body of a push; None when it is no push of the trigger's own subscription."""
    try:
        push: Json = json.loads(pushed)
        message, subscription = push["message"], push["subscription"]
        headers = {
            "content-type": "application/json",
            "ce-specversion": "1.0",
            "ce-id": message["messageId"],
            "ce-source": f"//pubsub.googleapis.com/{trigger.topic}",
            "ce-type": trigger.event_type,
            "ce-time": message["publishTime"],
        }
    except (ValueError, KeyError, TypeError):
        return None
    if subscription != trigger.subscription:
        return None
    body = json.dumps({"message": message, "subscription": subscription}).encode()
    return Event(headers, body)
