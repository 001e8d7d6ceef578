"""The sweep takes what is ours and overdue, and nothing else, however alike it looks."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import replace
from typing import Any

import pytest

from builder.act.fleet import Fleet
from builder.act.ledger import Ledger
from builder.act.sweep import BUDGET, LATENESS, overdue, sweep, take_down_run
from builder.act.vm import Ending
from builder.errors import EnvironmentFailed
from builder.plan.build_plan import Plan
from builder.plan.vm_spec import Attempt, insert_body, vm_labels
from localcloud.core.caller import OWNER_ADDRESS
from tests.integration.cloud_fixture import ZONE, CloudFixture
from tests.patience import PATIENCE

Json = dict[str, Any]


def seed(cloud_fixture: CloudFixture, plan: Plan, number: int = 1, **changes: Any) -> str:
    """A VM as a run makes it, but for the changes; its deadline is `max_run` seconds away.

    The project's owner makes it: the builder's account may not make VMs of other names.
    """
    attempt = Attempt(run="run-old", job="demo", number=number, nonce="feedc0de")
    metadata: Json = {
        "run": attempt.run,
        "job_id": attempt.job,
        "attempt": number,
        "nonce": attempt.nonce,
        **changes.get("metadata", {}),
    }
    name = changes.get("name", attempt.vm_name(1))
    now = cloud_fixture.clock.now()
    labels = {**vm_labels(attempt, plan.jobs[0].options, int(now) + 4000), **changes.get("labels", {})}
    body = insert_body(
        plan.jobs[0].options,
        project="local-project",
        zone=ZONE,
        name=name,
        image=cloud_fixture.vm_request(plan).image,
        limits=plan.jobs[0].limits,
        labels={key: value for key, value in labels.items() if value is not None},
        startup_script="true",
        job_metadata=metadata,
    )
    # A server that forgets its own deadline is what the sweep is for.
    body["scheduling"] = {"automaticRestart": False}
    if changes.get("raw_metadata") is not None:
        items = [item for item in body["metadata"]["items"] if item["key"] != "nb-job"]
        body["metadata"]["items"] = [*items, {"key": "nb-job", "value": changes["raw_metadata"]}]
    machines = cloud_fixture.machines(OWNER_ADDRESS)
    operation = machines.insert(ZONE, body, request_id=attempt.request_id("seed", ZONE, name))
    while not operation.done:
        operation = machines.operation(ZONE, operation.name)
    assert operation.errors == ()
    return str(name)


def noted(cloud_fixture: CloudFixture, plan: Plan, vm: str) -> bool:
    """True if the ledger of VMs has an entry for this one."""
    entries = cloud_fixture.store().list(plan.location.object("open") + "/")
    return any(item.name.endswith(f"/{vm}.json") for item in entries)


def lost(cloud_fixture: CloudFixture, plan: Plan) -> str:
    """A VM whose builder was killed: its ledger entry stands, its end was never asked for."""
    ledger = Ledger(cloud_fixture.store(), plan.location)
    fleet = Fleet(cloud_fixture.machines(), cloud_fixture.time, cloud_fixture.cancellation, ledger.record)
    vm = cloud_fixture.placement(fleet).place(cloud_fixture.vm_request(plan, nonce=uuid.uuid4().hex[:16]))
    until = time.monotonic() + PATIENCE
    while not noted(cloud_fixture, plan, vm.name):
        assert time.monotonic() < until
        time.sleep(0.01)
    return vm.name


def told(cloud_fixture: CloudFixture, plan: Plan, vm: str = "") -> list[str]:
    """Return the messages of a sweep about this VM, or about any, that no build returned for."""
    cloud_fixture.said.clear()
    sweep(
        cloud_fixture.machines(),
        cloud_fixture.fleet(),
        cloud_fixture.said.append,
        store=cloud_fixture.store(),
        location=plan.location,
    )
    return [text for text in cloud_fixture.said if f"ended without deleting its VM {vm}" in text]


def swept(cloud_fixture: CloudFixture) -> list[str]:
    found = sweep(cloud_fixture.machines(), cloud_fixture.fleet(), cloud_fixture.said.append)
    return [vm.name for vm in found if vm.state.ending is Ending.GONE]


def test_an_overdue_vm_is_deleted_and_reported(cloud_fixture: CloudFixture, plan: Plan) -> None:
    name = seed(cloud_fixture, plan)
    cloud_fixture.clock.advance(4000 + LATENESS + 5)
    assert swept(cloud_fixture) == [name]
    assert cloud_fixture.left() == []
    assert any("removed leftover VM" in text and "run-old" in text for text in cloud_fixture.said)


def test_the_end_of_a_vm_is_told_once(cloud_fixture: CloudFixture, plan: Plan) -> None:
    """A VM that stopped before its deadline is still there after it, and so is its builder's note of it."""
    name = lost(cloud_fixture, plan)
    cloud_fixture.booted().events.guest_shutdown()
    cloud_fixture.clock.advance(plan.jobs[0].limits.vm + LATENESS + 60)
    assert told(cloud_fixture, plan, name) == []
    assert any(f"removed leftover VM {name}" in text for text in cloud_fixture.said)
    assert not noted(cloud_fixture, plan, name)
    assert told(cloud_fixture, plan) == []


def test_a_stopped_one_is_removed_too(cloud_fixture: CloudFixture, plan: Plan) -> None:
    name = seed(cloud_fixture, plan)
    cloud_fixture.booted().events.guest_shutdown()
    cloud_fixture.clock.advance(4000 + LATENESS + 5)
    assert swept(cloud_fixture) == [name]


def test_before_its_deadline_it_lives(cloud_fixture: CloudFixture, plan: Plan) -> None:
    name = seed(cloud_fixture, plan)
    cloud_fixture.clock.advance(4000)
    assert swept(cloud_fixture) == []
    assert cloud_fixture.alive() == [name]


def test_a_vm_that_its_deadline_deleted_is_reported_once(cloud_fixture: CloudFixture, plan: Plan) -> None:
    name = lost(cloud_fixture, plan)
    assert told(cloud_fixture, plan, name) == []  # it runs, and may well be at work
    cloud_fixture.clock.advance(plan.jobs[0].limits.vm + LATENESS + 5)
    assert cloud_fixture.alive() == []
    (text,) = told(cloud_fixture, plan, name)
    assert name in text
    assert "run-1" in text
    assert not noted(cloud_fixture, plan, name)
    assert told(cloud_fixture, plan, name) == []


def test_a_vm_that_is_gone_before_its_deadline_is_not_reported_yet(
    cloud_fixture: CloudFixture, plan: Plan
) -> None:
    name = lost(cloud_fixture, plan)
    cloud_fixture.clock.advance(plan.jobs[0].limits.vm + 1)
    assert cloud_fixture.alive() == []
    assert told(cloud_fixture, plan, name) == []
    assert noted(cloud_fixture, plan, name)
    cloud_fixture.clock.advance(LATENESS)
    assert len(told(cloud_fixture, plan, name)) == 1


def test_a_vm_whose_end_is_confirmed_leaves_no_entry(cloud_fixture: CloudFixture, plan: Plan) -> None:
    ledger = Ledger(cloud_fixture.store(), plan.location)
    fleet = Fleet(cloud_fixture.machines(), cloud_fixture.time, cloud_fixture.cancellation, ledger.record)
    vm = cloud_fixture.placement(fleet).place(cloud_fixture.vm_request(plan, nonce=uuid.uuid4().hex[:16]))
    assert fleet.take_down(vm) is Ending.GONE
    assert not noted(cloud_fixture, plan, vm.name)


def test_an_entry_that_is_still_being_written_goes_too(cloud_fixture: CloudFixture, plan: Plan) -> None:
    cloud_fixture.fault("storage.objects.insert", "stall", seconds=1)
    ledger = Ledger(cloud_fixture.store(), plan.location)
    fleet = Fleet(cloud_fixture.machines(), cloud_fixture.time, cloud_fixture.cancellation, ledger.record)
    vm = cloud_fixture.placement(fleet).place(cloud_fixture.vm_request(plan, nonce=uuid.uuid4().hex[:16]))
    assert fleet.take_down(vm) is Ending.GONE
    ledger._pool.shutdown()
    assert not noted(cloud_fixture, plan, vm.name)


def test_an_entry_says_whose_the_vm_is_and_where(cloud_fixture: CloudFixture, plan: Plan) -> None:
    name = lost(cloud_fixture, plan)
    content = cloud_fixture.store().read(plan.location.object("open", "run-1", f"{name}.json"))
    entry = json.loads(content or b"")
    assert entry.pop("deadline") >= plan.jobs[0].limits.vm
    assert entry == {"schema": 1, "run": "run-1", "job": "demo", "vm": name, "zone": ZONE}


def test_on_a_signal_the_entry_of_a_vm_whose_delete_is_accepted_goes(
    cloud_fixture: CloudFixture, plan: Plan
) -> None:
    ledger = Ledger(cloud_fixture.store(), plan.location)
    fleet = Fleet(cloud_fixture.machines(), cloud_fixture.time, cloud_fixture.cancellation, ledger.record)
    vm = cloud_fixture.placement(fleet).place(cloud_fixture.vm_request(plan, nonce=uuid.uuid4().hex[:16]))
    fleet.abandon()
    assert fleet.open() == []
    assert not noted(cloud_fixture, plan, vm.name)


def test_the_entry_of_a_vm_that_is_not_ours_goes(cloud_fixture: CloudFixture, plan: Plan) -> None:
    ledger = Ledger(cloud_fixture.store(), plan.location)
    fleet = Fleet(cloud_fixture.machines(), cloud_fixture.time, cloud_fixture.cancellation, ledger.record)
    vm = cloud_fixture.vm(plan)
    with fleet.requesting(vm):
        pass
    fleet.disown(vm)
    ledger._pool.shutdown()
    assert not noted(cloud_fixture, plan, vm.name)


def test_foreign_objects_in_the_ledger_stay(cloud_fixture: CloudFixture, plan: Plan) -> None:
    name = plan.location.object("open", "run-1", "notes.json")
    cloud_fixture.store().replace(name, b"a note of somebody's", content_type="text/plain")
    cloud_fixture.clock.advance(100_000)
    assert told(cloud_fixture, plan, "notes") == []
    assert noted(cloud_fixture, plan, "notes")
    cloud_fixture.store().delete(name)


STRANGERS: list[Json] = [
    {"labels": {"nb-tool": "other-tool"}},
    {"labels": {"nb-tool": None}},
    {"labels": {"nb-run": None}},
    {"labels": {"nb-job": None}},
    {"labels": {"nb-nonce": "another"}},
    {"labels": {"nb-nonce": None}},
    {"labels": {"nb-deadline": None}},
    {"labels": {"nb-deadline": "soon"}},
    {"name": "nb-0123456789ab-a1t1"},
    {"name": "nb-mine"},
    {"name": "production-database"},
    {"metadata": {"nonce": "another"}},
    {"metadata": {"run": "another"}},
    {"metadata": {"job_id": "another"}},
    {"metadata": {"attempt": 2}},
    {"metadata": {"attempt": None}},
    {"raw_metadata": "no json"},
    {"raw_metadata": "[]"},
    {"raw_metadata": "{}"},
]


@pytest.mark.parametrize("stranger", STRANGERS, ids=json.dumps)
def test_a_stranger_survives(cloud_fixture: CloudFixture, plan: Plan, stranger: Json) -> None:
    name = seed(cloud_fixture, plan, **stranger)
    cloud_fixture.clock.advance(10_000)
    assert swept(cloud_fixture) == []
    assert cloud_fixture.alive() == [name]


def test_foreign_vms_do_not_hide_our_vms(cloud_fixture: CloudFixture, plan: Plan) -> None:
    own = seed(cloud_fixture, plan)
    strangers = {
        seed(cloud_fixture, plan, name=f"nb-0123456789a{n}-a1t1", labels={"nb-nonce": f"x{n}"})
        for n in range(5)
    }
    cloud_fixture.clock.advance(10_000)
    assert swept(cloud_fixture) == [own]
    assert set(cloud_fixture.alive()) == strangers


def test_only_vms_of_the_dead_run_are_taken_down(cloud_fixture: CloudFixture, plan: Plan) -> None:
    dead = seed(cloud_fixture, plan)
    stranger = seed(cloud_fixture, plan, name="nb-0123456789ab-a1t1")
    other = cloud_fixture.placement(cloud_fixture.fleet()).place(cloud_fixture.vm_request(plan)).name
    told: list[str] = []
    take_down_run(cloud_fixture.machines(), cloud_fixture.fleet(), "run-old", told.append)
    assert set(cloud_fixture.alive()) == {stranger, other}
    assert told == [f"VM {dead} in {ZONE} of run run-old deleted"]


def test_each_vm_of_a_dead_run_is_deleted_although_one_cannot_be(
    cloud_fixture: CloudFixture, plan: Plan
) -> None:
    stuck, *others = (seed(cloud_fixture, plan, number) for number in (1, 2, 3))
    cloud_fixture.fault(
        "compute.instances.delete",
        "error",
        times=1000,
        status=403,
        message="not yours",
        match={"instance": stuck},
    )
    told: list[str] = []
    with pytest.raises(EnvironmentFailed, match=f"VM {stuck} in {ZONE}: .*not yours") as caught:
        take_down_run(cloud_fixture.machines(), cloud_fixture.fleet(), "run-old", told.append)
    assert cloud_fixture.alive() == [stuck]
    assert sorted(told) == sorted(f"VM {name} in {ZONE} of run run-old deleted" for name in others)
    assert f"gcloud compute instances delete {stuck}" in caught.value.advice


def test_a_vm_that_cannot_be_deleted_is_reported_and_delays_the_sweep_briefly(
    cloud_fixture: CloudFixture, plan: Plan
) -> None:
    seed(cloud_fixture, plan)
    cloud_fixture.clock.advance(10_000)
    cloud_fixture.fault("compute.instances.delete", "error", times=1000, status=403, message="not yours")
    started = cloud_fixture.time.monotonic()
    assert swept(cloud_fixture) == []
    assert cloud_fixture.time.monotonic() - started < 70
    assert any("could not be removed" in text and "not yours" in text for text in cloud_fixture.said)


def test_many_vms_that_cannot_be_deleted_delay_the_sweep_no_longer_than_one(
    cloud_fixture: CloudFixture, plan: Plan
) -> None:
    """The end of a run waits for the sweep, and the end of a build does not wait for the run."""
    for number in range(1, 6):
        seed(cloud_fixture, plan, number)
    cloud_fixture.clock.advance(10_000)
    cloud_fixture.fault("compute.instances.delete", "error", times=1000, status=403, message="not yours")
    started = cloud_fixture.time.monotonic()
    assert swept(cloud_fixture) == []
    assert cloud_fixture.time.monotonic() - started < 3 * BUDGET
    assert sum("could not be removed" in text for text in cloud_fixture.said) == 5


def test_the_tools_label_counts_whatever_the_listing_brought(cloud_fixture: CloudFixture, plan: Plan) -> None:
    seed(cloud_fixture, plan)
    (instance,) = cloud_fixture.machines().ours()
    late = cloud_fixture.clock.now() + 100_000
    assert overdue(instance, late) is not None
    without = {key: value for key, value in instance.labels.items() if key != "nb-tool"}
    assert overdue(replace(instance, labels=without), late) is None


def test_the_time_of_a_vm_is_over_after_its_deadline_and_two_minutes(
    cloud_fixture: CloudFixture, plan: Plan
) -> None:
    seed(cloud_fixture, plan)
    (instance,) = cloud_fixture.machines().ours()
    epoch = {**instance.labels, "nb-deadline": "5000"}
    by_label = replace(instance, labels=epoch, max_run_seconds=None)
    by_server = replace(instance, labels=epoch, created="1970-01-01T01:00:00+00:00", max_run_seconds=400)
    running = replace(by_server, terminates="1970-01-01T01:10:00+00:00")  # it needed ten minutes to start
    for odd, deadline in ((by_label, 5000), (by_server, 4000), (running, 4200)):
        assert overdue(odd, deadline + LATENESS) is None
        late = overdue(odd, deadline + LATENESS + 1)
        assert late is not None
        assert late.seconds == LATENESS + 1
    without_offset = replace(by_server, created="1970-01-01T01:00:00")
    assert overdue(without_offset, 5000 + LATENESS) is None
    assert overdue(without_offset, 5000 + LATENESS + 1) is not None


def test_a_vm_whose_times_cannot_be_read_lives(cloud_fixture: CloudFixture, plan: Plan) -> None:
    seed(cloud_fixture, plan)
    (instance,) = cloud_fixture.machines().ours()
    late = cloud_fixture.clock.now() + 100_000
    labels = {**instance.labels, "nb-deadline": "soon"}
    odd = replace(instance, labels=labels, created="yesterday", max_run_seconds=60)
    assert overdue(odd, late) is None
