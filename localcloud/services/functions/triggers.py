"""Eventarc triggers of functions: a push subscription on a topic, as the trigger's account."""

from __future__ import annotations

import contextlib
import secrets
from typing import Any

from localcloud.core.errors import ApiError
from localcloud.services.pubsub import PubSubService
from localcloud.services.run.views_events import MODE, PUBSUB_MODE

Json = dict[str, Any]

# Eventarc keeps an event for a day, and tries again after 10 to 600 seconds.
_RETENTION = "86400s"
_RETRIES = {"minimumBackoff": "10s", "maximumBackoff": "600s"}
_ACK_SECONDS = 600


def planned(function: Json, current: Json | None) -> Json | None:
    """Return the trigger for a function, as {"name", "topic", "subscription"}; the current one if it fits.

    None for a function without events. A trigger keeps its topic for life.
    """
    wanted = function.get("eventTrigger")
    if wanted is None:
        return None
    if current is not None and current["topic"] == wanted["pubsubTopic"]:
        return current
    _, project, _, location, _, short = function["name"].split("/")
    trigger = f"{short}-{secrets.randbelow(900_000) + 100_000}"
    subscription = f"eventarc-{location}-{trigger}-sub-{secrets.randbelow(900) + 100}"
    return {
        "name": f"projects/{project}/locations/{location}/triggers/{trigger}",
        "topic": wanted["pubsubTopic"],
        "subscription": f"projects/{project}/subscriptions/{subscription}",
    }


def subscribe(pubsub: PubSubService, trigger: Json, account: str, uri: str) -> None:
    """Start pushing events to a service as an account; raises `ApiError` 404 without the topic."""
    body = {
        "topic": trigger["topic"],
        "ackDeadlineSeconds": _ACK_SECONDS,
        "messageRetentionDuration": _RETENTION,
        "retryPolicy": _RETRIES,
        "pushConfig": {
            "pushEndpoint": f"{uri}?{MODE}={PUBSUB_MODE}",
            "oidcToken": {"serviceAccountEmail": account, "audience": uri},
        },
    }
    pubsub.ensure_subscription(trigger["subscription"], body)


def unsubscribe(pubsub: PubSubService, trigger: Json | None) -> None:
    """Stop pushing events."""
    if trigger is not None:
        with contextlib.suppress(ApiError):
            pubsub.remove_subscription(trigger["subscription"])
