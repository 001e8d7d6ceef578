"""The fixture of tests that deploy: a local cloud, Google's clients for it, and a clock that tests move."""

from __future__ import annotations

import contextlib
import hashlib
import io
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.oauth2.credentials import Credentials

from builder.deploy.live import Accounts
from builder.deploy.names import Names
from builder.deploy.resources import FunctionSpec, Resources, resources
from builder.deploy_ports import Clients
from builder.gcp.clients import CALL_TIMEOUT, Access
from builder.gcp.deploying import open_clients
from builder.waiting import Cancellation
from localcloud.cloud import Cloud
from localcloud.core.iam import PROJECT, Grant, email
from localcloud.profile import GRANTS
from tests.granting import granting
from tests.integration.cloud_fixture import MovedClock

ROOT = Path(__file__).resolve().parents[2]
SERVICES = (
    "artifactregistry",
    "cloudbuild",
    "cloudfunctions",
    "cloudresourcemanager",
    "cloudscheduler",
    "iam",
    "pubsub",
    "run",
    "storage",
)
LIVE = "gs://local-project-notebooks/ci/live/nightly/live.json"
NAMES = Names(PROJECT, "us-central1", "nightly", "news", LIVE)
# What users grant beside: the topic of alerts is theirs.
_MORE = (Grant("notebook-builder", "roles/pubsub.publisher", f"projects/{PROJECT}"),)
MAIN = '''"""A function that prints the events that it receives."""

import functions_framework


@functions_framework.cloud_event
def submit(event):
    print("heard", event["id"], VERSION)
'''


class PatientClock(MovedClock):
    """A moved clock whose sleeps give real processes some time."""

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        time.sleep(0.05)


def source(main: str = MAIN, version: int = 1) -> bytes:
    """The zip of a function. The same version gives the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo("main.py"), f"VERSION = {version}\n" + main)
        requirements = (ROOT / "function" / "requirements.txt").read_text()
        archive.writestr(zipfile.ZipInfo("requirements.txt"), requirements)
    return packed.getvalue()


@dataclass
class CloudFixture:
    """One cloud for one test."""

    cloud: Cloud
    logged: list[str] = field(default_factory=list)
    timeout: float = CALL_TIMEOUT
    operation: str = ""

    def __post_init__(self) -> None:
        self.time: MovedClock = PatientClock(self.cloud.clock, Cancellation())

    def access(self, account: str = "notebook-deployer") -> Access:
        token = self.cloud.iam.token(email(account))[0]
        credentials = Credentials(token=token, account=email(account))
        return Access(credentials, PROJECT, dict.fromkeys(SERVICES, self.cloud.url))

    def clients(self, account: str = "notebook-deployer") -> Clients:
        return open_clients(self.access(account), self.time, timeout=self.timeout)

    def moved(self, scale: float) -> MovedClock:
        """A clock that runs `scale` times faster."""
        return MovedClock(self.cloud.clock, Cancellation(), scale=scale)

    def desired(self, zipped: bytes | None = None, **changed: Any) -> Resources:
        zipped = zipped or source()
        given: dict[str, Any] = {
            "endpoints": {"storage": self.cloud.url, "cloudbuild": self.cloud.url, "pubsub": self.cloud.url},
            "source": zipped,
            "code": hashlib.sha256(zipped).hexdigest(),
            "cron": "0 6 * * 1",
            "time_zone": "Europe/Vienna",
        }
        names = changed.pop("names", NAMES)
        accounts = Accounts(
            email("notebook-function"), email("notebook-function-build"), email("notebook-trigger")
        )
        return resources(names, accounts, **{**given, **changed})

    def function(self) -> FunctionSpec:
        """The desired function."""
        spec = self.desired().function
        assert spec is not None
        return spec

    def fault(self, method: str, action: str, *, times: int = 1, skip: int = 0, **args: Any) -> None:
        """Plan a fault for the calls that `match` selects."""
        match = args.pop("match", {})
        self.cloud.faults.add(
            {"method": method, "action": action, "times": times, "skip": skip, "match": match, "args": args}
        )

    def calls(self) -> Mapping[str, int]:
        """The number of calls so far, by method."""
        found: Mapping[str, int] = self.cloud.inventory()["calls"]
        return found

    def consumed(self) -> list[int]:
        return [fault["consumed"] for fault in self.cloud.faults.inventory()]


@contextlib.contextmanager
def serve_cloud(state: Path) -> Iterator[CloudFixture]:
    """Serve a cloud. At the end, check that calls met every planned fault and that localcloud made no mistake."""
    with Cloud(state, profile=granting((*GRANTS, *_MORE))) as cloud:
        yield CloudFixture(cloud)
        inventory = cloud.inventory()
    assert inventory["schema_violations"] == []
    assert inventory["internal_errors"] == []
    unmet = [fault for fault in inventory["faults"] if not fault["consumed"]]
    assert unmet == [], "planned faults that no call met"
