"""The composition root: one local cloud with its services, port, identities and state directory."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from localcloud.core.caller import OWNER_ADDRESS
from localcloud.core.clock import Clock
from localcloud.core.control import Control
from localcloud.core.enabled import EnabledServices
from localcloud.core.errors import ApiError
from localcloud.core.faults import FaultPlan
from localcloud.core.findings import Findings
from localcloud.core.iam import PROJECT, Iam, Profile
from localcloud.core.metadata.identities import Identities
from localcloud.core.server import Server
from localcloud.core.state_folder import Ports, check_ours, check_profile, locked, write_private
from localcloud.engines.build_docker import DockerRunner
from localcloud.engines.build_process import ProcessRunner
from localcloud.engines.packages import certificates
from localcloud.engines.vm import Boot, Machine, MachineEvents, MachineSpec, Running
from localcloud.profile import OWN_IMAGE, PROFILE
from localcloud.services.context import Context
from localcloud.services.registry import SPECS
from localcloud.services.storage import StorageService

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from localcloud.core.service import Part
    from localcloud.engines.build import Runner

Json = dict[str, Any]

_BIGQUERY = "bigquery.googleapis.com"
_STORAGE = "storage.googleapis.com"
# The user's own credentials, proxies and emulators, which must not reach a program that works on the local cloud.
_BLANKS = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "CLOUDSDK_CONFIG",
    "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE",
    "LOCALCLOUD_OWNER_TOKEN",
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


class Cloud:
    """A local Google Cloud; use it as a context manager, or call `start` and `close`.

    `state` is its directory, made if missing: objects as files, ports, services' state. `buckets` are made at the
    start, beside the one that is always there; in them, the accounts have rights below `prefixes` too. `faults` are
    planned before the first call is answered (ValueError if one is malformed). `port` 0 takes the port stored in
    `state`, or any. `start` raises `StateInUse`, and OSError if the port is taken or the directory has foreign files.
    `runner` runs the steps of builds that name none, "process" or "docker"; `docker_network` is their containers'
    network; `docker_socket` gives them the engine. `profile` says which accounts, roles and grants there are; `quotas`
    overrides Compute Engine's limits by metric ({"CPUS": 0}); `boot` makes the machine of a VM.
    """

    def __init__(
        self,
        state: Path,
        *,
        buckets: Sequence[str] = (),
        prefixes: Sequence[str] = (),
        faults: Sequence[Json] = (),
        port: int = 0,
        runner: str = "process",
        docker_network: str = "host",
        docker_socket: bool = False,
        profile: Profile = PROFILE,
        quotas: Mapping[str, float] | None = None,
        boot: Boot = Machine.boot,
    ) -> None:
        self.state = state.absolute()
        self.findings = Findings()
        self.faults = FaultPlan(SPECS)
        for spec in faults:
            self.faults.add(spec)
        self._boot_machine = boot
        self._profile = replace(profile, quotas={**profile.quotas, **(quotas or {})})
        self._buckets = tuple(dict.fromkeys((*profile.buckets, *buckets)))
        self._prefixes = tuple(prefixes)
        self._port = port
        docker = DockerRunner(network=docker_network, socket=docker_socket)
        runners: tuple[Runner, ...] = (ProcessRunner(OWN_IMAGE), docker)
        self._runners = {each.name: each for each in runners}
        self._runner = runner
        self._stack = contextlib.ExitStack()
        self._parts: list[Part] = []
        self.url = ""
        self._addresses: dict[str, str] = {}

    def start(self) -> None:
        """Start everything; returns once calls are answered and the buckets exist."""
        with contextlib.ExitStack() as stack:
            self.state.mkdir(parents=True, exist_ok=True)
            check_ours(self.state)
            self.state.chmod(0o700)
            stack.enter_context(locked(self.state / "lock"))
            check_profile(self.state, self._profile.name)
            self.iam = Iam(self._profile, SPECS, self.state / "iam")
            write_private(self._token_file, self.iam.owner_token)
            self._ports = Ports(self.state / "ports.json")
            self.clock = Clock(lambda error: self.findings.error("a timer", error))
            stack.callback(self.clock.close)
            enabled_file = self.state / "serviceusage" / "enabled.json"
            self.enabled = EnabledServices(enabled_file, self._profile.services)
            self._identities = Identities(self.iam, self._ports)
            stack.callback(self._identities.close)
            self._start_services(stack)
            self._identities.variables(self._profile.user or OWNER_ADDRESS)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """End everything that was started, and keep the state directory. A second call does nothing."""
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

    def environment(self, account: str | None = None) -> dict[str, str]:
        """Return the variables for a command of the project's owner.

        Google's clients in it find an account (None: the one that uses the project). gcloud finds the owner's token. If
        the owner uses the project, gcloud finds the services too: their addresses have the paths that it expects.
        """
        path = os.environ.get("PATH", os.defpath)
        user = account or self._profile.user
        return {
            "LOCALCLOUD_URL": self.url,
            "PROJECT_ID": PROJECT,
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{path}",
            **self._leading_here(user or OWNER_ADDRESS),
            **({} if user else self._gcloud()),
            "LOCALCLOUD_OWNER_TOKEN": self.iam.owner_token,
            "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(self._token_file),
        }

    def _gcloud(self) -> dict[str, str]:
        """Return the variables that lead gcloud here, with settings of its own in place of the user's."""
        return {
            **{
                f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{spec.endpoint}": f"{self._addresses[spec.service]}/{spec.gcloud_path}"
                for spec in SPECS
                if spec.endpoint
            },
            "CLOUDSDK_CONFIG": str(self.state / "gcloud"),
            "CLOUDSDK_CORE_PROJECT": PROJECT,
            "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
            "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
        }

    @property
    def _token_file(self) -> Path:
        return self.state / "owner-token"

    def inventory(self) -> Json:
        """Return all resources by kind, the planned faults, and the bugs found in localcloud itself."""
        found: Json = {}
        for part in self._parts:
            found |= part.inventory()
        return found | {"faults": self.faults.inventory()} | self.findings.inventory()

    def _leading_here(self, account: str) -> dict[str, str]:
        """Return the variables that lead Google's clients here, as an account: all that a step of a build gets."""
        return {
            **{
                f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{spec.endpoint}": self._addresses[spec.service]
                for spec in SPECS
                if spec.endpoint
            },
            **self._identities.variables(account),
            "BIGQUERY_EMULATOR_HOST": self._addresses[_BIGQUERY],
            **dict.fromkeys(_BLANKS, ""),
        }

    def _start_services(self, stack: contextlib.ExitStack) -> None:
        """Build the services and answer. Those that make requests of their own end before the port closes."""
        context = self._context()
        needing_port: list[Part] = []
        for spec in SPECS:
            for part in spec.build(context):
                context.parts.append(part)
                if spec.needs_port:
                    needing_port.append(part)
                else:
                    stack.callback(part.close)
        self._parts = context.parts
        for bucket in self._buckets:
            _make_bucket(context.part(StorageService), bucket)
            if f"projects/_/buckets/{bucket}" not in self.iam.policies.names():
                self.iam.grant_on_bucket(bucket)
            for prefix in self._prefixes:
                self.iam.grant_below(bucket, prefix)
        server = self._listen(context)
        stack.callback(server.close)
        for part in needing_port:
            stack.callback(part.close)
        for spec in SPECS:
            self._addresses[spec.service] = self._ports.bound(
                f"http-{spec.service}",
                partial(server.own_address, spec),
                lambda address: int(address.rpartition(":")[2]),
            )
        self.url = server.url
        for action in context.when_bound:
            action()
        server.start()

    def _context(self) -> Context:
        return Context(
            state=self.state,
            clock=self.clock,
            iam=self.iam,
            enabled=self.enabled,
            faults=self.faults,
            findings=self.findings,
            url=lambda: self.url,
            identity=self._identities.variables,
            environment=self._leading_here,
            boot=self._boot,
            profile=self._profile,
            runners=self._runners,
            default_runner=self._runner,
        )

    def _boot(self, spec: MachineSpec, events: MachineEvents) -> Running:
        """Boot a VM with the variables that lead the clients of BigQuery and Cloud Storage here.

        Other clients get the address in their code.

        The VM trusts the certificates that this machine's variables name, because a proxy may inspect TLS.
        """
        variables = {
            "BIGQUERY_EMULATOR_HOST": self._addresses[_BIGQUERY],
            "API_ENDPOINT_OVERRIDE": self._addresses[_STORAGE],  # google-cloud-storage alone reads it
            **certificates(os.environ),
            **spec.variables,
        }
        return self._boot_machine(replace(spec, variables=variables), events)

    def _listen(self, context: Context) -> Server:
        """Bind the port asked for, or the port of the last start, or any port if another program has that one now."""

        def server(port: int) -> Server:
            return Server(
                specs=SPECS,
                services=[part for part in context.parts if hasattr(part, "api")],
                raw_services=[part for part in context.parts if hasattr(part, "prefixes")],
                control=Control(self.clock, self.faults, self.inventory, context.routes).respond,
                iam=self.iam,
                faults=self.faults,
                findings=self.findings,
                enabled=self.enabled,
                reaches=context.reaches,
                port=port,
                now=self.clock.now,
            )

        if self._port:
            made = server(self._port)
            self._ports.remember("http", made.port)
            return made
        return self._ports.bound("http", server, lambda made: made.port)


def _make_bucket(storage: StorageService, name: str) -> None:
    """Make a bucket, unless it exists."""
    try:
        storage.create_bucket(name)
    except ApiError as error:
        problem = f"bucket {name!r} cannot be made: {error.message}"
        raise ValueError(problem) from error


def shell_exports(environment: Mapping[str, str]) -> str:
    """Return the variables as lines that a shell can source."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
