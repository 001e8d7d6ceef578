"""Where deploying is tested: a whole local cloud, Google's clients on it, and a clock that is moved."""

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

from builder.act.waiting import Cancellation
from builder.deploy.live import Accounts
from builder.deploy.names import Names
from builder.deploy.ports import Doors
from builder.deploy.resources import Resources, resources
from builder.gcp.clients import CALL_TIMEOUT, Access
from builder.gcp.deploying import open_doors
from localcloud.cloud import Cloud
from localcloud.iam import GRANTS, PROJECT, Grant, email
from tests.contract.world import MovedClock

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
_MORE = (Grant("builder", "roles/pubsub.publisher", f"projects/{PROJECT}/topics/*"),)
MAIN = '''"""A function that says what it hears."""

import functions_framework


@functions_framework.cloud_event
def submit(event):
    print("heard", event["id"], VERSION)
'''


class PatientClock(MovedClock):
    """A moved clock that lets real processes get on while somebody waits for them."""

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        time.sleep(0.05)


def source(main: str = MAIN, version: int = 1) -> bytes:
    """The zip of a function; another version is other bytes, the same one the same."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo("main.py"), f"VERSION = {version}\n" + main)
        requirements = (ROOT / "function" / "requirements.txt").read_text()
        archive.writestr(zipfile.ZipInfo("requirements.txt"), requirements)
    return packed.getvalue()


@dataclass
class Place:
    """One cloud for one test."""

    cloud: Cloud
    said: list[str] = field(default_factory=list)
    timeout: float = CALL_TIMEOUT
    operation: str = ""

    def __post_init__(self) -> None:
        self.time: MovedClock = PatientClock(self.cloud.clock, Cancellation())

    def access(self, account: str = "deployer") -> Access:
        token = self.cloud.iam.token(email(account))[0]
        credentials = Credentials(token=token, account=email(account))
        return Access(credentials, PROJECT, dict.fromkeys(SERVICES, self.cloud.url))

    def doors(self, account: str = "deployer") -> Doors:
        return open_doors(self.access(account), self.time, timeout=self.timeout)

    def moved(self, scale: float) -> MovedClock:
        """A clock whose seconds are shorter."""
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
        accounts = Accounts(email("function"), email("function-build"), email("trigger"))
        return resources(names, accounts, **{**given, **changed})

    def fault(self, method: str, action: str, *, times: int = 1, skip: int = 0, **args: Any) -> None:
        """Plan a fault; `match` among the arguments narrows it."""
        match = args.pop("match", {})
        self.cloud.faults.add(
            {"method": method, "action": action, "times": times, "skip": skip, "match": match, "args": args}
        )

    def calls(self) -> Mapping[str, int]:
        """How often each method was called so far."""
        found: Mapping[str, int] = self.cloud.inventory()["calls"]
        return found

    def consumed(self) -> list[int]:
        return [fault["consumed"] for fault in self.cloud.faults.inventory()]


@contextlib.contextmanager
def opened(state: Path) -> Iterator[Place]:
    """Serve a place; at its end every planned fault must have been met, and localcloud have made no mistake."""
    with Cloud(state, grants=(*GRANTS, *_MORE)) as cloud:
        yield Place(cloud)
        inventory = cloud.inventory()
    assert inventory["schema_violations"] == []
    assert inventory["internal_errors"] == []
    unmet = [fault for fault in inventory["faults"] if not fault["consumed"]]
    assert unmet == [], "planned faults that no call met"
