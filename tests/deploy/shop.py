"""What promotions are tested with: a repo, its request, proofs as a green run leaves them, and a door that dies at a call."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import requests.adapters

from builder.act.proofs import Origin, keep_proofs
from builder.act.result import JobResult, summary
from builder.deploy.beliefs import Claim
from builder.deploy.function_source import FunctionSource
from builder.deploy.ports import Doors
from builder.deploy.promotion import Request, promote
from builder.deploy.target import Outcome, Target
from builder.errors import ExitCode
from builder.gcp.storage import GoogleObjectStore
from builder.model import GcsLocation, Verdict
from builder.options import load_options
from builder.plan.choose import choose
from builder.plan.event import asked_of
from builder.plan.inputs import inputs_sha256
from builder.plan.make import make_plan
from builder.plan.workspace import Workspace, pack
from localcloud.iam import PROJECT, email
from tests.deploy.place import SERVICES, Place, source
from tests.e2e.world import notebook

BUCKET = "local-project-notebooks"
LOCATION = GcsLocation(BUCKET, "ci")
KIT = "ab" * 32
IMAGE = "projects/deeplearning-platform-release/global/images/pytorch-v1"


class Killed(BaseException):
    """The process ends here: no handler for faults sees it."""


@dataclass(eq=False)
class Shop:
    """One repo on one cloud."""

    place: Place
    folder: Path
    options: dict[str, str] = field(default_factory=dict)
    zip: bytes = field(default_factory=source)

    def __post_init__(self) -> None:
        (self.folder / "repo").mkdir(parents=True)
        self.write("day = '2018-04-01'")

    def write(self, cell: str, name: str = "demo.ipynb") -> None:
        """Write a notebook whose first cell declares its parameters."""
        (self.folder / "repo" / name).write_text(notebook((cell, ["parameters"]), "print(1)"))

    def request(self) -> Request:
        """What `deploy` computes before its first call."""
        env = {
            "PROJECT_ID": PROJECT,
            "NB_NOTEBOOKS": "*.ipynb",
            "NB_GCS_LOCATION": LOCATION.url(),
            "NB_VM_SERVICE_ACCOUNT": email("vm"),
            "NB_FUNCTION": "nightly",
            "NB_TOPIC": "news",
            "NB_SCHEDULE": "0 6 * * 1",
            "NB_SCHEDULE_PARAMETERS": '{"day": "{today-1d}"}',
            **{f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name.upper()}": self.place.cloud.url for name in SERVICES},
            **self.options,
        }
        self.loaded = load_options(["deploy"], env, lambda _name: None)
        asked = asked_of(self.loaded, datetime.now(UTC))
        chosen = choose(self.loaded, Workspace(self.folder / "repo"), asked)
        plan = make_plan(self.loaded, chosen, asked)
        packed = {job.job: pack(job.files, self.folder / f"{job.job}.tgz").sha256 for job in plan.jobs}
        claims = [Claim(job, inputs_sha256(job, packed[job.job], KIT)) for job in plan.jobs]
        return Request(plan, chosen, claims, packed, KIT, self.folder)

    def prove(self, request: Request, run: str = "run-1", *, location: GcsLocation = LOCATION) -> None:
        """Leave what a green run of these inputs leaves."""
        results = [
            JobResult(
                job=claim.job.job,
                notebook=claim.job.notebook.path,
                parameters={},
                verdict=Verdict(ExitCode.GREEN, "green", "all ran"),
                attempts=1,
                seconds=1.0,
                output="",
                name=claim.job.name,
                has_notebook=True,
                inputs=claim.inputs,
                image=IMAGE,
                packages=("pandas==2.3.0",),
                workspace_sha256=request.workspaces[claim.job.job],
            )
            for claim in request.claims
        ]
        document = json.dumps(summary(run, results, ExitCode.GREEN)).encode()
        store = self.store("builder")
        written = store.replace(
            location.object("results", run, "summary.json"), document, content_type="application/json"
        )
        keep_proofs(
            store,
            location,
            results,
            run=run,
            origin=Origin("build-1", "c0ffee"),
            kit=KIT,
            summary=written,
            tell=self.place.said.append,
        )

    @functools.cached_property
    def doors(self) -> Doors:
        return self.place.doors()

    @functools.cache  # noqa: B019 - a shop lives as long as its test
    def store(self, account: str = "deployer") -> GoogleObjectStore:
        return GoogleObjectStore(self.place.access(account), BUCKET, self.place.time)

    def target(self) -> Target:
        """Where it goes; the options are those of the last request."""
        deployment = self.loaded.deployment
        assert deployment is not None
        return Target(
            options=self.loaded,
            deployment=deployment,
            project=PROJECT,
            store=self.store(),
            doors=self.doors,
            source=FunctionSource(self.zip, hashlib.sha256(self.zip).hexdigest()),
            say=self.place.said.append,
        )

    def deploy(self) -> Outcome:
        """Prove what is in the repo and put it live."""
        request = self.request()
        self.prove(request)
        return promote(request, self.target())

    def build(self) -> str:
        """The id of a build that Cloud Build knows."""
        wanted = {"steps": [{"name": "bash", "args": ["-c", "true"]}], "options": {"logging": "NONE"}}
        url = f"{self.place.cloud.url}/v1/projects/{PROJECT}/locations/us-central1/builds"
        answer = requests.post(url, json=wanted, timeout=10)
        return str(answer.json()["metadata"]["build"]["id"])

    def live(self) -> dict[str, Any] | None:
        """live.json, if there is one."""
        raw = self.store().read("ci/live/nightly/live.json")
        return None if raw is None else dict(json.loads(raw))

    def state(self) -> dict[str, Any]:
        """All that a deployment is made of, without what tells one process's writes from another's."""
        found = self.place.cloud.inventory()
        live = self.live()
        if live is not None:
            live = {**live["live"], "source": None, "earlier": len(live["earlier"])}
            live["archive"]["generation"] = live["build"]["source"]["storageSource"]["generation"] = None
        return {
            "live": live,
            "objects": sorted(one["name"] for one in found["storage.objects"] if "/live/" in one["name"]),
            "functions": [(one["name"], one["state"]) for one in found["functions"]],
            "regions": [one["location"] for kind in ("functions", "scheduler.jobs") for one in found[kind]],
            "jobs": [(one["name"], one["schedule"], one["state"]) for one in found["scheduler.jobs"]],
            "topics": [one["name"] for one in found["pubsub.topics"]],
            "subscriptions": len(found["pubsub.subscriptions"]),
            "policy": self.invokers(),
        }

    def invokers(self) -> Sequence[str]:
        """Who may invoke the function."""
        regions = [one["location"] for one in self.place.cloud.inventory()["functions"]]
        paths = [f"projects/{PROJECT}/locations/{region}/services/nightly" for region in regions]
        policies = [self.doors.services.policy(path) for path in paths]
        return [
            member for one in policies if one for binding in one.bindings for member in binding["members"]
        ]


@contextlib.contextmanager
def dying(monkeypatch: pytest.MonkeyPatch, at: int, side: str) -> Iterator[list[str]]:
    """Let this process "die" at its writing call number `at` (from 1): `before` it is sent, or `after` its effect and before its reply.

    To die at a read is to die before the next write. Yields the writes that were sent, as METHOD URL.
    """
    calls: list[str] = []
    send = requests.adapters.HTTPAdapter.send

    def counted(adapter: Any, request: Any, **how: Any) -> Any:
        # Pushes of the cloud in this process go their own ways.
        aside = threading.current_thread() is not threading.main_thread()
        if aside or request.method == "GET":
            return send(adapter, request, **how)
        calls.append(f"{request.method} {request.url.partition('?')[0]}")
        if len(calls) == at and side == "before":
            raise Killed
        answer = send(adapter, request, **how)
        if len(calls) == at:
            answer.close()
            raise Killed
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(requests.adapters.HTTPAdapter, "send", counted)
        yield calls
