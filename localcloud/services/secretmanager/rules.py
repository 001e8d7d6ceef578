"""The rules for secrets and payloads. Pure; the limits are those of Google's documentation."""

from __future__ import annotations

import re
from typing import Any

import google_crc32c

from localcloud.core.bodies import check_covered, decoded
from localcloud.core.errors import invalid
from localcloud.services.secretmanager.refusals import (
    bad_secret_id,
    empty_payload,
    large_payload,
    not_covered,
    other_checksum,
)

Json = dict[str, Any]

_SECRET_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
_NOT_COVERED = (
    "annotations",
    "customerManagedEncryption",
    "expireTime",
    "labels",
    "rotation",
    "tags",
    "topics",
    "ttl",
    "versionAliases",
    "versionDestroyTtl",
)
_PAYLOAD_LIMIT = 64 * 1024


def check_id(secret: str) -> None:
    """Raise `ApiError` 400 for an invalid secret's id."""
    if not _SECRET_ID.fullmatch(secret):
        raise bad_secret_id(secret)


def check_new(body: Json) -> None:
    """Raise `ApiError` 400 for an invalid secret, or 501 for a field that is not covered."""
    check_covered(body, _NOT_COVERED, "secret")
    if body.get("secretType", "SECRET_TYPE_UNSPECIFIED") != "SECRET_TYPE_UNSPECIFIED":
        raise not_covered("secretType")
    replication = body.get("replication") or {}
    if replication.get("userManaged") is not None:
        raise not_covered("replication.userManaged")
    if replication.get("automatic") is None:
        raise invalid("Field [secret.replication] must have exactly one of 'automatic' and 'userManaged'.")
    if replication["automatic"].get("customerManagedEncryption"):
        raise not_covered("replication.automatic.customerManagedEncryption")


def check_move(body: Json) -> None:
    """Raise `ApiError` 501 for a version's etag."""
    check_covered(body, ("etag",), "secret version")


def payload(given: Json) -> bytes:
    """Return the bytes of a `SecretPayload`; raises `ApiError` 400."""
    data = decoded(given.get("data"))
    if not data:
        raise empty_payload()
    if len(data) > _PAYLOAD_LIMIT:
        raise large_payload(len(data), _PAYLOAD_LIMIT)
    expected = given.get("dataCrc32c")
    if expected is not None and int(expected) != checksum(data):
        raise other_checksum()
    return data


def checksum(data: bytes) -> int:
    """Return the CRC32C of a payload."""
    value: int = google_crc32c.value(data)
    return value
