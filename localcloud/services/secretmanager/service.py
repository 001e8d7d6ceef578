"""The Secret Manager service: connects its store and handlers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localcloud.core.caller import Caller
from localcloud.core.clock import Clock
from localcloud.core.iam import Iam
from localcloud.core.iam.calls import Resources, policy_handlers
from localcloud.core.service import Handler, Part
from localcloud.services.secretmanager import names
from localcloud.services.secretmanager.calls import SecretCalls
from localcloud.services.secretmanager.calls_versions import VersionCalls
from localcloud.services.secretmanager.refusals import no_such_secret
from localcloud.services.secretmanager.state import Secrets

Json = dict[str, Any]


class SecretManagerService(Part):
    """Secret Manager of one project, without regional secrets. Its secrets stay in `state_dir` over a restart."""

    api = "secretmanager.v1"

    def __init__(self, state_dir: Path, clock: Clock, iam: Iam) -> None:
        self._iam = iam
        folder = state_dir / "secretmanager"
        self._secrets = Secrets(folder / "secrets.json", clock)
        resources = Resources(
            {"secretmanager.projects.secrets": "secretmanager.secrets"},
            exists=lambda name: self._secrets.find(names.parse(name).secret) is not None,
            missing=lambda name: no_such_secret(names.parse(name).of_secret),
        )
        self._versions = VersionCalls(self._secrets, clock)
        secrets = SecretCalls(self._secrets, clock)
        self._handlers = {**secrets.handlers(), **self._versions.handlers(), **policy_handlers(resources)}

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id of this service."""
        return self._handlers

    def access_secret(self, caller_email: str, version_name: str) -> bytes:
        """Return the payload of "projects/P/secrets/S/versions/V" for an account; V may be "latest".

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
                for secret in self._secrets.all()
            ]
        }
