"""The rules for topics and subscriptions. Pure; the limits are Google's."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from localcloud.core.bodies import check_covered, label_problem
from localcloud.core.errors import invalid, unimplemented
from localcloud.core.times import seconds
from localcloud.services.pubsub.refusals import bad_endpoint, too_large, too_small

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
_TOPIC_FIELDS = ("labels", "messageRetentionDuration")
_MINUTE, _DAY = 60.0, 86_400.0
_RETENTION = (10 * _MINUTE, 31 * _DAY)
_ACK_DEADLINE = (10, 600)
_LONGEST_BACKOFF = 600.0
_VERSION = "x-goog-version"


def topic(name: str, body: Json) -> Json:
    """Return the `Topic` of a body; raises `ApiError` 400, or 501 for a field that is not covered."""
    check_covered(body, _TOPIC_NOT_COVERED, "topic")
    _check_labels(body)
    if body.get("messageRetentionDuration"):
        _check_duration("message_retention_duration", body["messageRetentionDuration"], *_RETENTION)
    given = {key: body[key] for key in _TOPIC_FIELDS if body.get(key)}
    return {"name": name, **given, "state": "ACTIVE"}


def subscription(name: str, body: Json) -> Json:
    """Return the `Subscription` of a body, with an unchecked `topic`; raises `ApiError` 400 or 501."""
    check_covered(body, _SUBSCRIPTION_NOT_COVERED, "subscription")
    _check_labels(body)
    retention = body.get("messageRetentionDuration") or "604800s"
    _check_duration("message_retention_duration", retention, *_RETENTION)
    found: Json = {
        "name": name,
        "topic": body["topic"],
        "pushConfig": _push_config(body.get("pushConfig") or {}),
        "ackDeadlineSeconds": _ack_deadline(body.get("ackDeadlineSeconds") or 10),
        "messageRetentionDuration": retention,
        "expirationPolicy": _expiration(body.get("expirationPolicy")),
        "state": "ACTIVE",
    }
    if body.get("retryPolicy") is not None:
        found["retryPolicy"] = _retry_policy(body["retryPolicy"])
    if body.get("labels"):
        found["labels"] = body["labels"]
    return found


def _push_config(config: Json) -> Json:
    """Return a `PushConfig` as Google shows it, {} for pull; raises `ApiError` 400 or 501."""
    check_covered(config, ("noWrapper",), "push config")
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


def _ack_deadline(wanted: int) -> int:
    least, most = _ACK_DEADLINE
    if wanted < least:
        raise too_small("ack_deadline_seconds", wanted, least)
    if wanted > most:
        raise too_large("ack_deadline_seconds", wanted, most)
    return wanted


def _check_labels(body: Json) -> None:
    if problem := label_problem(body.get("labels") or {}):
        raise invalid(f"Invalid labels: {problem}")


def _check_duration(field: str, duration: str, least: float, most: float) -> None:
    if not least <= seconds(duration) <= most:
        raise invalid(f"Invalid {field}: {duration}. It must be from {least:.0f}s to {most:.0f}s.")


def _expiration(policy: Json | None) -> Json:
    """Return the time after which an unused subscription ends: none for {}, 31 days by default."""
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
