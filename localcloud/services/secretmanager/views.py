"""Secrets and versions as Google prints them. Pure."""

from __future__ import annotations

from typing import Any

from localcloud.core.times import timestamp
from localcloud.services.secretmanager.names import secret_name, version_name
from localcloud.services.secretmanager.state import Secret, Version

Json = dict[str, Any]


def secret_view(secret: Secret) -> Json:
    """Return the JSON of a `Secret`; empty fields are left out."""
    view: Json = {
        "name": secret_name(secret.id),
        "replication": {"automatic": {}},
        "createTime": timestamp(secret.created),
        "etag": secret.etag,
    }
    return view | ({"labels": dict(secret.labels)} if secret.labels else {})


def version_view(secret: Secret, version: Version) -> Json:
    """Return the JSON of a `SecretVersion`, which never has the payload."""
    view: Json = {
        "name": version_name(secret.id, version.number),
        "createTime": timestamp(version.created),
        "state": version.state,
        "replicationStatus": {"automatic": {}},
        "etag": version.etag,
    }
    if version.checksum_given:
        view["clientSpecifiedPayloadChecksum"] = True
    if version.destroyed is not None:
        view["destroyTime"] = timestamp(version.destroyed)
    return view
