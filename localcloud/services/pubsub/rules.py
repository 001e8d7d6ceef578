"""The rules for topics and subscriptions. Pure."""

from __future__ import annotations

from typing import Any

from localcloud.core.bodies import check_covered, label_problem
from localcloud.core.errors import invalid

Json = dict[str, Any]

_TOPIC_NOT_COVERED = (
    "ingestionDataSourceSettings",
    "kmsKeyName",
    "messageRetentionDuration",
    "messageStoragePolicy",
    "messageTransforms",
    "schemaSettings",
    "tags",
)
_SUBSCRIPTION_COVERED = frozenset({"name", "topic"})
# Google's defaults.
_ACK_SECONDS = 10
_RETENTION = "604800s"


def topic(name: str, body: Json) -> Json:
    """Return the `Topic` of a body; raises `ApiError` 400, or 501 for a field that is not covered."""
    check_covered(body, _TOPIC_NOT_COVERED, "topic")
    labels = body.get("labels") or {}
    if problem := label_problem(labels):
        raise invalid(f"Invalid labels: {problem}")
    return {"name": name, **({"labels": labels} if labels else {}), "state": "ACTIVE"}


def subscription(name: str, body: Json) -> Json:
    """Return the `Subscription` of a body, for pulls, with an unchecked `topic`; raises `ApiError` 501."""
    check_covered(body, sorted(body.keys() - _SUBSCRIPTION_COVERED), "subscription")
    return {
        "name": name,
        "topic": body["topic"],
        "pushConfig": {},
        "ackDeadlineSeconds": _ACK_SECONDS,
        "messageRetentionDuration": _RETENTION,
        "state": "ACTIVE",
    }
