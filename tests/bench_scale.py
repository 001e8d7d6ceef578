"""Measures planning and runs by the number of notebooks, with simulated guests and a separate process of the builder.

The sizes of the runs come from NB_BENCH_JOBS (default 100,400; the goals were set for 1000); plans are measured at
every size of PLANNED. One notebook shows what starting costs: CPU seconds and calls are counted above it. Guests
answer in this process, and their own calls are not counted.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from google.oauth2.credentials import Credentials

from builder.gcp.clients import Access
from builder.gcp.storage import GoogleObjectStore
from builder.waiting import Cancellation, RealClock
from localcloud.cloud import Cloud
from localcloud.core.iam import PROJECT, email
from localcloud.engines.vm.machine import MachineEvents, MachineSpec
from tests.bench import ROUNDS, tell
from tests.e2e.builder_process import BUCKET, ROOT, Builder, Repo
from tests.integration import simulated_guests
from tests.integration.cloud_fixture import NOTEBOOK, CloudFixture, StandIn

SIZES = tuple(int(text) for text in os.environ.get("NB_BENCH_JOBS", "100,400").split(","))
PLANNED = (100, 400, 1000)
AT_A_TIME = "12"
_ROOM = dict.fromkeys(("CPUS", "CPUS_ALL_REGIONS", "INSTANCES", "SSD_TOTAL_GB"), 1e6)


class GuestCloud(Cloud):
    """A local cloud whose VMs boot nothing: a guest of this process speaks for each."""

    guest_calls = 0
    _opening = threading.Lock()
    _opened: GoogleObjectStore | None = None

    def _boot(self, spec: MachineSpec, events: MachineEvents) -> StandIn:
        machine = StandIn(spec, events)
        threading.Thread(target=self._speak, args=(machine,), daemon=True).start()
        return machine

    def _speak(self, machine: StandIn) -> None:
        # Of a fixture, a simulated guest uses only the client of the bucket.
        simulated_guests.green(cast("CloudFixture", self), machine)

    def store(self, account: str) -> GoogleObjectStore:
        """The bucket's client, one for all guests; calls through it count as theirs."""
        with self._opening:
            return self._opened or self._open(account)

    def _open(self, account: str) -> GoogleObjectStore:
        credentials = Credentials(token=self.iam.token(email(account))[0])
        access = Access(credentials, PROJECT, {"storage": self.url})
        made = GoogleObjectStore(access, BUCKET, RealClock(Cancellation()))
        made._client._http.hooks["response"].append(self._count)
        self._opened = made
        return made

    def _count(self, *_response: object, **_options: object) -> None:
        self.guest_calls += 1

    def builder_calls(self) -> int:
        """Return the number of answered calls that no guest made."""
        calls: dict[str, int] = self.inventory()["calls"]
        return sum(calls.values()) - self.guest_calls


@dataclass(frozen=True)
class Cost:
    """The cost of one run for the builder's process: CPU and wall seconds, Google calls, peak memory in MB."""

    cpu: float
    wall: float
    calls: int
    memory: float


def spent(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[Any, float]:
    """Run a command to its end, which must be 0; its resource usage and its wall seconds."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(max(0, log.tell() - 2000))
        assert process.returncode == 0, log.read().decode(errors="replace")
    return usage, time.monotonic() - started


def repository(cloud: GuestCloud, folder: Path, jobs: int) -> tuple[Path, dict[str, str]]:
    """A new repository with this many notebooks in one folder, and the builder's environment for all of them."""
    repo = Repo(folder / f"repo-{jobs}")
    if not repo.folder.exists():
        repo.folder.mkdir()
        repo.git("init", "--quiet", "--initial-branch=main")
        repo.write({f"nb{number:04}.ipynb": json.dumps(NOTEBOOK) for number in range(jobs)})
    return repo.folder, Builder(cloud, repo.folder).environment(
        NB_NOTEBOOKS="*.ipynb", NB_CONCURRENCY=AT_A_TIME
    )


def measure(cloud: GuestCloud, folder: Path, jobs: int, command: list[str]) -> Cost:
    """The cost of one command of the builder with this many notebooks."""
    checkout, environment = repository(cloud, folder, jobs)
    before = cloud.builder_calls()
    usage, wall = spent([sys.executable, str(ROOT / "entrypoint.py"), *command], checkout, environment)
    cpu = usage.ru_utime + usage.ru_stime
    return Cost(cpu, wall, cloud.builder_calls() - before, usage.ru_maxrss / 1024)


def measure_plan(cloud: GuestCloud, folder: Path, jobs: int) -> Cost:
    """The least cost of some plans, so that neither a cold cache nor a busy machine counts."""
    command = ["plan", "--format", "json"]
    plans = [measure(cloud, folder, jobs, command) for _ in range(max(2, ROUNDS))]
    return min(plans, key=lambda cost: cost.cpu)


def tell_growth(what: str, costs: dict[int, float], **more: float) -> None:
    """Print the slope between the smallest and the largest size on logarithmic scales: 1 is linear.

    Nothing if the smallest cost is within what one measurement varies, so that its logarithm says nothing.
    """
    small, large = min(costs), max(costs)
    if small < large and costs[small] > 0:
        slope = math.log(costs[large] / costs[small]) / math.log(large / small)
        tell(f"{what}: growth of CPU", slope, "exponent", of=f"{small} to {large} notebooks", **more)


def main() -> None:
    """Measure every size, then the growth."""
    folder = Path(tempfile.mkdtemp(prefix="notebook-builder-bench-"))
    try:
        with GuestCloud(folder / "cloud", buckets=[BUCKET], quotas=_ROOM) as cloud:
            plans = measure_plans(cloud, folder)
            runs = measure_runs(cloud, folder)
        tell_growth("plan", plans)
        tell_growth("run", runs, goal=1.05)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure_plans(cloud: GuestCloud, folder: Path) -> dict[int, float]:
    """Print what plans cost; return, by size, the CPU seconds above those of a plan of one notebook."""
    one = measure_plan(cloud, folder, 1)
    above = {}
    for jobs in PLANNED:
        plan = measure_plan(cloud, folder, jobs)
        goal = {"goal": 5.0} if jobs == 1000 else {}
        tell(f"plan of {jobs} notebooks", plan.wall, "s", cpu=round(plan.cpu, 3), **goal)
        above[jobs] = plan.cpu - one.cpu
    return above


def measure_runs(cloud: GuestCloud, folder: Path) -> dict[int, float]:
    """Print what runs cost; return, by size, the CPU seconds above those of a run of one notebook."""
    one = measure(cloud, folder, 1, ["run"])
    above = {}
    for jobs in SIZES:
        run = measure(cloud, folder, jobs, ["run"])
        report(jobs, run, one)
        above[jobs] = run.cpu - one.cpu
    return above


def report(jobs: int, run: Cost, one: Cost) -> None:
    """Print the figures of a run beside those of a run of one notebook."""
    against = "a run of one notebook"
    tell(
        f"run of {jobs} notebooks: CPU for each",
        (run.cpu - one.cpu) / jobs,
        "s",
        compared_with=against,
        baseline=round(one.cpu, 3),
        wall=round(run.wall, 1),
    )
    tell(
        f"run of {jobs} notebooks: Google calls for each",
        (run.calls - one.calls) / jobs,
        "calls",
        compared_with=against,
        baseline=one.calls,
    )
    tell(
        f"run of {jobs} notebooks: peak memory",
        run.memory,
        "MB",
        compared_with=against,
        baseline=round(one.memory, 1),
        goal=300,
    )


if __name__ == "__main__":
    main()
