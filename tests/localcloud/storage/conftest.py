"""The storage service behind localcloud's own server, and Google's client for it."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import urllib3
from google.api_core.client_options import ClientOptions
from google.cloud.storage import Bucket, Client

from localcloud.services.storage import StorageService
from tests.localcloud.served import Served
from tests.owner import signed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Site(Served):
    """A running storage service."""

    def __init__(self, state: Path) -> None:
        super().__init__()
        self.state = state
        began = time.process_time()
        self.service = StorageService(state, self.clock, self.iam, self.faults)
        self.start_seconds = time.process_time() - began
        self.serve(raw=(self.service,))

    def client(self, account: str | None = None) -> Client:
        """A client as one of the accounts; without one, as the owner."""
        return Client(
            project="local-project",
            credentials=self.credentials(account),
            client_options=ClientOptions(api_endpoint=self.url),
        )

    def file(self, bucket: str, name: str) -> Path:
        """The plain file of an object."""
        return self.state / "storage" / bucket / name


class OwnersPool(urllib3.HTTPConnectionPool):
    """A pool whose requests carry the owner's token, unless they bring another."""

    owner: Mapping[str, str]

    def urlopen(self, method: str, url: str, **how: Any) -> Any:  # type: ignore[override]
        headers = {**self.owner, **(how.pop("headers", None) or {})}
        return super().urlopen(method, url, headers=headers, **how)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    running = Site(tmp_path_factory.mktemp("storage"))
    yield running
    running.close()


@pytest.fixture(scope="session")
def client(site: Site) -> Iterator[Client]:
    with site.client() as made:
        yield made


_numbers = itertools.count(1)


@pytest.fixture
def bucket(site: Site, client: Client) -> Bucket:
    """A bucket of the test's own, with the accounts' rights below ci/."""
    made = client.create_bucket(f"test-bucket-{next(_numbers)}")
    site.iam.grant_on_bucket(made.name)
    site.iam.grant_below(made.name, "ci")
    return made


@pytest.fixture(scope="session")
def http(site: Site) -> Iterator[urllib3.HTTPConnectionPool]:
    """Plain requests of the owner, for what the client would not send."""
    with OwnersPool("127.0.0.1", site.server.port, retries=False) as pool:
        pool.owner = signed(site.iam)
        yield pool
