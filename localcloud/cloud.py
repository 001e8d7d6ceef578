"""The composition root: one local cloud with its services, its port, its identities, and what it remembers on disk."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from localcloud.artifactregistry import ArtifactRegistryService
from localcloud.bigquery.service import BigQueryService
from localcloud.clock import Clock
from localcloud.cloudbuild import BuildService
from localcloud.cloudbuild.docker import DockerRunner
from localcloud.cloudbuild.objects import Objects
from localcloud.cloudbuild.process import ProcessRunner
from localcloud.cloudbuild.run import Tools
from localcloud.compute import ComputeService
from localcloud.control import Control
from localcloud.errors import ApiError
from localcloud.faults import FaultPlan
from localcloud.findings import Findings
from localcloud.functions.service import FunctionsService
from localcloud.iam import DEFAULT_ACCOUNT, GRANTS, PROJECT, Grant, Iam
from localcloud.iamapi import IamService
from localcloud.identities import Identities
from localcloud.machine import Machine, MachineEvents, MachineSpec
from localcloud.pubsub import PubSubService
from localcloud.resourcemanager import ResourceManagerService, ResourceManagerV1Service
from localcloud.run import RunService
from localcloud.scheduler import SchedulerService
from localcloud.secretmanager import SecretManagerService
from localcloud.server import Server
from localcloud.state_folder import Ports, check_ours, locked
from localcloud.storage import StorageService

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from localcloud.cloudbuild.runner import Runner
    from localcloud.service import Inventoried, RawService, Service

Json = dict[str, Any]

FIRST_BUCKET = "local-project-notebooks"

_ENDPOINTS = (
    "ARTIFACTREGISTRY",
    "CLOUDBUILD",
    "CLOUDFUNCTIONS",
    "CLOUDRESOURCEMANAGER",
    "CLOUDSCHEDULER",
    "COMPUTE",
    "IAM",
    "PUBSUB",
    "RUN",
    "SECRETMANAGER",
    "STORAGE",
)
# The user's own credentials, proxies and emulators, which must not reach a program that works on the local cloud.
_BLANKS = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "CLOUDSDK_CONFIG",
    "NO_GCE_CHECK",
    "STORAGE_EMULATOR_HOST",
    "PUBSUB_EMULATOR_HOST",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
)
# What an inventory has even while there is none of it.
_KINDS = (
    "compute.instances",
    "compute.disks",
    "storage.objects",
    "functions",
    "scheduler.jobs",
    "pubsub.topics",
    "builds",
)


class Cloud:
    """A local Google Cloud; use it as a context manager, or call `start` and `close`.

    `state` is its directory, made when missing: objects as files, the ports, what services remember. `buckets` are made at
    the start, beside the one that is always there; `faults` are planned before the first call is answered (ValueError
    when one is malformed). `port` 0 takes the port remembered in `state`, or any. `start` raises `StateInUse`, and OSError
    when the port asked for is taken or the directory is somebody else's. `runner` runs the steps of builds that name none,
    "process" or "docker"; `docker_network` is what their containers join, and with `docker_socket` they have the engine.
    `grants` replaces what the accounts may do, `quotas` overrides Compute Engine's limits by metric ({"CPUS": 0}).
    """

    def __init__(
        self,
        state: Path,
        *,
        buckets: Sequence[str] = (),
        faults: Sequence[Json] = (),
        port: int = 0,
        runner: str = "process",
        docker_network: str = "host",
        docker_socket: bool = False,
        grants: Sequence[Grant] = GRANTS,
        quotas: Mapping[str, float] | None = None,
    ) -> None:
        self.state = state.absolute()
        self.findings = Findings()
        self.faults = FaultPlan()
        for spec in faults:
            self.faults.add(spec)
        self.iam = Iam(grants)
        self._quotas = quotas
        self._buckets = tuple(dict.fromkeys((FIRST_BUCKET, *buckets)))
        self._port = port
        docker = DockerRunner(network=docker_network, socket=docker_socket)
        runners: tuple[Runner, ...] = (ProcessRunner(), docker)
        self._runners = {each.name: each for each in runners}
        self._runner = runner
        self._stack = contextlib.ExitStack()
        self._services: list[Inventoried] = []
        self.url = ""

    def start(self) -> None:
        """Bring everything up; returns when calls are answered and the buckets are there."""
        with contextlib.ExitStack() as stack:
            self.state.mkdir(parents=True, exist_ok=True)
            check_ours(self.state)
            stack.enter_context(locked(self.state / "lock"))
            self._ports = Ports(self.state / "ports.json")
            self.clock = Clock(lambda error: self.findings.error("a timer", error))
            stack.callback(self.clock.close)
            self._identities = Identities(self.iam, self._ports)
            stack.callback(self._identities.close)
            self._start_services(stack)
            self._identities.variables(DEFAULT_ACCOUNT)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """End everything that was started; the state directory stays. A second call does nothing."""
        self._stack.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def environment(self, account: str = "builder") -> dict[str, str]:
        """Return the variables that make Google's clients in another process work here, as one of the accounts."""
        path = os.environ.get("PATH", os.defpath)
        return {
            "LOCALCLOUD_URL": self.url,
            "PROJECT_ID": PROJECT,
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{path}",
            **self._leading_here(account),
        }

    def inventory(self) -> Json:
        """Return what there is, by kind; the planned faults; and what was found wrong with localcloud itself."""
        found: Json = {kind: [] for kind in _KINDS}
        for service in self._services:
            found |= service.inventory()
        return found | {"faults": self.faults.inventory()} | self.findings.inventory()

    def _leading_here(self, account: str) -> dict[str, str]:
        """Return what leads Google's clients here and nowhere else, as an account: all that a step of a build gets."""
        return {
            **{f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}": self.url for name in _ENDPOINTS},
            **self._identities.variables(account),
            "BIGQUERY_EMULATOR_HOST": self.url,
            **dict.fromkeys(_BLANKS, ""),
        }

    def _start_services(self, stack: contextlib.ExitStack) -> None:
        storage = StorageService(self.state, self.clock, self.iam, self.faults)
        stack.callback(storage.close)
        compute = ComputeService(
            self.state, self.clock, self.iam, self.faults, boot=self._boot, quotas=self._quotas
        )
        stack.callback(compute.close)
        bigquery = BigQueryService(self.state, self.clock, self.iam, self.faults)
        stack.callback(bigquery.close)
        secrets = SecretManagerService(self.state, self.clock, self.iam)
        builds = self._build_service(secrets)
        pubsub = PubSubService(
            self.state,
            self.clock,
            self.iam,
            self.faults,
            authorization=self._push_header,
            on_error=self.findings.error,
        )
        scheduler = SchedulerService(self.state, self.clock, pubsub.publish)
        registry = ArtifactRegistryService(self._runners[self._runner].images)
        run = RunService(
            self.state, self.clock, self.iam, url=lambda: self.url, identity=self._identities.variables
        )
        functions = FunctionsService(
            self.state,
            self.clock,
            run,
            pubsub,
            Objects(lambda: self.url, self.iam),
            url=lambda: self.url,
            on_error=self.findings.error,
        )
        projects: list[Service] = [ResourceManagerService(), ResourceManagerV1Service()]
        lookups: list[Service] = [*projects, IamService(self.iam), registry, functions, run]
        self._services = [storage, compute, bigquery, secrets, builds, pubsub, scheduler, *lookups]
        for bucket in self._buckets:
            _make_bucket(storage, bucket)
        services: list[Service] = [compute, secrets, builds, pubsub, scheduler, *lookups]
        server = self._listen(services, [storage, bigquery, functions.uploads, run.front], builds)
        stack.callback(server.close)
        stack.callback(pubsub.close)  # lest a pull that waits keep the port open
        stack.callback(builds.close)  # while its steps and its logs still reach the port
        stack.callback(functions.close)
        stack.callback(run.close)  # first: a deployment may wait for an instance
        server.start()
        self.url = server.url
        self._ports.remember("http", server.port)
        functions.resume()

    def _push_header(self, account: str, _audience: str) -> str:
        """Return what a push proves its account with: an access token, since localcloud has no identity tokens."""
        return f"Bearer {self.iam.token(account)[0]}"

    def _boot(self, spec: MachineSpec, events: MachineEvents) -> Machine:
        """Boot a VM on which BigQuery's clients find their way here, as the other clients do by what they are told."""
        return Machine.boot(replace(spec, variables={"BIGQUERY_EMULATOR_HOST": self.url}), events)

    def _build_service(self, secrets: SecretManagerService) -> BuildService:
        tools = Tools(
            self.clock,
            Objects(lambda: self.url, self.iam),
            self._leading_here,
            secrets.access_secret,
            self.findings.error,
        )
        return BuildService(self.state, tools, runners=self._runners, default_runner=self._runner)

    def _listen(
        self, services: Sequence[Service], raw_services: Sequence[RawService], builds: BuildService
    ) -> Server:
        """Bind the port asked for, or the one remembered, or (when another program has that now) any."""

        def server(port: int) -> Server:
            return Server(
                services=services,
                raw_services=raw_services,
                control=Control(self.clock, self.faults, self.inventory, builds.log).respond,
                iam=self.iam,
                faults=self.faults,
                findings=self.findings,
                port=port,
                now=self.clock.now,
            )

        if self._port:
            return server(self._port)
        try:
            return server(self._ports.recall("http"))
        except OSError:
            return server(0)


def _make_bucket(storage: StorageService, name: str) -> None:
    try:
        storage.create_bucket(name)
    except ApiError as error:
        problem = f"bucket {name!r} cannot be made: {error.message}"
        raise ValueError(problem) from error


def shell_exports(environment: Mapping[str, str]) -> str:
    """Return the variables as lines that a shell can source."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
