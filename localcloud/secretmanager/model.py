"""A secret and its versions as values, and the JSON in which they are kept on disk."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]
State = Literal["ENABLED", "DISABLED", "DESTROYED"]


@dataclass(frozen=True)
class Version:
    """One version; times are seconds since the epoch. A destroyed one has no payload. No `repr` shows a payload."""

    number: int
    state: State
    created: float
    etag: str
    payload: bytes | None = field(repr=False)
    checksum_given: bool = False
    destroyed: float | None = None


@dataclass(frozen=True)
class Settings:
    """What a caller may say about a secret. `expires` is in seconds since the epoch; aliases name versions by number."""

    replication: Json
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    aliases: Mapping[str, str]
    expires: float | None


@dataclass(frozen=True)
class Secret:
    """One secret; `versions` in the order of their numbers, from 1 on. `policy` is its IAM policy, if it has one."""

    id: str
    created: float
    etag: str
    settings: Settings
    versions: tuple[Version, ...] = ()
    policy: Json | None = None


def to_json(secret: Secret) -> Json:
    """Return a secret, payloads included, as `from_json` takes it."""
    settings = secret.settings
    return {
        "id": secret.id,
        "created": secret.created,
        "etag": secret.etag,
        "settings": {
            "replication": settings.replication,
            "labels": dict(settings.labels),
            "annotations": dict(settings.annotations),
            "aliases": dict(settings.aliases),
            "expires": settings.expires,
        },
        "versions": [_version_json(version) for version in secret.versions],
        "policy": secret.policy,
    }


def from_json(kept: Json) -> Secret:
    """Return the secret that `to_json` wrote."""
    return Secret(
        id=kept["id"],
        created=kept["created"],
        etag=kept["etag"],
        settings=Settings(**kept["settings"]),
        versions=tuple(_version(version) for version in kept["versions"]),
        policy=kept["policy"],
    )


def _version_json(version: Version) -> Json:
    payload = version.payload
    return {
        "number": version.number,
        "state": version.state,
        "created": version.created,
        "etag": version.etag,
        "payload": None if payload is None else base64.b64encode(payload).decode(),
        "checksum_given": version.checksum_given,
        "destroyed": version.destroyed,
    }


def _version(kept: Json) -> Version:
    payload = kept["payload"]
    return Version(**{**kept, "payload": None if payload is None else base64.b64decode(payload)})
