"""A served Secret Manager, and Google's own client for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud import secretmanager_v1

from localcloud.services.secretmanager import SecretManagerService
from tests.localcloud.served import Served, restarting

PROJECT = "projects/local-project"
NUMBERED = "projects/123456789012"
AUTOMATIC: dict[str, Any] = {"replication": {"automatic": {}}}


class CloudFixture(Served):
    """One served Secret Manager on a state directory; `close` and another one on it are a restart."""

    def __init__(self, state: Path) -> None:
        super().__init__(state)
        self.state = state
        self.service = SecretManagerService(state, self.clock, self.iam)
        self.serve(self.service)

    def client(self, account: str | None = None) -> Any:
        """Return Google's client, as an account or as the project's owner."""
        return secretmanager_v1.SecretManagerServiceClient(**self.options(account))

    def secret(self, secret_id: str = "s", **fields: Any) -> Any:
        """Make a secret, as the owner."""
        return self.client().create_secret(parent=PROJECT, secret_id=secret_id, secret=AUTOMATIC | fields)

    def version(self, data: bytes = b"value", secret_id: str = "s") -> Any:
        """Add a version, as the owner."""
        return self.client().add_secret_version(
            parent=f"{PROJECT}/secrets/{secret_id}", payload={"data": data}
        )

    def grant(self, role: str, *members: str, secret_id: str = "s") -> None:
        """Grant a role on a secret to members, as the owner, with Google's client."""
        self.client().set_iam_policy(
            request={
                "resource": f"{PROJECT}/secrets/{secret_id}",
                "policy": {"bindings": [{"role": role, "members": members}]},
            }
        )


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], CloudFixture]]:
    """Start a Secret Manager on the test's state directory; all that were started are closed at the end."""
    yield from restarting(lambda: CloudFixture(tmp_path / "state"))


@pytest.fixture
def cloud_fixture(start: Callable[[], CloudFixture]) -> CloudFixture:
    """Run one Secret Manager."""
    return start()
