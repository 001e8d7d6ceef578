"""The fault matrix: one test per row, with its exit code, its last lines as golden text, and what is left.

The rows are played by simulated guests. Where a row is about a real kernel, boot or disk, `also` names the test that
has one: it shows that the VM reports what the guest of the row reports. tests/deploy/test_fault_matrix.py and
tests/function/test_fault_matrix.py have the rows of deployments and events.
"""

from __future__ import annotations

import copy
import json
import signal
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from builder.act import job_run, ledger
from builder.act.placement import Placement
from builder.act.sweep import LATENESS
from builder.plan.vm_spec import Attempt
from tests.e2e.builder_process import until
from tests.golden_endings import check, last_lines
from tests.integration.cloud_fixture import NOTEBOOK, CloudFixture, Guest, StandIn
from tests.integration.command import Command
from tests.integration.simulated_guests import (
    GuestSession,
    altered,
    execute,
    failing,
    green,
    open_session,
    preempted,
    silent,
    vanishing,
)
from tests.integration.test_call_faults import ENDS, MAY_MISS
from tests.integration.test_placement import ROWS as REFUSALS
from tests.integration.test_sweep import lost, seed

Json = dict[str, Any]
BUILDER = {"caller": "notebook-builder@*"}
INSERT, DELETE = "compute.instances.insert", "compute.instances.delete"
LASTING = 10_000
_BEYOND_ANY_DEADLINE = 20_000.0


@dataclass
class Scene:
    """One row at play."""

    cloud: CloudFixture
    command: Command

    def fault(self, method: str, action: str, *, times: int = 1, **args: Any) -> None:
        self.cloud.fault(method, action, times=times, **args)

    def guests(self, *guests: Guest) -> None:
        self.cloud.guests = list(guests)

    def options(self, **options: str) -> None:
        self.command.options.update(options)


@dataclass(frozen=True)
class Row:
    """A row.

    How it is played, its exit code, how many VMs it makes, and the VMs left at the end and after each deadline.
    """

    play: Callable[[Scene], object]
    code: int
    vms: int = 1
    left: int = 0
    also: str = ""
    says: str = ""


def notebook(*sources: str) -> str:
    book = copy.deepcopy(NOTEBOOK)
    cell = book["cells"][0]  # type: ignore[index]
    book["cells"] = [
        {**cell, "id": f"cell-{number}", "source": source} for number, source in enumerate(sources)
    ]
    return json.dumps(book)


GOOD: Json = {"execution_count": 1, "metadata": {"papermill": {"exception": False, "status": "completed"}}}
NEVER: Json = {"metadata": {"papermill": {"exception": None, "status": "pending"}}}


def raised(name: str, value: str) -> Json:
    """A cell that ended with this error."""
    error = {"output_type": "error", "ename": name, "evalue": value, "traceback": [f"{name}: {value}"]}
    state = {"papermill": {"exception": True, "status": "failed"}}
    return {"execution_count": 1, "metadata": state, "outputs": [error]}


def ran(*cells: Json, code: int = 0, source: str = "print('hello')", **evidence: Any) -> Guest:
    """A guest whose notebook ended so.

    Each cell as papermill leaves it, papermill's exit code, the evidence's changes.
    """

    def guest(cloud: CloudFixture, machine: StandIn) -> None:
        session = open_session(cloud, machine)
        book = json.loads(notebook(*[source] * len(cells)))
        for number, (cell, end) in enumerate(zip(book["cells"], cells, strict=True), start=1):
            cell.update(copy.deepcopy(end))
            cell["execution_count"] = number if end.get("execution_count") else None
        name = json.loads(session.staged()["job"][0])["name"]
        session.beat("notebook")
        session.say("# as the notebook printed it\n")
        session.put(f"{name}.ipynb", json.dumps(book).encode())
        session.beat("done")
        given = {"papermill": {"exit_code": code, "seconds": 0.1}, **evidence}
        session.finish(session.evidence(**given))

    return guest


def ended_by(reason: str, message: str = "", cell: int | None = 1, **evidence: Any) -> Guest:
    """A guest whose runner reports this fault."""
    return ran(NEVER, code=1, fault={"reason": reason, "message": message, "cell": cell}, **evidence)


def still_running(cloud: CloudFixture, machine: StandIn) -> None:
    """Green, but the VM does not end by itself."""
    session = open_session(cloud, machine)
    execute(session)
    session.put("evidence.json", json.dumps(session.evidence()).encode(), listed=False)


def gone(cloud: CloudFixture, machine: StandIn) -> None:
    """Green, and the VM is gone before the builder deletes it."""
    still_running(cloud, machine)
    machine.events.ended()


def stopped(cloud: CloudFixture, machine: StandIn) -> None:
    """The build is cancelled while the notebook runs."""
    open_session(cloud, machine).beat("notebook")
    cloud.cancellation.cancel(signal.SIGTERM)


def suspended(cloud: CloudFixture, machine: StandIn) -> None:
    """The builder is suspended for ten minutes of Google's clock while the notebook runs."""
    open_session(cloud, machine).beat("notebook")
    cloud.clock.advance(600)
    green(cloud, machine)


def stale(session: GuestSession, evidence: Json) -> Json:
    return {**evidence, "nonce": "of an older attempt"}


def refused(scene: Scene, name: str, place: str = "http") -> None:
    """Compute Engine refuses each insert like this row of tests/integration/test_placement.py."""
    row = REFUSALS[name]
    if place == "http":
        given: Json = {"status": row.status, "reason": row.code, "message": row.message}
        scene.fault(INSERT, "error", times=LASTING, **given)
    else:
        scene.fault(INSERT, "operation_error", times=LASTING, code=row.code, message=row.message)


def every_call(scene: Scene) -> None:
    """Three times 503 from each call of a run."""
    scene.cloud.may_miss = MAY_MISS
    for method in ENDS:
        scene.fault(method, "error", times=3, match=BUILDER, status=503)


def killed(scene: Scene) -> None:
    """A builder was killed, and its VM is gone by its own deadline since."""
    lost(scene.cloud, scene.cloud.plan(scene.command.folder))
    scene.cloud.clock.advance(_BEYOND_ANY_DEADLINE)
    assert scene.cloud.left() == []
    # The ledger's clock goes with the cloud's. Else the deadline of the run's own VM would seem to have passed too.
    moved = SimpleNamespace(
        time=lambda: time.time() + _BEYOND_ANY_DEADLINE, strftime=time.strftime, gmtime=time.gmtime
    )
    scene.command.monkeypatch.setattr(ledger, "time", moved)


def killed_and_forgotten(scene: Scene) -> None:
    """A builder was killed, and Compute Engine has not ended its VM at the deadline."""
    seed(scene.cloud, scene.cloud.plan(scene.command.folder))
    scene.cloud.booted()  # without a guest: those of the row are for the run
    scene.cloud.clock.advance(4000 + LATENESS + 5)


def foreign(scene: Scene) -> None:
    """A VM with the very name that the run asks for is another's."""
    nonce = "0123456789abcdef"
    scene.command.monkeypatch.setattr(
        job_run, "secrets", SimpleNamespace(token_hex=lambda size: nonce * (size // 8))
    )
    name = Attempt(run="run-1", job="demo", number=1, nonce=nonce).vm_name(1)
    seed(scene.cloud, scene.cloud.plan(scene.command.folder), name=name)


def without_serial_port(cloud: CloudFixture, machine: StandIn) -> None:
    """Green, after the builder has asked for the serial port."""
    for _ in range(2000):
        if "compute.instances.getSerialPortOutput" in cloud.findings.inventory()["calls"]:
            break
        time.sleep(0.01)
    green(cloud, machine)


def bug(scene: Scene) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    scene.command.monkeypatch.setattr(Placement, "place", broken)


def set_of(**options: str) -> Callable[[Scene], None]:
    return lambda scene: scene.options(**options)


def all_of(*parts: Callable[[Scene], object]) -> Callable[[Scene], None]:
    def play(scene: Scene) -> None:
        for part in parts:
            part(scene)

    return play


def guests(*chosen: Guest) -> Callable[[Scene], None]:
    return lambda scene: scene.guests(*chosen)


def fault(method: str, action: str, **args: Any) -> Callable[[Scene], None]:
    return lambda scene: scene.fault(method, action, **args)


def file(content: str) -> Callable[[Scene], None]:
    return lambda scene: scene.command.write("demo.ipynb", content)


SECRET = "projects/local-project/secrets/maps-key/versions/3"
USED = {"name": "KEY", "resource": SECRET, "version": None, "problem": "", "redactions": 0}
MINUTE = "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute' of service 'compute.googleapis.com'"

ROWS = {
    "01-invalid-notebook": Row(file("{"), 2, vms=0),
    "02-bad-options": Row(set_of(NB_TIMEOUT="soon", NB_ZONES="us-central1-a; rm -rf /"), 2, vms=0),
    "03-no-code-cells": Row(file(json.dumps({**NOTEBOOK, "cells": []})), 2, vms=0),
    "04-cell-raises": Row(
        guests(ran(raised("ValueError", "no rides"), code=1)),
        1,
        also="tests/vm/test_notebooks.py::test_raises",
    ),
    "05-exits-early": Row(
        all_of(
            file(notebook("x", "x", "x")), guests(ran(GOOD, raised("SystemExit", "0"), NEVER, source="x"))
        ),
        1,
        also="tests/e2e/test_traps.py::test_results_that_were_committed_prove_nothing",
    ),
    "06-kernel-dies": Row(
        guests(ended_by("kernel_died", peak_memory_bytes=3 * 2**30)),
        1,
        also="tests/vm/test_notebooks.py::test_kernel_dies",
    ),
    "07-hang": Row(
        guests(ended_by("notebook_timeout")),
        5,
        also="tests/e2e/test_notebooks.py::test_a_notebook_that_hangs_ends_at_its_limit_and_is_published_as_far_as_it_got",
    ),
    "08-disk-full": Row(
        guests(ended_by("disk_full", disk_free_bytes=0)), 1, also="tests/vm/test_boot.py::test_full_disk"
    ),
    "09-output-missing": Row(all_of(set_of(NB_EXPECT="outputs/rides.csv"), guests(green)), 1),
    "10-stock-out": Row(
        all_of(
            set_of(NB_ZONES="us-central1-a,us-central1-b"),
            lambda scene: refused(scene, "zone exhausted", "operation"),
        ),
        3,
        vms=2,
    ),
    "11-quota": Row(lambda scene: refused(scene, "quota of GPUs in all regions"), 3, vms=0),
    "12-error-without-http-code": Row(lambda scene: refused(scene, "permission denied", "operation"), 4),
    "13-insert-reply-lost": Row(all_of(fault(INSERT, "drop_after"), guests(green)), 0),
    "14-insert-outcome-unknown": Row(fault(INSERT, "error_after", times=LASTING, status=503), 6),
    "15-name-taken": Row(
        foreign,
        4,
        left=2,
        also="tests/integration/test_placement.py::test_a_vm_that_carries_our_nonce_is_adopted",
    ),
    "16-permission-denied": Row(
        fault(
            INSERT,
            "error",
            status=403,
            reason="forbidden",
            message="Required 'compute.instances.create' permission for 'projects/local-project/zones/us-central1-a'",
        ),
        4,
        vms=0,
    ),
    "17-three-transient-faults": Row(all_of(every_call, guests(green)), 0),
    "18-lasting-fault": Row(fault(INSERT, "error", times=LASTING, status=503), 6, vms=0),
    "19-quota-of-the-minute": Row(
        all_of(
            fault(INSERT, "error", times=3, status=403, reason="forbidden", message=MINUTE), guests(green)
        ),
        0,
    ),
    "20-script-never-runs": Row(
        guests(silent),
        6,
        also="tests/e2e/test_faults_runs.py::test_a_vm_that_never_starts_its_script_is_6_with_its_serial_port",
    ),
    "21-step-fails": Row(
        guests(
            ended_by(
                "gpu_not_visible", "1 of nvidia-tesla-t4 was asked for, but nvidia-smi lists none", cell=None
            )
        ),
        6,
        also="tests/vm/test_boot.py::test_gpu_is_waited_for_and_missed",
    ),
    "22-no-metadata": Row(
        guests(failing("failed: metadata: no value for instance/attributes/nb-job: HTTP 404")),
        6,
        also="tests/vm/test_boot.py::test_no_job_in_the_metadata",
    ),
    "23-preempted": Row(
        all_of(set_of(NB_PROVISIONING="spot", NB_MAX_ATTEMPTS="2"), guests(preempted, green)),
        0,
        vms=2,
        also="tests/vm/test_boot.py::test_a_spot_vm_that_is_taken_back_saves_the_notebook_and_says_so",
    ),
    "24-vm-gone": Row(guests(vanishing), 6),
    "25-upload-lost": Row(
        all_of(
            fault(
                "storage.objects.insert",
                "lose",
                match={"name": "*/outputs/out.csv", "caller": "notebook-vm@*"},
            ),
            guests(green),
        ),
        6,
    ),
    "25-results-of-an-older-attempt": Row(guests(altered(stale)), 6),
    "26-own-412": Row(all_of(fault("storage.objects.insert", "drop_after", match=BUILDER), guests(green)), 0),
    "27-no-serial-port": Row(
        all_of(
            fault("compute.instances.getSerialPortOutput", "error", times=LASTING, status=404),
            guests(without_serial_port),
        ),
        0,
        also="tests/integration/test_watch.py::test_bytes_that_the_serial_port_has_lost_are_marked",
    ),
    "28-clocks-apart": Row(guests(suspended), 0),
    "29-signal": Row(guests(stopped), 143),
    "30-killed": Row(all_of(killed, guests(green)), 0, vms=2, says="ended without deleting its VM"),
    "31-killed-and-run-again": Row(
        all_of(killed_and_forgotten, guests(green)),
        0,
        vms=2,
        says="removed leftover VM",
        also="tests/integration/test_event_lock.py::test_a_killed_runs_event_is_taken_over_and_its_vm_goes_first",
    ),
    "32-delete-fails": Row(
        all_of(fault(DELETE, "error", times=LASTING, status=503), guests(still_running)), 0, left=2
    ),
    "32-delete-forbidden": Row(
        all_of(fault(DELETE, "error", times=LASTING, status=403, message="no"), guests(green)), 7, left=2
    ),
    "33-vm-already-gone": Row(guests(gone), 0),
    "38-secret-denied": Row(
        all_of(
            set_of(NB_SECRETS=f"KEY={SECRET}"),
            guests(
                ended_by(
                    "secret_refused",
                    f"secret KEY, {SECRET}: permission denied",
                    cell=None,
                    secrets=[{**USED, "problem": "denied"}],
                )
            ),
        ),
        4,
        also="tests/vm/test_secrets.py::test_refusals",
    ),
    "39-secret-printed": Row(
        all_of(
            set_of(NB_SECRETS=f"KEY={SECRET}"),
            guests(
                ran(
                    GOOD,
                    secrets=[
                        {**USED, "version": "3", "redactions": 2},
                    ],
                )
            ),
        ),
        0,
        also="tests/e2e/test_secrets.py::test_a_notebook_gets_its_own_secrets_and_no_value_is_left_anywhere",
    ),
    "40-huge-output": Row(
        guests(ran(GOOD, log={"chunks": 1, "bytes": 10, "dropped_bytes": 10**9})),
        0,
        also="tests/e2e/test_log.py::test_a_flood_is_bounded_for_the_builder_and_whole_in_the_notebook",
    ),
    "41-bug": Row(bug, 70, vms=0),
}


@pytest.fixture
def scene(cloud_fixture: CloudFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    cloud_fixture.use_prefix(f"row-{uuid.uuid4().hex[:8]}")
    return Scene(cloud_fixture, Command(cloud_fixture, tmp_path / "repo", monkeypatch))


@pytest.mark.parametrize("name", ROWS)
def test_row(scene: Scene, name: str) -> None:
    row, cloud = ROWS[name], scene.cloud
    row.play(scene)
    code = scene.command.run()
    assert code == row.code, cloud.log.getvalue() + str(cloud.said)
    assert row.says in cloud.log.getvalue()
    assert len(cloud.inserted()) == row.vms
    if row.code == 143:
        until(lambda: len(cloud.left()) == row.left, "the deletion that was accepted")
    assert len(cloud.left()) == row.left
    if row.code == 2:
        assert cloud.findings.inventory()["calls"] == {}
    kept = ", ".join(scene.command.kept()) or "none"
    text = last_lines(cloud.log.getvalue(), row.says).replace(cloud.prefix, "PREFIX")
    check(
        name,
        f"{text}== exit code {code}; VMs and disks left: {row.left}; other folders with objects: {kept}\n",
    )
    cloud.clock.advance(_BEYOND_ANY_DEADLINE)
    if row.left == 0 or name == "32-delete-fails":
        assert cloud.left() == []
