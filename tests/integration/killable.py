"""A builder in a process of its own, which localcloud kills with SIGKILL at one of its calls: a run, or a deployment.

The processes are forks of a server that has imported the builder already. Their clock moves localcloud's, so that a
wait takes no time.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from google.oauth2.credentials import Credentials

from builder import kit
from builder.act.proofs import Origin
from builder.act.run import Run
from builder.commands.run import carry_out
from builder.errors import BuilderError, ExitCode
from builder.gcp.clients import Access
from builder.gcp.compute import GoogleMachines
from builder.gcp.storage import GoogleObjectStore
from builder.kit import Kit
from builder.plan.build_plan import Plan
from builder.report.console import Console
from builder.waiting import Cancellation
from localcloud.core.faults import Fault, FaultPlan
from localcloud.core.iam import PROJECT
from localcloud.core.spec import Spec
from localcloud.services.registry import SPECS
from tests.moving_clock import Address, MovingClock
from tests.patience import PATIENCE

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(
    [__name__, "builder.deploy.promotion", "builder.gcp.deploying", "tests.integration.warm"]
)

Json = dict[str, Any]

SIDES = ("before the effect", "after the effect")


class KillingFaults(FaultPlan):
    """Planned faults, strikes, and the death of a process at a call, by its number or its method.

    The calls are those of one service account. A call that ends before its effect never reaches its service. The moment
    after a reply is the one before the next call.
    """

    def __init__(self, specs: Sequence[Spec] = SPECS, *, account: str = "notebook-builder") -> None:
        super().__init__(specs)
        self.calls = 0  # since the last `count`
        self._account = f"{account}@"
        self._strikes: list[tuple[int, Json]] = []
        self._struck: set[str] = set()  # methods
        self._victim: KillableProcess | None = None
        self._at = -1
        self._method = ""
        self._side = ""
        self._counting = threading.Lock()

    def count(self, strikes: Sequence[tuple[int | str, Json]] = ()) -> None:
        """Number the calls from 0. A strike is a fault of the first calls of one method, as many as its `times` says.

        It names the method, or it takes that of the first call from its number on whose method had no strike.
        """
        self.calls, self._strikes, self._struck = 0, [], set()
        for at, fault in strikes:
            if isinstance(at, int):
                self._strikes.append((at, fault))
            elif at not in self._struck:
                self._plan(at, fault)
        self._strikes.sort(key=lambda strike: strike[0])

    def kill_at(self, process: KillableProcess, place: int | str, side: str) -> None:
        """Kill this process at its call of this number, or at its first call of this method."""
        number, self._method = (sys.maxsize, place) if isinstance(place, str) else (place, "")
        self._victim, self._at, self._side = process, number, side

    def rest(self) -> None:
        """Kill nobody from now on: what comes next is another builder's."""
        self._victim = None

    def clear(self) -> list[Json]:
        """Forget all faults, and return those that acted."""
        self._strikes = []
        acted = [fault for fault in self.inventory() if fault["consumed"]]
        with self._lock:
            self._entries.clear()
        return acted

    def take(self, method: str, facts: Mapping[str, Any]) -> Fault | None:
        """Return the fault that is due on this call, if its process lives on."""
        if not str(facts.get("caller", "")).startswith(self._account):
            return super().take(method, facts)
        victim = self._victim
        with self._counting:
            number = self.calls
            self.calls += 1
            if method == self._method:
                self._at, self._method = number, ""
            if victim is not None and number == self._at:
                victim.kill()
            if victim is None or number < self._at:
                self._strike(number, method)
        if victim is not None and number >= self._at:
            # Nothing that a dead process sends arrives, but what it had sent does.
            effect = number == self._at and self._side == SIDES[1]
            return None if effect else Fault("drop_before", {}, method)
        return super().take(method, facts)

    def _strike(self, number: int, method: str) -> None:
        """Plan the strike that is due, if the method had none."""
        if self._strikes and self._strikes[0][0] <= number and method not in self._struck:
            self._plan(method, self._strikes.pop(0)[1])

    def _plan(self, method: str, fault: Json) -> None:
        self._struck.add(method)
        self.add(fault | {"method": method, "match": {"caller": f"{self._account}*"}})


@dataclass(frozen=True)
class Order:
    """A run against the services at `url`, and the folder for the log and the exit code of its process.

    `clock`: where to move localcloud's clock.
    """

    url: str
    clock: Address
    token: str
    plan: Plan
    run_id: str
    event: str | None
    kit: Kit
    folder: Path


def sampled_calls(side: str, least: int, size: int) -> list[int]:
    """Return the calls of the sample that NB_SEED chooses among the first `least` ones, and print them."""
    seed = os.environ.get("NB_SEED", "1")
    numbers = random.Random(f"{seed} {side}").sample(range(least), size)
    print(f"NB_SEED={seed}: killed at the calls {numbers}, {side}")
    return numbers


def kill_at_each_call(at: Callable[[int, str], bool], side: str, least: int) -> None:
    """Kill at each call, until `at` returns False for a call that does not exist, and print their number."""
    points = 0
    while at(points, side):
        points += 1
    print(f"{points} calls, killed {side}")
    assert points >= least, "the number of crash points must not fall"


class KillableProcess:
    """Work in a process of its own, which writes its log and its exit code into `folder`."""

    def __init__(self, folder: Path, name: str, work: Callable[[Console], ExitCode]) -> None:
        self._log, self._code = folder / f"{name}.log", folder / f"{name}.code"
        self.killed = False
        self._process = _processes.Process(target=_carry_out, args=(self._log, self._code, work), daemon=True)
        self._started = threading.Event()

    def start(self) -> None:
        """Begin the work; returns at once."""
        self._process.start()
        self._started.set()

    def kill(self) -> None:
        """End the process by SIGKILL; returns when it is gone."""
        # It can make its first call before the thread that starts it knows its id.
        assert self._started.wait(PATIENCE)
        assert self._process.pid is not None
        self.killed = True
        os.kill(self._process.pid, signal.SIGKILL)
        # The thread that joins it may be another one, so this looks at the process itself.
        while Path(f"/proc/{self._process.pid}/cmdline").exists() and _state(self._process.pid) not in "ZX":
            time.sleep(0.001)

    def end(self) -> ExitCode | None:
        """Wait for the end; the exit code, or None for a process that was killed."""
        self._process.join()
        return ExitCode(int(self._code.read_text())) if self._code.exists() else None

    @property
    def log(self) -> str:
        """What the process has printed."""
        return self._log.read_text()


def killable_run(order: Order) -> KillableProcess:
    """One run in a process of its own."""
    return KillableProcess(order.folder, order.run_id, partial(run_order, order))


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def _carry_out(logged: Path, ended: Path, work: Callable[[Console], ExitCode]) -> None:
    """In the process: do the work as the command line does."""
    log = logged.open("w", buffering=1)
    try:
        code = work(Console(log))
    except BuilderError as error:
        log.write(f"{error.message}\n")
        code = error.exit_code
    except BaseException:  # noqa: BLE001  the log of the process has every end
        traceback.print_exc(file=log)
        code = ExitCode.BUG
    log.close()
    ended.write_text(str(int(code)))
    os._exit(0)


def run_order(order: Order, console: Console) -> ExitCode:
    """In the process: carry out the run, and return its exit code."""
    kit.load = lambda _folder=None: order.kit  # type: ignore[assignment]
    cancellation = Cancellation()
    clock = MovingClock(order.clock, cancellation)
    access = Access(Credentials(token=order.token), PROJECT, {"compute": order.url, "storage": order.url})
    store = GoogleObjectStore(access, order.plan.location.bucket, clock)
    run = Run(
        order.plan,
        store=store,
        machines=GoogleMachines(access, clock),
        endpoint=access.endpoint,
        clock=clock,
        cancellation=cancellation,
        progress=console,
        origin=None if order.event else Origin(order.run_id, "c0ffee"),
        event=order.event,
    )
    return carry_out(run, order.run_id, store=store, location=order.plan.location, console=console)
