"""The secrets of the project: values in memory, and one file that only its owner can read."""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from localcloud.core.kept import Kept
from localcloud.services.secretmanager import names
from localcloud.services.secretmanager.refusals import no_such_secret

Json = dict[str, Any]
State = Literal["ENABLED", "DISABLED", "DESTROYED"]


@dataclass(frozen=True)
class Version:
    """One version; times are seconds since the epoch. A destroyed version has no payload. No `repr` shows a payload."""

    number: int
    state: State
    created: float
    payload: bytes | None = field(repr=False)
    destroyed: float | None = None


@dataclass(frozen=True)
class Secret:
    """One secret; `versions` are in the order of their numbers, from 1 on."""

    id: str
    created: float
    versions: tuple[Version, ...] = ()


class Secrets:
    """Secrets by id. Hold `lock` from a read to the write that depends on it."""

    def __init__(self, file: Path) -> None:
        self._kept = Kept(file)
        self.lock = self._kept.lock

    def all(self) -> list[Secret]:
        """Return every secret, the newest first."""
        found = [_secret(value) for _, value in self._kept.items()]
        return sorted(found, key=lambda secret: (secret.created, secret.id), reverse=True)

    def find(self, secret: str) -> Secret | None:
        """Return a secret by id; None if it does not exist."""
        value = self._kept.find(secret)
        return None if value is None else _secret(value)

    def get(self, secret: str) -> Secret:
        """Return a secret by id; raises `ApiError` 404."""
        found = self.find(secret)
        if found is None:
            raise no_such_secret(names.secret_name(secret))
        return found

    def put(self, secret: Secret) -> None:
        """Keep a new or changed secret; it is on disk when this returns."""
        self._kept.put(secret.id, _json(secret))

    def remove(self, secret: str) -> None:
        """Delete a secret with its payloads."""
        self._kept.remove(secret)


def _json(secret: Secret) -> Json:
    kept = asdict(secret)
    for version in kept["versions"]:
        if version["payload"] is not None:
            version["payload"] = base64.b64encode(version["payload"]).decode()
    return kept


def _secret(kept: Json) -> Secret:
    return Secret(**{**kept, "versions": tuple(map(_version, kept["versions"]))})


def _version(kept: Json) -> Version:
    payload = kept["payload"]
    return Version(**{**kept, "payload": None if payload is None else base64.b64decode(payload)})
