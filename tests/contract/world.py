"""What the contract tests stand on: localcloud's own services in this process, Google's clients, and a clock that is moved.

Nothing boots: a machine is a stand-in, and a guest of ours speaks for it where a test wants one.
"""

from __future__ import annotations

import contextlib
import io
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.oauth2.credentials import Credentials
from werkzeug import Response

from builder import report
from builder.act.fleet import Fleet, Vm
from builder.act.placement import Order, Placement
from builder.act.proofs import Origin
from builder.act.run import Run
from builder.act.waiting import Cancellation
from builder.errors import ExitCode
from builder.gcp.clients import CALL_TIMEOUT, Access
from builder.gcp.compute import GoogleMachines
from builder.gcp.storage import GoogleObjectStore
from builder.options import load_options
from builder.plan.choose import choose
from builder.plan.event import asked_of
from builder.plan.make import Plan, make_plan
from builder.plan.vm_spec import Attempt
from builder.plan.workspace import Workspace
from builder.ports import BuildTime, Image
from localcloud.clock import Clock
from localcloud.compute import ComputeService, Pace
from localcloud.faults import FaultPlan
from localcloud.findings import Findings
from localcloud.iam import PROJECT, Iam, email
from localcloud.machine.machine import MachineEvents, MachineSpec
from localcloud.server import Server
from localcloud.storage import StorageService

Json = dict[str, Any]

BUCKET = "nb-contract"
ZONE = "us-central1-a"
ORIGIN = Origin("build-1", "c0ffee")
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)  # when a plan is made
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
    """The builder's clock: real time, but a sleep passes at once, for the cloud as well. `scale` makes seconds shorter."""

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

    def soft_off(self) -> None:
        """A guest that does not care."""

    def kill(self) -> None:
        self.off.set()


Guest = Callable[["World", StandIn], None]


@dataclass
class World:
    """One local cloud for one test, and the builder's doors to it."""

    clock: Clock
    faults: FaultPlan
    iam: Iam
    findings: Findings
    compute: ComputeService
    url: str
    prefix: str
    machines_booted: list[StandIn] = field(default_factory=list)
    guests: list[Guest] = field(default_factory=list)
    cancellation: Cancellation = field(default_factory=Cancellation)
    said: list[str] = field(default_factory=list)
    log: io.StringIO = field(default_factory=io.StringIO)
    runs: list[Run] = field(default_factory=list)
    most_alive: int = 0
    doors: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __post_init__(self) -> None:
        self.time = MovedClock(self.clock, self.cancellation)

    def access(self, account: str = "builder") -> Access:
        credentials = Credentials(token=self.iam.token(email(account))[0])
        return Access(credentials, PROJECT, {"compute": self.url, "storage": self.url})

    def fault(self, method: str, action: str, *, times: int = 1, skip: int = 0, **args: Any) -> None:
        """Plan a fault; `match` among the arguments narrows it."""
        match = args.pop("match", {})
        self.faults.add(
            {"method": method, "action": action, "times": times, "skip": skip, "match": match, "args": args}
        )

    def machines(self, account: str = "builder", *, timeout: float = CALL_TIMEOUT) -> GoogleMachines:
        made = GoogleMachines(self.access(account), self.time, timeout=timeout)
        self.doors.callback(made.close)
        return made

    def store(self, account: str = "builder", *, timeout: float = CALL_TIMEOUT) -> GoogleObjectStore:
        made = GoogleObjectStore(self.access(account), BUCKET, self.time, timeout=timeout)
        self.doors.callback(made.close)
        return made

    def fleet(self) -> Fleet:
        return Fleet(self.machines(), self.time, self.cancellation)

    def placement(self, fleet: Fleet) -> Placement:
        return Placement(fleet.machines, fleet, self.time, lambda _job, text: self.said.append(text))

    def plan(self, folder: Path, notebooks: Sequence[str] = ("demo.ipynb",), **options: str) -> Plan:
        """The plan of a folder with these notebooks."""
        for name in notebooks:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(json.dumps(NOTEBOOK))
        env = {
            "PROJECT_ID": PROJECT,
            "NB_NOTEBOOKS": ",".join(notebooks),
            "NB_GCS_LOCATION": f"gs://{BUCKET}/{self.prefix}",
            "NB_VM_SERVICE_ACCOUNT": email("vm"),
            "NB_ZONES": ZONE,
            "NB_IMAGE_FAMILY": "debian-12",
            "NB_IMAGE_PROJECT": "debian-cloud",
            **options,
        }
        chosen = load_options(["run"], env, lambda _name: None)
        asked = asked_of(chosen, NOW)
        return make_plan(chosen, choose(chosen, Workspace(folder), asked), asked)

    def order(self, plan: Plan, nonce: str = "0123456789abcdef") -> Order:
        job = plan.jobs[0]
        attempt = Attempt(run="run-1", job=job.job, number=1, nonce=nonce)
        metadata: Json = {"run": "run-1", "job_id": job.job, "attempt": 1, "nonce": nonce}
        return Order(job, attempt, IMAGE, "true", metadata, now=time.time())

    def run(
        self,
        plan: Plan,
        run_id: str | None = None,
        *,
        origin: Origin | None = ORIGIN,
        build_time: Callable[[], BuildTime | None] | None = None,
    ) -> ExitCode:
        """Carry a plan out; what is printed goes to `log`. Sweeps, as a run does."""
        run = Run(
            plan,
            store=self.store(),
            machines=self.machines(),
            endpoint=self.access().endpoint,
            clock=self.time,
            cancellation=self.cancellation,
            console=report.Console(self.log),
            origin=origin,
            build_time=build_time,
        )
        self.runs.append(run)
        return run.execute(run_id or f"run-{uuid.uuid4().hex[:8]}")

    def vm(self, plan: Plan, zone: str = ZONE, try_number: int = 1) -> Vm:
        """The handle of a VM as placement makes it."""
        order = self.order(plan)
        return Vm(order.attempt.vm_name(try_number), zone, order.attempt, order.job.limits.vm)

    def booted(self, number: int = 0) -> StandIn:
        """The machine of this boot (from 0), as soon as it is there: a boot takes a moment of its own."""
        deadline = time.monotonic() + 5
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
        self.most_alive = max(self.most_alive, len(self.alive()))
        if self.guests:
            guest = self.guests.pop(0) if len(self.guests) > 1 else self.guests[0]
            threading.Thread(target=self._speak, args=(guest, machine), daemon=True).start()
        return machine

    def _speak(self, guest: Guest, machine: StandIn) -> None:
        try:
            guest(self, machine)
        except Exception as error:  # noqa: BLE001 - a guest that is cut off says so, and the test sees what came of it
            self.said.append(f"guest of {machine.spec.name}: {error!r}")


@contextlib.contextmanager
def opened(
    directory: Path, storage: StorageService, iam: Iam, *, quotas: Mapping[str, float] | None = None
) -> Iterator[World]:
    """Serve a world; at its end every planned fault must have been met, and localcloud have made no mistake.

    `quotas` are limits of the project other than localcloud's own.
    """
    clock, faults, findings = Clock(), FaultPlan(), Findings()
    world: World

    def boot(spec: MachineSpec, events: MachineEvents) -> StandIn:
        return world.boot(spec, events)

    compute = ComputeService(directory, clock, iam, faults, boot=boot, pace=QUICK, quotas=quotas)
    server = Server(
        services=[compute],
        raw_services=[storage],
        control=lambda _request: Response(),
        iam=iam,
        faults=faults,
        findings=findings,
        now=clock.now,
    )
    world = World(clock, faults, iam, findings, compute, server.url, "ci")
    server.start()
    try:
        yield world
    finally:
        world.doors.close()
        server.close()
        compute.close()
        clock.close()
    noticed = findings.inventory()
    assert noticed["schema_violations"] == []
    assert noticed["internal_errors"] == []
    unmet = [fault for fault in faults.inventory() if not fault["consumed"]]
    assert unmet == [], "planned faults that no call met"
