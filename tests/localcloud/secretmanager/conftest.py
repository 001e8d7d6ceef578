"""A served Secret Manager, and Google's own client for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import secretmanager_v1
from google.oauth2.credentials import Credentials
from werkzeug import Response

from localcloud.clock import Clock
from localcloud.faults import FaultPlan
from localcloud.findings import Findings
from localcloud.iam import Iam, email
from localcloud.secretmanager import SecretManagerService
from localcloud.server import Server

PROJECT = "projects/local-project"
NUMBERED = "projects/123456789012"
AUTOMATIC: dict[str, Any] = {"replication": {"automatic": {}}}


class World:
    """One served Secret Manager on a state directory; `close` and another `World` on it are a restart."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.clock = Clock()
        self.iam = Iam()
        self.faults = FaultPlan()
        self.findings = Findings()
        self.service = SecretManagerService(state, self.clock, self.iam)
        self._server = Server(
            services=[self.service],
            raw_services=[],
            control=lambda _request: Response(status=404),
            iam=self.iam,
            faults=self.faults,
            findings=self.findings,
            now=self.clock.now,
        )
        self._server.start()
        self.url = self._server.url

    def client(self, account: str | None = None) -> Any:
        """Return Google's client, as an account or as the project's owner."""
        credentials: Any = AnonymousCredentials()
        if account is not None:
            credentials = Credentials(token=self.iam.token(email(account))[0])
        return secretmanager_v1.SecretManagerServiceClient(
            credentials=credentials, transport="rest", client_options={"api_endpoint": self.url}
        )

    def secret(self, secret_id: str = "s", **fields: Any) -> Any:
        """Make a secret, as the owner."""
        return self.client().create_secret(parent=PROJECT, secret_id=secret_id, secret=AUTOMATIC | fields)

    def version(self, data: bytes = b"value", secret_id: str = "s") -> Any:
        """Add a version, as the owner."""
        return self.client().add_secret_version(
            parent=f"{PROJECT}/secrets/{secret_id}", payload={"data": data}
        )

    def grant(self, role: str, *members: str, secret_id: str = "s") -> None:
        """Give a role on a secret to members, as the owner does it with Google's client."""
        self.client().set_iam_policy(
            request={
                "resource": f"{PROJECT}/secrets/{secret_id}",
                "policy": {"bindings": [{"role": role, "members": members}]},
            }
        )

    def close(self) -> None:
        """Stop; nothing that localcloud itself did may have been wrong."""
        self._server.close()
        self.service.close()
        self.clock.close()
        found = self.findings.inventory()
        assert found["schema_violations"] == []
        assert found["internal_errors"] == []


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], World]]:
    """Start a Secret Manager on the test's state directory; all that were started are closed at the end."""
    state = tmp_path / "state"
    worlds: list[World] = []

    def begin() -> World:
        for earlier in worlds:
            earlier.close()
        worlds[:] = [World(state)]
        return worlds[0]

    yield begin
    for world in worlds:
        world.close()


@pytest.fixture
def world(start: Callable[[], World]) -> World:
    """Run one Secret Manager."""
    return start()
