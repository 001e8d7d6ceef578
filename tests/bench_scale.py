"""How planning and a run grow with the number of notebooks: simulated guests, and the builder in a process of its own.

Sizes come from NB_BENCH_JOBS (default 100,400; the goals were set for 1000). A run of one notebook shows what starting
costs: CPU seconds and calls are counted above it. Guests answer in this process, and their own calls are not counted.
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

from builder.act.waiting import Cancellation, RealClock
from builder.gcp.clients import Access
from builder.gcp.storage import GoogleObjectStore
from localcloud.cloud import Cloud
from localcloud.iam import PROJECT, email
from localcloud.machine.machine import MachineEvents, MachineSpec
from tests.bench import tell
from tests.contract import guests
from tests.contract.world import NOTEBOOK, StandIn, World
from tests.e2e.world import BUCKET, ROOT, Builder, Repo

SIZES = tuple(int(text) for text in os.environ.get("NB_BENCH_JOBS", "100,400").split(","))
AT_A_TIME = "12"
_ROOM = dict.fromkeys(("CPUS", "CPUS_ALL_REGIONS", "INSTANCES", "SSD_TOTAL_GB"), 1e6)


class GuestCloud(Cloud):
    """A local cloud whose VMs boot nothing: a guest of this process speaks for each."""

    guest_calls = 0
    _opening = threading.Lock()
    _opened: GoogleObjectStore | None = None

    def _boot(self, spec: MachineSpec, events: MachineEvents) -> StandIn:  # type: ignore[override]
        machine = StandIn(spec, events)
        threading.Thread(target=self._speak, args=(machine,), daemon=True).start()
        return machine

    def _speak(self, machine: StandIn) -> None:
        # Of a world, a guest uses its door to the bucket alone.
        guests.green(cast("World", self), machine)

    def store(self, account: str) -> GoogleObjectStore:
        """The bucket's door, one for all guests; calls through it count as theirs."""
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
        """How many calls were answered so far that no guest made."""
        calls: dict[str, int] = self.inventory()["calls"]
        return sum(calls.values()) - self.guest_calls


@dataclass(frozen=True)
class Cost:
    """What one run cost the builder's process: CPU and wall seconds, Google calls, peak memory in MB."""

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


def measure(cloud: GuestCloud, folder: Path, jobs: int) -> tuple[Cost, Cost]:
    """The cost of planning this many notebooks of one folder, and of running them."""
    repo = Repo(folder / f"repo-{jobs}")
    repo.folder.mkdir()
    repo.git("init", "--quiet", "--initial-branch=main")
    repo.write({f"nb{number:04}.ipynb": json.dumps(NOTEBOOK) for number in range(jobs)})
    environment = Builder(cloud, repo.folder).environment(NB_NOTEBOOKS="*.ipynb", NB_CONCURRENCY=AT_A_TIME)
    entry = [sys.executable, str(ROOT / "entrypoint.py")]
    costs = []
    for command in (["plan", "--format", "json"], ["run"]):
        before = cloud.builder_calls()
        usage, wall = spent([*entry, *command], repo.folder, environment)
        cpu = usage.ru_utime + usage.ru_stime
        costs.append(Cost(cpu, wall, cloud.builder_calls() - before, usage.ru_maxrss / 1024))
    return costs[0], costs[1]


def growth(costs: dict[int, float]) -> float:
    """The slope between the smallest and the largest size on logarithmic scales: 1 is linear."""
    small, large = min(costs), max(costs)
    return math.log(costs[large] / costs[small]) / math.log(large / small)


def main() -> None:
    """Measure every size, then the growth."""
    guests._PATIENCE = 300.0  # seconds: with hundreds of VMs on a busy machine, input takes its time
    folder = Path(tempfile.mkdtemp(prefix="notebook-builder-bench-"))
    try:
        with GuestCloud(folder / "cloud", buckets=[BUCKET], quotas=_ROOM) as cloud:
            plan_one, run_one = measure(cloud, folder, 1)
            plans, runs = {}, {}
            for jobs in SIZES:
                plan, run = measure(cloud, folder, jobs)
                plans[jobs], runs[jobs] = plan.cpu - plan_one.cpu, run.cpu - run_one.cpu
                report(jobs, plan, run, run_one)
        if len(SIZES) > 1:
            of = f"{min(SIZES)} to {max(SIZES)} notebooks"
            tell("plan: growth of CPU", growth(plans), "exponent", of=of)
            tell("run: growth of CPU", growth(runs), "exponent", of=of, goal=1.05)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def report(jobs: int, plan: Cost, run: Cost, one: Cost) -> None:
    """Print the figures of one size beside those of a run of one notebook."""
    tell(
        f"plan of {jobs} notebooks",
        plan.wall,
        "s",
        cpu=round(plan.cpu, 3),
        **({"goal": 5.0} if jobs == 1000 else {}),
    )
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
