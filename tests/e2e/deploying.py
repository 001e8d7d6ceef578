"""The fixtures for tests of deploying: one green run, and for each test a copy of the cloud that has it."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.cloud.scheduler_v1 import CloudSchedulerClient
from google.cloud.storage import Client
from google.oauth2.credentials import Credentials
from google.pubsub_v1 import PublisherClient

from localcloud.cloud import Cloud
from localcloud.core.iam import PROJECT, Grant
from localcloud.profile import GRANTS
from tests.e2e.builder_process import BUCKET, Builder, Finished, Repo, notebook, until
from tests.granting import granting

NAME = "nightly"  # of function, topic and schedule
PREFIX = "ci"
BOOK = notebook(("day = '2018-04-01'\ncity = 'Paris'", ["parameters"]), "assert city == 'Paris', city")
OPTIONS = {
    "NB_NOTEBOOKS": "demo.ipynb",
    "NB_FUNCTION": NAME,
    "NB_SCHEDULE": "0 6 * * 1",
    "NB_SCHEDULE_PARAMETERS": '{"day": "{today-1d}"}',
}
# What there is of a deployment, and nothing else is.
MADE = {"functions": [NAME], "scheduler.jobs": [NAME], "pubsub.topics": [NAME]}
NOTHING: dict[str, list[str]] = {kind: [] for kind in MADE}


@dataclass
class Deployer(Builder):
    """The builder in builds of the branch that deploys."""

    prefix: str = PREFIX

    def environment(self, **options: str) -> dict[str, str]:
        return super().environment(**{**self.cloud.environment("notebook-deployer"), **OPTIONS, **options})

    def deploy(self, flag: str = "", **options: str) -> Finished:
        """Run `deploy` to its end."""
        return self.run(f"deploy {flag}", **options)

    @property
    def location(self) -> Path:
        """The location in the bucket, as files."""
        return self.cloud.state / "storage" / BUCKET / self.prefix

    def live(self) -> tuple[int, dict[str, Any]] | None:
        """live.json's generation and content, if it is there."""
        options = {"api_endpoint": self.cloud.url}
        client = Client(
            project=PROJECT, credentials=Credentials(token=self.cloud.iam.owner_token), client_options=options
        )
        with contextlib.closing(client):
            found = client.bucket(BUCKET).get_blob(f"{self.prefix}/live/{NAME}/live.json")
            return None if found is None else (found.generation, json.loads(found.download_as_bytes()))

    def made(self) -> dict[str, list[str]]:
        """The names of what a deployment makes."""
        inventory = self.cloud.inventory()
        return {kind: [one["name"] for one in inventory[kind]] for kind in MADE}

    def calls(self) -> dict[str, int]:
        """Return the number of calls of each method so far."""
        return dict(self.cloud.inventory()["calls"])

    def fault(
        self, method: str, action: str, *, times: int = 1, match: dict[str, str] | None = None, **args: Any
    ) -> None:
        """Plan a fault."""
        self.cloud.faults.add(
            {"method": method, "action": action, "times": times, "match": match or {}, "args": args}
        )

    def run_job(self) -> None:
        """Let the schedule's job run now, as its owner may."""
        self._client(CloudSchedulerClient).run_job(
            name=f"projects/{PROJECT}/locations/us-central1/jobs/{NAME}"
        )

    def publish(self, message: str) -> str:
        """Publish a message to the topic, as its owner may; its id."""
        answer = self._client(PublisherClient).publish(
            topic=f"projects/{PROJECT}/topics/{NAME}", messages=[{"data": message.encode()}]
        )
        return str(answer.message_ids[0])

    def builds(self) -> list[dict[str, Any]]:
        """The scheduled builds, each as it is by now."""
        return [
            build for build in self.cloud.inventory()["builds"] if f"nb-live-{NAME}" in build.get("tags", ())
        ]

    def ended(self, count: int) -> list[dict[str, Any]]:
        """Wait until so many scheduled builds have ended."""

        def found() -> list[dict[str, Any]]:
            over = [build for build in self.builds() if "finishTime" in build]
            return over if len(over) >= count else []

        return list(until(found, f"{count} scheduled builds"))

    def _client(self, kind: Any) -> Any:
        options = {"api_endpoint": self.cloud.url}
        return kind(
            credentials=Credentials(token=self.cloud.iam.owner_token),
            transport="rest",
            client_options=options,
        )


@dataclass(frozen=True)
class Proven:
    """A folder with a repo, and a cloud at rest whose bucket holds the proof of a green run of it."""

    folder: Path

    @contextlib.contextmanager
    def copied(self, folder: Path, grants: Sequence[Grant] = GRANTS) -> Iterator[Deployer]:
        """A copy of both, in use; where accounts may do what `grants` say."""
        shutil.copytree(self.folder, folder, symlinks=True)
        shutil.rmtree(folder / "cloud" / "iam")
        with Cloud(folder / "cloud", profile=granting(grants)) as cloud:
            cloud.iam.grant_on_bucket(BUCKET)
            yield Deployer(cloud, folder / "repo")
            inventory = cloud.inventory()
        assert inventory["schema_violations"] == inventory["internal_errors"] == []
        unmet = [fault for fault in inventory["faults"] if not fault["consumed"]]
        assert unmet == [], "planned faults that no call met"


def prove(folder: Path) -> Finished:
    """Run a notebook, which is green, where the account that deploys is the only one that builds run as."""
    repo = Repo(folder / "repo")
    repo.folder.mkdir(parents=True)
    repo.git("init", "--quiet", "--initial-branch=main")
    repo.write({"demo.ipynb": BOOK})
    grants = [grant for grant in GRANTS if grant.account != "notebook-builder"]
    assert len(grants) < len(GRANTS)
    with Cloud(folder / "cloud", buckets=[BUCKET], profile=granting(grants)) as cloud:
        deployer = Deployer(cloud, repo.folder)
        done = deployer.run()
        assert done.code == 0, done.output
        assert deployer.left() == []
    return done
