"""Secrets and versions as Google prints them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import google_crc32c

from localcloud.secretmanager.model import Secret, Version
from localcloud.secretmanager.names import secret_name, version_name

Json = dict[str, Any]


def timestamp(seconds: float) -> str:
    """Return a time as the newer APIs print it: UTC, microseconds."""
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def secret_view(secret: Secret) -> Json:
    """Return the JSON of a `Secret`; empty fields are left out."""
    settings = secret.settings
    optional: Json = {
        "labels": dict(settings.labels),
        "annotations": dict(settings.annotations),
        "versionAliases": dict(settings.aliases),
    }
    if settings.expires is not None:
        optional["expireTime"] = timestamp(settings.expires)
    return {
        "name": secret_name(secret.id),
        "replication": settings.replication,
        "createTime": timestamp(secret.created),
        "etag": secret.etag,
        **{key: value for key, value in optional.items() if value},
    }


def version_view(secret: Secret, version: Version) -> Json:
    """Return the JSON of a `SecretVersion`, which never has the payload."""
    view: Json = {
        "name": version_name(secret.id, version.number),
        "createTime": timestamp(version.created),
        "state": version.state,
        "replicationStatus": _replication_status(secret.settings.replication),
        "etag": version.etag,
    }
    if version.checksum_given:
        view["clientSpecifiedPayloadChecksum"] = True
    if version.destroyed is not None:
        view["destroyTime"] = timestamp(version.destroyed)
    return view


def checksum(payload: bytes) -> int:
    """Return the CRC32C of a payload."""
    value: int = google_crc32c.value(payload)
    return value


def _replication_status(replication: Json) -> Json:
    if "userManaged" not in replication:
        return {"automatic": {}}
    replicas = replication["userManaged"]["replicas"]
    return {"userManaged": {"replicas": [{"location": replica["location"]} for replica in replicas]}}
