"""SIGTERM at the boundaries of a run: while a call is on its way, and while its answer is.

`make test` has three calls, `make test-all` a sample that NB_SEED chooses, and `make soak` each call of a run. VMs
are stand-ins. Their guest lives while a call is held, so that the signal finds a VM that nothing else ends. No test
moves the clock before the VM is gone by its delete: at the deadline, the cloud would delete the VM by itself.

The times are printed (`-s`), and their limits here are far above the promised ones, since they depend on what else the
machine does.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import textwrap
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from google.oauth2.credentials import Credentials

from builder.gcp.clients import Access
from builder.gcp.storage import GoogleObjectStore
from builder.waiting import Cancellation, RealClock
from localcloud.cloud import Cloud
from localcloud.core.faults import Fault, FaultPlan
from localcloud.core.iam import PROJECT, email
from localcloud.engines.vm.machine import MachineEvents, MachineSpec
from localcloud.services.registry import SPECS
from tests.e2e.builder_process import BUCKET, Builder, Repo, until
from tests.integration.cloud_fixture import NOTEBOOK, CloudFixture, StandIn
from tests.integration.simulated_guests import execute, open_session
from tests.patience import HANGS, PATIENCE, SOON

pytestmark = pytest.mark.timeout(3000)

ZONE = "us-central1-a"
_INSERT, _DELETE = "compute.instances.insert", "compute.instances.delete"
# No VM lives longer.
_BEYOND_ANY_DEADLINE = 20_000.0
_LIMIT = PATIENCE  # of the tests; the promise is 2 s for the delete and 8 s for the process
# A run makes fewer calls than this before it watches its VM: from this number on, there is a VM.
_WATCHED_FROM = 20
# The guest is green once the builder has made so many calls, unless one is held.
_GREEN_AFTER = 23
MIN_POINTS = 40
MIN_DELETED = 12  # of these, the points with a VM that only the signal deletes


class Hold(FaultPlan):
    """Holds one call of the builder, or its answer. Remembers which VMs the builder asks for and deletes.

    A `delay` of localcloud lasts for a time of the real clock. Here, a call is held until the test releases it, so that
    a request that is late still has its effect, and no test waits for that.
    """

    def __init__(self) -> None:
        super().__init__(SPECS)
        self._counting = threading.Lock()
        self.begin("", "", 0)

    def begin(self, method: str, action: str, skip: int) -> None:
        """Hold the call with this number, from 0, of those that fit the method (a glob). Forget what was before."""
        self._method, self._action, self._skip = method, action, skip
        self.held = ""  # the method of the held call
        self.calls = 0
        self.inserts: list[str] = []  # the name of the VM in each insert
        self.deletes: dict[str, float] = {}  # the moment of the first delete that names a VM, by name
        self._released = threading.Event()

    def release(self) -> None:
        """Let the held call have its effect, and hold no other."""
        self._method = ""
        self._released.set()

    def take(self, method: str, facts: Mapping[str, Any]) -> Fault | None:
        """Count a call of the builder that has reached the cloud, and wait here if it is to be held."""
        if not str(facts.get("caller")).startswith("notebook-builder@"):
            return super().take(method, facts)
        with self._counting:
            self.calls += 1
            if method == _INSERT:
                self.inserts.append(facts["name"])
            if method == _DELETE:
                self.deletes.setdefault(facts["instance"], time.monotonic())
            if self.held or not fnmatchcase(method, self._method):
                return None
            self._skip -= 1
            if self._skip >= 0:
                return None
            self.held, action, released = method, self._action, self._released
        if action == "delay_after":
            return Fault(action, {"seconds": HANGS}, method)
        released.wait(HANGS)
        return None


class StandIns:
    """Boots stand-ins on a whole local cloud."""

    def __init__(self, hold: Hold) -> None:
        self.cloud: Cloud | None = None
        self.closing = contextlib.ExitStack()
        self._hold = hold

    def boot(self, spec: MachineSpec, events: MachineEvents) -> StandIn:
        machine = StandIn(spec, events)
        threading.Thread(target=self._speak, args=(machine,), daemon=True).start()
        return machine

    def _speak(self, machine: StandIn) -> None:
        """Live until the builder has watched for a while, or for ever if a call is held; then be green."""
        with contextlib.suppress(Exception):  # the VM is deleted while its guest speaks
            session = open_session(cast("CloudFixture", SimpleNamespace(store=self._store)), machine)
            session.beat("notebook")
            while self._hold.held or self._hold.calls < _GREEN_AFTER:
                if machine.off.wait(0.02):
                    return
            execute(session)
            session.finish(session.evidence())

    def _store(self, account: str) -> GoogleObjectStore:
        assert self.cloud is not None
        credentials = Credentials(token=self.cloud.iam.token(email(account))[0])
        access = Access(credentials, PROJECT, {"storage": self.cloud.url})
        made = GoogleObjectStore(access, BUCKET, RealClock(Cancellation()))
        self.closing.callback(made.close)
        return made


@dataclass(frozen=True)
class Boundary:
    """One boundary of a run at which the builder got SIGTERM."""

    held: str
    vm: str  # its status when the signal was sent, "" if it was not there
    sent: float | None  # seconds from the signal to the VM's delete; None without a VM, or if deleted before
    gone: float  # seconds from the signal to the end of the process
    deleted_before: bool  # the run itself had sent the delete

    @property
    def deletes(self) -> bool:
        """True if there was a VM that only the signal deletes."""
        return bool(self.vm) and not self.deleted_before

    def __str__(self) -> str:
        if self.deleted_before:
            vm = f"VM {self.vm or 'gone'}, deleted before"
        elif self.sent is None:
            vm = "no VM"
        else:
            vm = f"VM {self.vm or 'on its way'}, delete after {self.sent:.1f} s"
        return f"{self.held}: {vm}, process gone after {self.gone:.1f} s"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    hold = Hold()
    guests = StandIns(hold)
    made = Cloud(tmp_path_factory.mktemp("points"), buckets=[BUCKET], boot=cast("Any", guests.boot))
    made.faults = hold
    guests.cloud = made
    with made, guests.closing:
        yield made
        assert made.inventory()["schema_violations"] == []
        assert made.inventory()["internal_errors"] == []


@pytest.fixture
def waiting(cloud: Cloud, repo: Repo) -> Iterator[Builder]:
    repo.write({"demo.ipynb": json.dumps(NOTEBOOK)})
    yield Builder(cloud, repo.folder)
    cloud.clock.advance(_BEYOND_ANY_DEADLINE)  # no VM of a test that failed stays for the next one


def hold_of(builder: Builder) -> Hold:
    assert isinstance(builder.cloud.faults, Hold)
    return builder.cloud.faults


def status(builder: Builder) -> str:
    """The status of the VM, "" if there is none."""
    return next((str(vm["status"]) for vm in builder.cloud.inventory()["compute.instances"]), "")


def stop_at(builder: Builder, method: str, action: str, skip: int) -> Boundary | None:
    """Send SIGTERM while this call is held. Returns what was measured; None if the run ended before that call."""
    hold = hold_of(builder)
    hold.begin(method, action, skip)
    process, _ = builder.start(NB_NOTEBOOKS="demo.ipynb", NB_ZONES=ZONE, NB_MAX_ATTEMPTS="1")
    try:
        until(lambda: hold.held or process.poll() is not None, "the held call", _LIMIT)
        if not hold.held:
            output = process.communicate()[0]
            assert process.returncode == 0, output
            assert output.splitlines()[-1] == "left behind: nothing"
            assert builder.left() == []
            return None
        if (hold.held, action) == (_INSERT, "delay_after"):
            until(lambda: status(builder) == "RUNNING", "the VM of the insert that is not answered", _LIMIT)
        return _stop(builder, process, late=(hold.held, action) == (_INSERT, "delay"))
    finally:
        hold.release()
        process.kill()


def _stop(builder: Builder, process: subprocess.Popen[str], *, late: bool) -> Boundary:
    """Send SIGTERM, and require the deletes and the ends of process and VM. `late`: the insert is on its way."""
    hold = hold_of(builder)
    vm, deleted_before = status(builder), bool(hold.deletes)
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=_LIMIT)
    gone = time.monotonic() - started
    assert process.returncode == signal.SIGTERM + 128, output
    assert "Traceback" not in output
    assert any(line.startswith("left behind: ") for line in output.splitlines()[-2:]), output
    # Also of a VM that is not there yet: it may come. On a busy machine, the cloud may read the last requests late.
    until(lambda: set(hold.inserts) <= hold.deletes.keys(), f"{output}a delete, held: {hold.held}", SOON)
    until(lambda: builder.left() == [], f"{output}nothing left, held: {hold.held}", _LIMIT)
    hold.release()
    # A client that waited too long, on a busy machine, has sent the insert again, and that VM was deleted.
    if late and len(hold.inserts) == 1:
        assert f"gcloud compute instances delete {hold.inserts[0]} " in output.splitlines()[-1]
        _require_end_at_deadline(builder)
    sent = None if deleted_before or not hold.inserts else max(hold.deletes.values()) - started
    return Boundary(hold.held, vm, sent, gone, deleted_before)


def _require_end_at_deadline(builder: Builder) -> None:
    """The VM comes after its deletes and after its builder. Nobody is left to delete it but Compute Engine."""
    until(lambda: status(builder) == "RUNNING", "the VM of the insert that was late", _LIMIT)
    clock, (vm,) = builder.cloud.clock, builder.cloud.inventory()["compute.instances"]
    seconds = int(vm["scheduling"]["maxRunDuration"]["seconds"])
    clock.advance(seconds / 2)
    assert status(builder) == "RUNNING"
    clock.advance(seconds / 2)
    until(lambda: builder.left() == [], "nothing left after the deadline", _LIMIT)


@pytest.mark.always(3)
@pytest.mark.parametrize(
    ("method", "action"),
    [
        pytest.param(_INSERT, "delay", id="insert on its way"),
        pytest.param(_INSERT, "delay_after", id="answer of the insert"),
        pytest.param("storage.objects.rewrite", "delay_after", id="answer of a publication"),
    ],
)
def test_sigterm_at_a_boundary_deletes_and_ends(waiting: Builder, method: str, action: str) -> None:
    boundary = stop_at(waiting, method, action, 0)
    assert boundary is not None
    print(f"{action} {boundary}")


@pytest.mark.exhaustive
@pytest.mark.parametrize("action", ["delay", "delay_after"])
def test_sigterm_at_calls_of_a_sample_deletes_and_ends(waiting: Builder, action: str) -> None:
    seed = os.environ.get("NB_SEED", "1")
    chosen = random.Random(f"{seed} {action}")
    before, after = chosen.randrange(_WATCHED_FROM), chosen.randrange(_GREEN_AFTER, MIN_POINTS)
    watched = chosen.sample(range(_WATCHED_FROM, _GREEN_AFTER), 2)
    for number in (before, *watched, after):
        boundary = stop_at(waiting, "*", action, number)
        assert boundary is not None
        print(f"NB_SEED={seed}, call {number} {action} {boundary}")
        assert boundary.deletes or number not in watched, "the VM must live while it is watched"


@pytest.mark.soak
@pytest.mark.parametrize("action", ["delay", "delay_after"])
def test_sigterm_at_each_boundary_deletes_and_ends(waiting: Builder, action: str) -> None:
    boundaries: list[Boundary] = []
    while (boundary := stop_at(waiting, "*", action, len(boundaries))) is not None:
        print(f"call {len(boundaries)} {action} {boundary}")
        boundaries.append(boundary)
    assert len(boundaries) >= MIN_POINTS, "the number of boundaries must not fall"
    deleted = sum(boundary.deletes for boundary in boundaries)
    assert deleted >= MIN_DELETED, "the number of VMs that the signal deletes must not fall"


def test_sigterm_while_a_library_computes_ends_the_process(waiting: Builder, tmp_path: Path) -> None:
    """The work is on a thread of its own, and computes for ever there."""
    script = textwrap.dedent(
        f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})
        import builder.act.run
        from builder.cli import main

        def compute(*_args, **_named):
            print("computing", flush=True)
            while True:
                sum(range(10_000))

        builder.act.run.prepare = compute
        sys.exit(main())
        """
    )
    (tmp_path / "computes.py").write_text(script)
    hold = hold_of(waiting)
    hold.begin("", "", 0)
    process = waiting.start_script(tmp_path / "computes.py", NB_NOTEBOOKS="demo.ipynb", NB_ZONES=ZONE)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("computing"):
            break
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=_LIMIT)
    print(f"process gone after {time.monotonic() - started:.1f} s")
    assert process.returncode == signal.SIGTERM + 128, output
    assert hold.inserts == []
