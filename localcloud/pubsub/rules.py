"""What a topic or a subscription may look like, and what an update changes. Pure; the limits are Google's."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from localcloud.errors import invalid, unimplemented
from localcloud.pubsub.refusals import (
    bad_endpoint,
    immutable_in_mask,
    no_mask,
    too_large,
    too_small,
    unknown_in_mask,
)

Json = dict[str, Any]

_TOPIC_NOT_COVERED = (
    "ingestionDataSourceSettings",
    "kmsKeyName",
    "messageStoragePolicy",
    "messageTransforms",
    "schemaSettings",
    "tags",
)
_SUBSCRIPTION_NOT_COVERED = (
    "bigqueryConfig",
    "bigtableConfig",
    "cloudStorageConfig",
    "deadLetterPolicy",
    "detached",
    "enableExactlyOnceDelivery",
    "enableMessageOrdering",
    "filter",
    "messageTransforms",
    "retainAckedMessages",
    "tags",
)
TOPIC_CHANGES = ("labels", "messageRetentionDuration")
SUBSCRIPTION_CHANGES = (
    "ackDeadlineSeconds",
    "expirationPolicy",
    "labels",
    "messageRetentionDuration",
    "pushConfig",
    "retryPolicy",
)
_MINUTE, _DAY = 60.0, 86_400.0
_RETENTION = (10 * _MINUTE, 31 * _DAY)
_ACK_DEADLINE = (10, 600)
_LONGEST_BACKOFF = 600.0
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_MOST_LABELS = 64
_VERSION = "x-goog-version"


def topic(name: str, body: Json) -> Json:
    """Return the `Topic` that a body means; raises `ApiError` 400, or 501 for what localcloud does not do."""
    _check_covered(body, _TOPIC_NOT_COVERED, "topic")
    _check_labels(body.get("labels") or {})
    if body.get("messageRetentionDuration"):
        _check_duration("message_retention_duration", body["messageRetentionDuration"], *_RETENTION)
    given = {key: body[key] for key in TOPIC_CHANGES if body.get(key)}
    return {"name": name, **given, "state": "ACTIVE"}


def subscription(name: str, body: Json) -> Json:
    """Return the `Subscription` that a body means, its `topic` taken as it is; raises `ApiError` 400 or 501."""
    _check_covered(body, _SUBSCRIPTION_NOT_COVERED, "subscription")
    _check_labels(body.get("labels") or {})
    retention = body.get("messageRetentionDuration") or "604800s"
    _check_duration("message_retention_duration", retention, *_RETENTION)
    found: Json = {
        "name": name,
        "topic": body["topic"],
        "pushConfig": push_config(body.get("pushConfig") or {}),
        "ackDeadlineSeconds": ack_deadline(body.get("ackDeadlineSeconds") or 10, _ACK_DEADLINE[0]),
        "messageRetentionDuration": retention,
        "expirationPolicy": _expiration(body.get("expirationPolicy")),
        "state": "ACTIVE",
    }
    if body.get("retryPolicy") is not None:
        found["retryPolicy"] = _retry_policy(body["retryPolicy"])
    if body.get("labels"):
        found["labels"] = body["labels"]
    return found


def push_config(config: Json) -> Json:
    """Return a `PushConfig` as Google shows it, {} for pull; raises `ApiError` 400 or 501."""
    _check_covered(config, ("noWrapper",), "push config")
    endpoint = config.get("pushEndpoint") or ""
    if not endpoint:
        return {}
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise bad_endpoint(endpoint) from None
    if parts.scheme == "https" and host:
        raise unimplemented(
            f"localcloud pushes to plain HTTP on this machine only, such as http://127.0.0.1:8080/, not to {endpoint}."
        )
    if parts.scheme != "http" or host not in {"127.0.0.1", "localhost"}:
        raise bad_endpoint(endpoint)
    version = (config.get("attributes") or {}).get(_VERSION, "v1")
    if version not in {"v1", "v1beta2"}:
        raise unimplemented(f"localcloud pushes in the format v1 only, not {version}.")
    found: Json = {"pushEndpoint": endpoint, "attributes": {_VERSION: "v1"}}
    if (config.get("oidcToken") or {}).get("serviceAccountEmail"):
        found["oidcToken"] = config["oidcToken"]
    return found


def ack_deadline(seconds: int, least: int) -> int:
    """Return a deadline in seconds; raises `ApiError` 400 when it is out of range."""
    if seconds < least:
        raise too_small("ack_deadline_seconds", seconds, least)
    if seconds > _ACK_DEADLINE[1]:
        raise too_large("ack_deadline_seconds", seconds, _ACK_DEADLINE[1])
    return seconds


def changed(kind: str, current: Json, body: Json, mask: str, changeable: Collection[str]) -> Json:
    """Return the current resource with the fields that the mask names taken from the body; raises `ApiError` 400.

    `kind` is "Topic" or "Subscription". A field that the body lacks goes back to its default.
    """
    paths = [path.strip() for path in mask.split(",") if path.strip()]
    if not paths:
        raise no_mask(kind)
    result = dict(current)
    for path in paths:
        field = re.sub(r"_(\w)", lambda part: part[1].upper(), path)
        if field in {"name", "topic"} and field in current:
            raise immutable_in_mask(kind, path)
        not_covered = _TOPIC_NOT_COVERED if kind == "Topic" else _SUBSCRIPTION_NOT_COVERED
        head, nested, _ = field.partition(".")
        if head in not_covered or (nested and head in changeable):
            raise unimplemented(f"localcloud does not update the field '{path}' of a {kind.lower()}.")
        if field not in changeable:
            raise unknown_in_mask(kind, path)
        result[field] = body.get(field)
    return {key: value for key, value in result.items() if value is not None}


def seconds(duration: str) -> float:
    """Return the seconds of a duration such as "600s"."""
    return float(duration.removesuffix("s"))


def _check_covered(body: Json, not_covered: Collection[str], kind: str) -> None:
    for key in not_covered:
        if body.get(key):
            raise unimplemented(f"localcloud does not implement the field '{key}' of a {kind}.")


def _check_labels(labels: Mapping[str, str]) -> None:
    if len(labels) > _MOST_LABELS:
        raise too_large("label_count", len(labels), _MOST_LABELS)
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
            raise invalid(f"Invalid label: '{key}={value}'.")


def _check_duration(field: str, duration: str, least: float, most: float) -> None:
    if not least <= seconds(duration) <= most:
        raise invalid(f"Invalid {field}: {duration}. It must be from {least:.0f}s to {most:.0f}s.")


def _expiration(policy: Json | None) -> Json:
    """Return when an unused subscription would end: never for {}, 31 days where nothing is said."""
    if policy is None:
        return {"ttl": f"{31 * _DAY:.0f}s"}
    if policy.get("ttl") and seconds(policy["ttl"]) < _DAY:
        raise invalid(f"Invalid expiration_policy.ttl: {policy['ttl']}. It must be at least one day.")
    return {"ttl": policy["ttl"]} if policy.get("ttl") else {}


def _retry_policy(policy: Json) -> Json:
    found = {
        "minimumBackoff": policy.get("minimumBackoff") or "10s",
        "maximumBackoff": policy.get("maximumBackoff") or "600s",
    }
    for field, duration in found.items():
        _check_duration(f"retry_policy.{field}", duration, 0.0, _LONGEST_BACKOFF)
    if seconds(found["minimumBackoff"]) > seconds(found["maximumBackoff"]):
        raise invalid("Invalid retry_policy: minimum_backoff must not be longer than maximum_backoff.")
    return found
