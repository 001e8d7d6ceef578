"""The Secret Manager service: puts its store and handlers together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localcloud.clock import Clock
from localcloud.iam import Iam
from localcloud.secretmanager.grants import Grants
from localcloud.secretmanager.secrets import Secrets
from localcloud.secretmanager.store import Store
from localcloud.secretmanager.versions import Versions
from localcloud.service import Caller, Handler

Json = dict[str, Any]


class SecretManagerService:
    """Secret Manager of one project, without the regional secrets. What it holds stays in `state_dir` over a restart."""

    api = "secretmanager.v1"

    def __init__(self, state_dir: Path, clock: Clock, iam: Iam) -> None:
        self._iam = iam
        self._store = Store(state_dir / "secretmanager", clock, iam)
        self._versions = Versions(self._store, clock)
        secrets, grants = Secrets(self._store, clock), Grants(self._store)
        self._handlers = {**secrets.handlers(), **self._versions.handlers(), **grants.handlers()}

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id of this service."""
        return self._handlers

    def access_secret(self, caller_email: str, version_name: str) -> bytes:
        """Return the payload of "projects/P/secrets/S/versions/V" for an account; V may be "latest" or an alias.

        Raises `ApiError` as a call of that account would: 403, 404, or 400 for a version that is not enabled.
        """
        return self._versions.payload(self._iam, Caller(caller_email), version_name)[1]

    def inventory(self) -> Mapping[str, list[Json]]:
        """Return the secrets, and the states of their versions; never a payload."""
        return {
            "secrets": [
                {
                    "name": secret.id,
                    "versions": [
                        {"version": str(version.number), "state": version.state}
                        for version in secret.versions
                    ],
                }
                for secret in self._store.all()
            ]
        }

    def close(self) -> None:
        """Nothing runs, and all that is kept is on disk already."""
