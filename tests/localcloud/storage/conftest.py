"""The storage service behind localcloud's own server, and Google's client for it."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import urllib3
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Bucket, Client
from google.oauth2.credentials import Credentials
from werkzeug import Response

from localcloud.clock import Clock
from localcloud.faults import FaultPlan
from localcloud.findings import Findings
from localcloud.iam import Iam, email
from localcloud.server import Server
from localcloud.storage import StorageService

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Site:
    """A running storage service."""

    state: Path
    service: StorageService
    server: Server
    clock: Clock
    iam: Iam
    faults: FaultPlan
    findings: Findings
    start_seconds: float

    @classmethod
    def start(cls, state: Path) -> Site:
        clock, iam, faults, findings = Clock(), Iam(), FaultPlan(), Findings()
        began = time.perf_counter()
        service = StorageService(state, clock, iam, faults)
        took = time.perf_counter() - began
        server = Server(
            services=[],
            raw_services=[service],
            control=lambda _: Response(status=404),
            iam=iam,
            faults=faults,
            findings=findings,
        )
        server.start()
        return cls(state, service, server, clock, iam, faults, findings, took)

    def close(self) -> None:
        self.server.close()
        self.service.close()
        self.clock.close()
        assert self.findings.inventory()["internal_errors"] == []

    def client(self, account: str = "") -> Client:
        """A client as one of the accounts; without one, as the owner."""
        credentials = (
            Credentials(token=self.iam.token(email(account))[0]) if account else AnonymousCredentials()
        )
        return Client(
            project="local-project",
            credentials=credentials,
            client_options=ClientOptions(api_endpoint=self.server.url),
        )

    def file(self, bucket: str, name: str) -> Path:
        """The plain file of an object."""
        return self.state / "storage" / bucket / name


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    running = Site.start(tmp_path_factory.mktemp("storage"))
    yield running
    running.close()


@pytest.fixture(scope="session")
def client(site: Site) -> Iterator[Client]:
    with site.client() as made:
        yield made


_numbers = itertools.count(1)


@pytest.fixture
def bucket(client: Client) -> Bucket:
    """A bucket of the test's own."""
    return client.create_bucket(f"test-bucket-{next(_numbers)}")


@pytest.fixture(scope="session")
def http(site: Site) -> Iterator[urllib3.HTTPConnectionPool]:
    """Plain requests, for what the client would not send."""
    with urllib3.connection_from_url(site.server.url, retries=False) as pool:
        yield pool
