"""SIGTERM at the boundaries of a run: while a call is on its way, and while its answer is.

`make test` has three calls, `make test-all` a sample that NB_SEED chooses, and `make soak` each call of a run. VMs
are stand-ins whose guest is green at once. The times are printed (`-s`), and their limits here are far above the
promised ones, since they depend on what else the machine does.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from google.oauth2.credentials import Credentials

from builder.gcp.clients import Access
from builder.gcp.storage import GoogleObjectStore
from builder.waiting import Cancellation, RealClock
from localcloud.cloud import Cloud
from localcloud.core.iam import PROJECT, email
from localcloud.engines.vm.machine import MachineEvents, MachineSpec
from tests.e2e.builder_process import BUCKET, Builder, Repo, until
from tests.integration.cloud_fixture import NOTEBOOK, CloudFixture, StandIn
from tests.integration.simulated_guests import green
from tests.patience import HANGS, PATIENCE

pytestmark = pytest.mark.timeout(3000)

ZONE = "us-central1-a"
# No VM lives longer.
_BEYOND_ANY_DEADLINE = 20_000.0
_HELD = HANGS  # for which localcloud holds the call or its answer
_LIMIT = PATIENCE  # of the tests; the promise is 2 s for the delete and 8 s for the process
LEAST_POINTS = 30
_SAMPLE = 4


class StandIns:
    """Boots stand-ins on a whole local cloud."""

    def __init__(self) -> None:
        self.cloud: Cloud | None = None
        self.closing = contextlib.ExitStack()

    def boot(self, spec: MachineSpec, events: MachineEvents) -> StandIn:
        machine = StandIn(spec, events)
        threading.Thread(target=self._speak, args=(machine,), daemon=True).start()
        return machine

    def _speak(self, machine: StandIn) -> None:
        with contextlib.suppress(Exception):  # the VM is deleted while its guest speaks
            green(cast("CloudFixture", SimpleNamespace(store=self._store)), machine)

    def _store(self, account: str) -> GoogleObjectStore:
        assert self.cloud is not None
        credentials = Credentials(token=self.cloud.iam.token(email(account))[0])
        access = Access(credentials, PROJECT, {"storage": self.cloud.url})
        made = GoogleObjectStore(access, BUCKET, RealClock(Cancellation()))
        self.closing.callback(made.close)
        return made


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    guests = StandIns()
    with Cloud(tmp_path_factory.mktemp("points"), buckets=[BUCKET], boot=cast("Any", guests.boot)) as made:
        guests.cloud = made
        with guests.closing:
            yield made
        assert made.inventory()["schema_violations"] == []
        assert made.inventory()["internal_errors"] == []


@pytest.fixture
def waiting(cloud: Cloud, repo: Repo) -> Builder:
    repo.write({"demo.ipynb": json.dumps(NOTEBOOK)})
    return Builder(cloud, repo.folder)


def calls(cloud: Cloud, method: str) -> int:
    return int(cloud.inventory()["calls"].get(method, 0))


def met(cloud: Cloud) -> bool:
    return bool(cloud.inventory()["faults"][-1]["consumed"])


def stop_at(builder: Builder, method: str, action: str, skip: int) -> str | None:
    """Send SIGTERM while this call is held. Returns the measured times; None if the run ended before that call."""
    cloud = builder.cloud
    cloud.faults.add(
        {
            "method": method,
            "match": {"caller": "notebook-builder@*"},
            "skip": skip,
            "action": action,
            "args": {"seconds": _HELD},
        }
    )
    deletes = calls(cloud, "compute.instances.delete")
    process, _ = builder.start(NB_NOTEBOOKS="demo.ipynb", NB_ZONES=ZONE, NB_MAX_ATTEMPTS="1")
    until(lambda: met(cloud) or process.poll() is not None, "the held call", _LIMIT)
    if not met(cloud):
        assert process.communicate()[0].splitlines()[-1] == "left behind: nothing"
        return None
    alive = [vm for vm in cloud.inventory()["compute.instances"] if vm["status"] == "RUNNING"]
    asked = calls(cloud, "compute.instances.delete") > deletes
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    sent = 0.0
    if alive and not asked:
        until(lambda: calls(cloud, "compute.instances.delete") > deletes, "a delete", _LIMIT)
        sent = time.monotonic() - started
    output, _ = process.communicate(timeout=_LIMIT)
    gone = time.monotonic() - started
    assert process.returncode == signal.SIGTERM + 128, output
    assert "Traceback" not in output
    assert any(line.startswith("left behind: ") for line in output.splitlines()[-2:]), output
    cloud.clock.advance(_BEYOND_ANY_DEADLINE)
    until(lambda: builder.left() == [], "nothing left", _LIMIT)
    return f"delete after {sent:.1f} s, process gone after {gone:.1f} s"


@pytest.mark.always(1)
@pytest.mark.parametrize(
    ("method", "action"),
    [
        pytest.param("compute.instances.insert", "delay", id="insert on its way"),
        pytest.param("compute.instances.insert", "delay_after", id="answer of the insert"),
        pytest.param("storage.objects.rewrite", "delay_after", id="answer of a publication"),
    ],
)
def test_sigterm_at_a_boundary_deletes_and_ends(waiting: Builder, method: str, action: str) -> None:
    times = stop_at(waiting, method, action, 0)
    assert times is not None
    print(f"{method} {action}: {times}")


@pytest.mark.exhaustive
@pytest.mark.parametrize("action", ["delay", "delay_after"])
def test_sigterm_at_calls_of_a_sample_deletes_and_ends(waiting: Builder, action: str) -> None:
    seed = os.environ.get("NB_SEED", "1")
    numbers = random.Random(f"{seed} {action}").sample(range(LEAST_POINTS), _SAMPLE)
    for number in numbers:
        times = stop_at(waiting, "*", action, number)
        assert times is not None
        print(f"NB_SEED={seed}, call {number} {action}: {times}")


@pytest.mark.soak
@pytest.mark.parametrize("action", ["delay", "delay_after"])
def test_sigterm_at_each_boundary_deletes_and_ends(waiting: Builder, action: str) -> None:
    points = 0
    while (times := stop_at(waiting, "*", action, points)) is not None:
        print(f"call {points} {action}: {times}")
        points += 1
    assert points >= LEAST_POINTS, "the number of boundaries must not fall"


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
    waiting.cloud.clock.advance(_BEYOND_ANY_DEADLINE)
    until(lambda: waiting.left() == [], "nothing left", _LIMIT)
