"""The fixture of the integration tests: localcloud's services in this process, Google's clients, and a clock to move.

Nothing boots: a machine is a stand-in, and a guest of ours speaks for it where a test wants one.
"""

from __future__ import annotations

import contextlib
import io
import json
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.oauth2.credentials import Credentials

from builder.act.fleet import Fleet
from builder.act.insertion import VmRequest
from builder.act.placement import Placement
from builder.act.proofs import Origin
from builder.act.run import Run
from builder.act.vm import Vm
from builder.commands.run import carry_out
from builder.errors import ExitCode
from builder.gcp.clients import CALL_TIMEOUT, Access
from builder.gcp.compute import GoogleMachines
from builder.gcp.storage import GoogleObjectStore
from builder.plan.build_plan import Plan, build_plan
from builder.plan.choose import choose
from builder.plan.event import run_request
from builder.plan.vm_spec import Attempt
from builder.plan.workspace import Workspace
from builder.ports import BuildTime, Image
from builder.report.console import Console
from builder.waiting import Cancellation
from localcloud.core.clock import Clock
from localcloud.core.control import Control
from localcloud.core.faults import FaultPlan
from localcloud.core.findings import Findings
from localcloud.core.iam import PROJECT, Iam, email
from localcloud.core.server import Server
from localcloud.engines.vm.machine import MachineEvents, MachineSpec
from localcloud.profile import PROFILE
from localcloud.services.compute import Pace
from localcloud.services.registry import SPECS
from localcloud.services.storage import StorageService
from tests.inserts import RecordedCompute, check_requests
from tests.listed_calls import unlisted
from tests.loading import load_options
from tests.moving_clock import Address, served
from tests.patience import PATIENCE

Json = dict[str, Any]

BUCKET = "nb-contract"
ZONE = "us-central1-a"
ORIGIN = Origin("build-1", "c0ffee")
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)  # when a plan is made
# What a test itself asks for, and the product does not.
_OF_TESTS = ("compute.subnetworks.setPrivateIpGoogleAccess",)
QUICK = Pace(insert=0.01, delete=0.01, stop=0.01, shutdown=0.01)
IMAGE = Image(
    path="projects/debian-cloud/global/images/family/debian-12",
    family="debian-12",
    disk_gb=10,
    deprecated=False,
    uefi=True,
)
NOTEBOOK = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    },
    "cells": [
        {
            "cell_type": "code",
            "id": "cell-0",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
            "source": "print('hello')",
        }
    ],
}


class MovedClock:
    """The builder's clock: real time, but a sleep passes at once, for the cloud as well.

    `scale` makes seconds shorter.
    """

    def __init__(self, cloud: Clock, cancellation: Cancellation, scale: float = 1.0) -> None:
        self._cloud = cloud
        self._cancellation = cancellation
        self._scale = scale
        self._slept = 0.0
        self.longest = 0.0

    def monotonic(self) -> float:
        return time.monotonic() * self._scale + self._slept

    def sleep(self, seconds: float) -> None:
        self._cancellation.check()
        self._slept += seconds
        self.longest = max(self.longest, seconds)
        self._cloud.advance(seconds)
        time.sleep(0.002)  # what others do in real time goes on meanwhile


@dataclass
class StandIn:
    """A machine that runs nothing by itself."""

    spec: MachineSpec
    events: MachineEvents
    off: threading.Event = field(default_factory=threading.Event)

    def press_power_button(self) -> None:
        """Do nothing: no process runs that could shut it down."""

    def kill(self) -> None:
        self.off.set()


Guest = Callable[["CloudFixture", StandIn], None]


@dataclass
class CloudFixture:
    """One local cloud for one test, and the builder's clients of it."""

    clock: Clock
    faults: FaultPlan
    iam: Iam
    findings: Findings
    compute: RecordedCompute
    url: str
    clock_address: Address
    prefix: str
    machines_booted: list[StandIn] = field(default_factory=list)
    guests: list[Guest] = field(default_factory=list)
    cancellation: Cancellation = field(default_factory=Cancellation)
    said: list[str] = field(default_factory=list)
    log: io.StringIO = field(default_factory=io.StringIO)
    runs: list[Run] = field(default_factory=list)
    most_alive: int = 0
    broken: list[str] = field(default_factory=list)  # guests that raised an error while their VM ran
    guests_may_break: bool = False  # where faults meet what guests do, or where their builder is killed
    counting: threading.Lock = field(default_factory=threading.Lock)
    may_miss: frozenset[str] = frozenset()  # methods whose planned faults no call need meet
    closing: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __post_init__(self) -> None:
        self.time = MovedClock(self.clock, self.cancellation)
        self.use_prefix(self.prefix)

    def use_prefix(self, prefix: str) -> None:
        """Work below another prefix of the bucket, with the grants that the set-up makes for it."""
        self.prefix = prefix
        self.iam.grant_below(BUCKET, prefix)

    def access(self, account: str = "notebook-builder") -> Access:
        credentials = Credentials(token=self.iam.token(email(account))[0])
        return Access(credentials, PROJECT, {"compute": self.url, "storage": self.url})

    def fault(self, method: str, action: str, *, times: int = 1, skip: int = 0, **args: Any) -> None:
        """Plan a fault; `match` among the arguments narrows it."""
        match = args.pop("match", {})
        self.faults.add(
            {"method": method, "action": action, "times": times, "skip": skip, "match": match, "args": args}
        )

    def machines(self, account: str = "notebook-builder", *, timeout: float = CALL_TIMEOUT) -> GoogleMachines:
        made = GoogleMachines(self.access(account), self.time, timeout=timeout)
        self.closing.callback(made.close)
        return made

    def store(self, account: str = "notebook-builder", *, timeout: float = CALL_TIMEOUT) -> GoogleObjectStore:
        made = GoogleObjectStore(self.access(account), BUCKET, self.time, timeout=timeout)
        self.closing.callback(made.close)
        return made

    def fleet(self) -> Fleet:
        return Fleet(self.machines(), self.time, self.cancellation)

    def placement(self, fleet: Fleet) -> Placement:
        return Placement(
            fleet.machines,
            fleet,
            self.time,
            report=lambda _job, text: self.said.append(text),
            log=self.said.append,
        )

    def plan(self, folder: Path, notebooks: Sequence[str] = ("demo.ipynb",), **options: str) -> Plan:
        """The plan of a folder with these notebooks."""
        for name in notebooks:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(json.dumps(NOTEBOOK))
        env = {
            "PROJECT_ID": PROJECT,
            "NB_NOTEBOOKS": ",".join(notebooks),
            "NB_GCS_LOCATION": f"gs://{BUCKET}/{self.prefix}",
            "NB_VM_SERVICE_ACCOUNT": email("notebook-vm"),
            "NB_ZONES": ZONE,
            "NB_IMAGE_FAMILY": "debian-12",
            "NB_IMAGE_PROJECT": "debian-cloud",
            **options,
        }
        chosen = load_options(["run"], env, lambda _name: None)
        request = run_request(chosen, NOW)
        return build_plan(chosen, choose(chosen, Workspace(folder), request), request)

    def vm_request(self, plan: Plan, nonce: str = "0123456789abcdef") -> VmRequest:
        job = plan.jobs[0]
        attempt = Attempt(run="run-1", job=job.job, number=1, nonce=nonce)
        metadata: Json = {"run": "run-1", "job_id": job.job, "attempt": 1, "nonce": nonce}
        return VmRequest(job, attempt, IMAGE, "true", metadata, now=time.time())

    def run(
        self,
        plan: Plan,
        run_id: str | None = None,
        *,
        origin: Origin | None = ORIGIN,
        build_time: Callable[[], BuildTime | None] | None = None,
    ) -> ExitCode:
        """Carry a plan out; what is printed goes to `log`. Sweeps, as a run does."""
        console, store = Console(self.log), self.store()
        run = Run(
            plan,
            store=store,
            machines=self.machines(),
            endpoint=self.access().endpoint,
            clock=self.time,
            cancellation=self.cancellation,
            progress=console,
            origin=origin,
            build_time=build_time,
        )
        self.runs.append(run)
        wanted = run_id or f"run-{uuid.uuid4().hex[:8]}"
        return carry_out(
            run,
            wanted,
            store=store,
            location=plan.location,
            console=console,
            day=plan.today if plan.scheduled else None,
            latest=plan.latest,
        )

    def vm(self, plan: Plan, zone: str = ZONE, try_number: int = 1) -> Vm:
        """The handle of a VM as placement makes it."""
        vm_request = self.vm_request(plan)
        return Vm(vm_request.attempt.vm_name(try_number), zone, vm_request.attempt, vm_request.job.limits.vm)

    def booted(self, number: int = 0) -> StandIn:
        """The machine of this boot (from 0), as soon as it is there: a boot takes a moment of its own."""
        deadline = time.monotonic() + PATIENCE
        while len(self.machines_booted) <= number:
            assert time.monotonic() < deadline, "no machine was booted"
            time.sleep(0.005)
        return self.machines_booted[number]

    def alive(self) -> list[str]:
        return [item["name"] for item in self.compute.inventory()["compute.instances"]]

    def left(self) -> list[str]:
        """VMs and disks that exist."""
        found = self.compute.inventory()
        return [item["name"] for kind in ("compute.instances", "compute.disks") for item in found[kind]]

    def inserted(self) -> list[str]:
        """The names of all VMs that were ever created, in order."""
        attempts = self.compute.inserts()
        return [item.body["name"] for item in attempts if item.accepted and not item.replayed]

    def boot(self, spec: MachineSpec, events: MachineEvents) -> StandIn:
        machine = StandIn(spec, events)
        self.machines_booted.append(machine)
        with self.counting:
            self.most_alive = max(self.most_alive, len(self.alive()))
        if self.guests:
            guest = self.guests.pop(0) if len(self.guests) > 1 else self.guests[0]
            threading.Thread(target=self._speak, args=(guest, machine), daemon=True).start()
        return machine

    def _speak(self, guest: Guest, machine: StandIn) -> None:
        try:
            guest(self, machine)
        except Exception as error:  # noqa: BLE001 - a guest whose VM was taken away is cut off
            self.said.append(f"guest of {machine.spec.name}: {error!r}")
            if not machine.off.is_set():  # any other end is a mistake of the test
                self.broken.append(f"{machine.spec.name}: {error!r}")


@contextlib.contextmanager
def opened_storage(directory: Path, iam: Iam) -> Iterator[StorageService]:
    """Serve the objects of one bucket, which are files below `directory`/storage/`BUCKET`."""
    clock = Clock()
    service = StorageService(directory, clock, iam, FaultPlan(SPECS))
    service.create_bucket(BUCKET)
    iam.grant_on_bucket(BUCKET)
    # One account runs what the accounts of CI, of deployments and of schedules run: these tests are not about rights.
    builder = f"serviceAccount:{email('notebook-builder')}"
    iam.policies.grant(f"projects/_/buckets/{BUCKET}", "roles/storage.objectUser", builder)
    try:
        yield service
    finally:
        service.close()
        clock.close()


@contextlib.contextmanager
def opened(
    directory: Path,
    storage: StorageService,
    iam: Iam,
    *,
    quotas: Mapping[str, float] | None = None,
    policies: Mapping[str, Collection[str]] | None = None,
    faults: FaultPlan | None = None,
) -> Iterator[CloudFixture]:
    """Serve localcloud; at the end, fail if a planned fault was not met or localcloud made a mistake.

    `quotas` are limits of the project other than localcloud's own, `policies` its organization policies.
    """
    clock, faults, findings = Clock(), faults or FaultPlan(SPECS), Findings()
    cloud_fixture: CloudFixture

    def boot(spec: MachineSpec, events: MachineEvents) -> StandIn:
        return cloud_fixture.boot(spec, events)

    profile = replace(PROFILE, quotas=quotas or {}, policies=policies or {})
    compute = RecordedCompute(directory, clock, iam, faults, profile=profile, boot=boot, pace=QUICK)
    server = Server(
        specs=SPECS,
        services=[compute],
        raw_services=[storage],
        control=Control(clock, faults, dict, {}).respond,
        iam=iam,
        faults=faults,
        findings=findings,
        now=clock.now,
    )
    server.start()
    try:
        with served(clock) as clock_address:
            cloud_fixture = CloudFixture(
                clock, faults, iam, findings, compute, server.url, clock_address, "ci"
            )
            try:
                yield cloud_fixture
            finally:
                cloud_fixture.closing.close()
    finally:
        server.close()
        compute.close()
        clock.close()
    check_requests(compute.inserts())
    assert cloud_fixture.guests_may_break or cloud_fixture.broken == [], "guests with a mistake of the test"
    noticed = findings.inventory()
    assert noticed["schema_violations"] == []
    assert noticed["internal_errors"] == []
    planned = [fault for fault in faults.inventory() if fault["method"] not in cloud_fixture.may_miss]
    unmet = [fault for fault in planned if not fault["consumed"]]
    assert unmet == [], "planned faults that no call met"
    assert unlisted(noticed["calls"], also=_OF_TESTS) == [], (
        "Google calls without a row in builder/gcp/call_table.py"
    )
