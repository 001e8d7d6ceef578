"""The fixture of promotions.

A repository, its request, the proofs of a green run, and a process that dies at a call.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
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
from builder.act.result import JobResult, RunResult
from builder.deploy.context import DeploymentContext
from builder.deploy.function_source import FunctionSource
from builder.deploy.promotion import PromotionRequest, promote
from builder.deploy.proof_lookup import proof_request
from builder.deploy_ports import Clients
from builder.errors import ExitCode
from builder.gcp.storage import GoogleObjectStore
from builder.model import GcsLocation, Verdict
from builder.plan.build_plan import build_plan
from builder.plan.choose import choose
from builder.plan.event import run_request
from builder.plan.packing import pack
from builder.plan.workspace import Workspace
from builder.report.summary import render_summary
from localcloud.core.iam import PROJECT, email
from tests.deploy.cloud_fixture import SERVICES, CloudFixture, source
from tests.e2e.builder_process import notebook
from tests.loading import load_options
from tests.owner import signed
from tests.patience import PATIENCE

BUCKET = "local-project-notebooks"
LOCATION = GcsLocation(BUCKET, "ci")
KIT = "ab" * 32
IMAGE = "projects/deeplearning-platform-release/global/images/pytorch-v1"


class Killed(BaseException):
    """The process ends here; no handler of faults catches it."""


@dataclass(eq=False)
class DeploymentFixture:
    """One repository on one cloud."""

    cloud_fixture: CloudFixture
    folder: Path
    options: dict[str, str] = field(default_factory=dict)
    zip: bytes = field(default_factory=source)
    workspaces: dict[str, str] = field(
        default_factory=dict
    )  # SHA-256 of the packed files by the hash of the inputs

    def __post_init__(self) -> None:
        (self.folder / "repo").mkdir(parents=True)
        self.write("day = '2018-04-01'")

    def write(self, cell: str, name: str = "demo.ipynb") -> None:
        """Write a notebook whose first cell declares its parameters."""
        (self.folder / "repo" / name).write_text(notebook((cell, ["parameters"]), "print(1)"))

    def request(self) -> PromotionRequest:
        """Return the request that `deploy` computes before its first call."""
        env = {
            "PROJECT_ID": PROJECT,
            "NB_NOTEBOOKS": "*.ipynb",
            "NB_GCS_LOCATION": LOCATION.url(),
            "NB_VM_SERVICE_ACCOUNT": email("notebook-vm"),
            "NB_FUNCTION": "nightly",
            "NB_TOPIC": "news",
            "NB_SCHEDULE": "0 6 * * 1",
            "NB_SCHEDULE_PARAMETERS": '{"day": "{today-1d}"}',
            # The set-up makes one repository. Deployments in other regions use it too.
            "NB_BUILDER_IMAGE": f"us-central1-docker.pkg.dev/{PROJECT}/notebook-builder/notebook-builder:0.1",
            **{
                f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name.upper()}": self.cloud_fixture.cloud.url
                for name in SERVICES
            },
            **self.options,
        }
        self.loaded = load_options(["deploy"], env, lambda _name: None)
        request = run_request(self.loaded, datetime.now(UTC))
        chosen = choose(self.loaded, Workspace(self.folder / "repo"), request)
        plan = build_plan(self.loaded, chosen, request)
        archives = {job.job: pack(job.files, self.folder / f"{job.job}.tgz") for job in plan.jobs}
        proof_requests = [proof_request(job, archives[job.job], KIT) for job in plan.jobs]
        self.workspaces |= {wanted.inputs: archives[wanted.job.job].sha256 for wanted in proof_requests}
        return PromotionRequest(plan, chosen, proof_requests, KIT, self.folder)

    def prove(
        self, request: PromotionRequest, run: str = "run-1", *, location: GcsLocation = LOCATION
    ) -> None:
        """Write the summary and the proofs of a green run of these inputs."""
        results = [
            JobResult(
                job=wanted.job.job,
                notebook=wanted.job.notebook.path,
                parameters={},
                verdict=Verdict(ExitCode.GREEN, "green", "all ran"),
                attempts=1,
                seconds=1.0,
                output="",
                name=wanted.job.name,
                has_notebook=True,
                inputs=wanted.inputs,
                named_inputs=wanted.named,
                image=IMAGE,
                packages=("pandas==2.3.0",),
                workspace_sha256=self.workspaces[wanted.inputs],
            )
            for wanted in request.proof_requests
        ]
        document = render_summary(RunResult(run, results, [], ExitCode.GREEN), Origin())
        store = self.store()  # only it may write proofs below a prefix that is deployed
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
            report=self.cloud_fixture.logged.append,
        )

    @functools.cached_property
    def clients(self) -> Clients:
        return self.cloud_fixture.clients()

    @functools.cache  # noqa: B019 - a fixture lives as long as its test
    def store(self, account: str = "notebook-deployer") -> GoogleObjectStore:
        return GoogleObjectStore(self.cloud_fixture.access(account), BUCKET, self.cloud_fixture.time)

    def context(self) -> DeploymentContext:
        """The context of a deployment with the options of the last request."""
        deployment = self.loaded.deployment
        assert deployment is not None
        return DeploymentContext(
            options=self.loaded,
            deployment=deployment,
            project=PROJECT,
            store=self.store(),
            clients=self.clients,
            source=FunctionSource(self.zip, hashlib.sha256(self.zip).hexdigest()),
            log=self.cloud_fixture.logged.append,
        )

    def deploy(self) -> str:
        """Prove the repository and make it live."""
        request = self.request()
        self.prove(request)
        return promote(request, self.context())

    def build(self) -> str:
        """The ID of a new build."""
        wanted = {"steps": [{"name": "bash", "args": ["-c", "true"]}], "options": {"logging": "NONE"}}
        url = f"{self.cloud_fixture.cloud.url}/v1/projects/{PROJECT}/locations/us-central1/builds"
        answer = requests.post(
            url, json=wanted, headers=signed(self.cloud_fixture.cloud.iam), timeout=PATIENCE
        )
        return str(answer.json()["metadata"]["build"]["id"])

    def live(self) -> dict[str, Any] | None:
        """The content of live.json; None if it does not exist."""
        raw = self.store().read("ci/live/nightly/live.json")
        return None if raw is None else dict(json.loads(raw))

    def state(self) -> dict[str, Any]:
        """Everything that belongs to a deployment, without the values that differ between two equal deployments."""
        found = self.cloud_fixture.cloud.inventory()
        functions, jobs = found["functions"], found["scheduler.jobs"]
        clients = self.clients
        live = self.live()
        if live is not None:
            live = {**live["live"], "source": None, "earlier": len(live["earlier"])}
            live["archive"]["generation"] = live["build"]["source"]["storageSource"]["generation"] = None
        return {
            "live": live,
            "objects": sorted(one["name"] for one in found["storage.objects"] if "/live/" in one["name"]),
            "functions": [(one["name"], one["state"]) for one in functions],
            "configs": [
                got and got.config for got in map(clients.functions.get, _paths("functions", functions))
            ],
            "code": [_code(one) for one in functions],
            "regions": [one["location"] for one in (*functions, *jobs)],
            "jobs": [(one["name"], one["schedule"], one["state"]) for one in jobs],
            "messages": [got and got.config for got in map(clients.schedules.get, _paths("jobs", jobs))],
            "topics": [one["name"] for one in found["pubsub.topics"]],
            "subscriptions": len(found["pubsub.subscriptions"]),
            "policy": self.invokers(),
        }

    def invokers(self) -> Sequence[str]:
        """The members that may invoke the function."""
        regions = [one["location"] for one in self.cloud_fixture.cloud.inventory()["functions"]]
        paths = [f"projects/{PROJECT}/locations/{region}/services/nightly" for region in regions]
        policies = [self.clients.services.policy(path) for path in paths]
        return [
            member for one in policies if one for binding in one.bindings for member in binding["members"]
        ]


def _paths(kind: str, found: Sequence[dict[str, Any]]) -> list[str]:
    """The full names of resources of the inventory."""
    return [f"projects/{PROJECT}/locations/{one['location']}/{kind}/{one['name']}" for one in found]


def _code(function: dict[str, Any]) -> str:
    """The SHA-256 of the main.py of a function's revision, which its label of code only promises."""
    if not function.get("revision"):
        return ""
    folder = Path(function["log"]).parent / function["location"] / function["revision"]
    main = folder / "source" / "main.py"
    return hashlib.sha256(main.read_bytes()).hexdigest() if main.is_file() else ""


def changed(message: str) -> bool:
    """Return True if the report of a command says that it has changed something."""
    return not message.startswith("nothing changed: ")


@contextlib.contextmanager
def dying(monkeypatch: pytest.MonkeyPatch, at: int) -> Iterator[None]:
    """Let this process "die" after the effect of its writing call number `at`, from 1.

    Only for what happens next in the same process: test_crash_points.py kills processes.
    """
    calls = itertools.count(1)
    send = requests.adapters.HTTPAdapter.send

    def counted(adapter: Any, request: Any, **how: Any) -> Any:
        answer = send(adapter, request, **how)
        # Pushes of the cloud in this process go their own ways.
        aside = threading.current_thread() is not threading.main_thread()
        if not aside and request.method != "GET" and next(calls) == at:
            answer.close()
            raise Killed
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(requests.adapters.HTTPAdapter, "send", counted)
        yield
