"""The sweep takes what is ours and overdue, and nothing else, however alike it looks."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import replace
from typing import Any

import pytest

from builder.act.fleet import Ending, Fleet
from builder.act.ledger import Ledger
from builder.act.sweep import LATENESS, overdue, sweep
from builder.plan.make import Plan
from builder.plan.vm_spec import Attempt, insert_body, vm_labels
from tests.contract.world import ZONE, World

Json = dict[str, Any]


def seed(world: World, plan: Plan, number: int = 1, **changes: Any) -> str:
    """A VM as a run makes it, but for the changes; its deadline is `max_run` seconds away."""
    attempt = Attempt(run="run-old", job="demo", number=number, nonce="feedc0de")
    metadata: Json = {
        "run": attempt.run,
        "job_id": attempt.job,
        "attempt": number,
        "nonce": attempt.nonce,
        **changes.get("metadata", {}),
    }
    name = changes.get("name", attempt.vm_name(1))
    now = world.clock.now()
    labels = {**vm_labels(attempt, plan.jobs[0].vm, int(now) + 4000), **changes.get("labels", {})}
    body = insert_body(
        plan.jobs[0].vm,
        project="local-project",
        zone=ZONE,
        name=name,
        image=world.order(plan).image,
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
    machines = world.machines()
    operation = machines.insert(ZONE, body, request_id=attempt.request_id("seed", ZONE, name))
    while not operation.done:
        operation = machines.operation(ZONE, operation.name)
    assert operation.errors == ()
    return str(name)


def noted(world: World, plan: Plan, vm: str) -> bool:
    """Whether the ledger of VMs has an entry of this one."""
    entries = world.store().list(plan.location.object("open") + "/")
    return any(item.name.endswith(f"/{vm}.json") for item in entries)


def lost(world: World, plan: Plan) -> str:
    """A VM whose builder was killed: its ledger entry stands, its end was never asked for."""
    ledger = Ledger(world.store(), plan.location)
    fleet = Fleet(world.machines(), world.time, world.cancellation, ledger.note)
    vm = world.placement(fleet).place(world.order(plan, nonce=uuid.uuid4().hex[:16]))
    until = time.monotonic() + 5
    while not noted(world, plan, vm.name):
        assert time.monotonic() < until
        time.sleep(0.01)
    return vm.name


def told(world: World, plan: Plan, vm: str = "") -> list[str]:
    """What a sweep says of this VM, or of any, that nobody came back for."""
    world.said.clear()
    sweep(world.machines(), world.fleet(), world.said.append, store=world.store(), location=plan.location)
    return [text for text in world.said if f"ended without deleting its VM {vm}" in text]


def swept(world: World) -> list[str]:
    found = sweep(world.machines(), world.fleet(), world.said.append)
    return [vm.name for vm in found if vm.ending is Ending.GONE]


def test_an_overdue_vm_is_removed_and_told(world: World, plan: Plan) -> None:
    name = seed(world, plan)
    world.clock.advance(4000 + LATENESS + 5)
    assert swept(world) == [name]
    assert world.left() == []
    assert any("removed leftover VM" in text and "run-old" in text for text in world.said)


def test_a_stopped_one_is_removed_too(world: World, plan: Plan) -> None:
    name = seed(world, plan)
    world.booted().events.guest_shutdown()
    world.clock.advance(4000 + LATENESS + 5)
    assert swept(world) == [name]


def test_before_its_deadline_it_lives(world: World, plan: Plan) -> None:
    name = seed(world, plan)
    world.clock.advance(4000)
    assert swept(world) == []
    assert world.alive() == [name]


def test_a_vm_that_its_own_deadline_removed_is_told_once(world: World, plan: Plan) -> None:
    name = lost(world, plan)
    assert told(world, plan, name) == []  # it runs, and may well be at work
    world.clock.advance(plan.jobs[0].limits.vm + LATENESS + 5)
    assert world.alive() == []
    (text,) = told(world, plan, name)
    assert name in text
    assert "run-1" in text
    assert not noted(world, plan, name)
    assert told(world, plan, name) == []


def test_a_vm_that_is_gone_before_its_time_is_not_told_yet(world: World, plan: Plan) -> None:
    name = lost(world, plan)
    world.clock.advance(plan.jobs[0].limits.vm + 1)
    assert world.alive() == []
    assert told(world, plan, name) == []
    assert noted(world, plan, name)
    world.clock.advance(LATENESS)
    assert len(told(world, plan, name)) == 1


def test_a_vm_whose_end_is_confirmed_leaves_no_entry(world: World, plan: Plan) -> None:
    ledger = Ledger(world.store(), plan.location)
    fleet = Fleet(world.machines(), world.time, world.cancellation, ledger.note)
    vm = world.placement(fleet).place(world.order(plan, nonce=uuid.uuid4().hex[:16]))
    assert fleet.take_down(vm) is Ending.GONE
    assert not noted(world, plan, vm.name)


def test_what_is_no_entry_is_left_alone(world: World, plan: Plan) -> None:
    name = plan.location.object("open", "run-1", "notes.json")
    world.store().replace(name, b"a note of somebody's", content_type="text/plain")
    world.clock.advance(100_000)
    assert told(world, plan, "notes") == []
    assert noted(world, plan, "notes")
    world.store().delete(name)


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
def test_a_stranger_survives(world: World, plan: Plan, stranger: Json) -> None:
    name = seed(world, plan, **stranger)
    world.clock.advance(10_000)
    assert swept(world) == []
    assert world.alive() == [name]


def test_strangers_do_not_hide_what_is_ours(world: World, plan: Plan) -> None:
    own = seed(world, plan)
    strangers = {
        seed(world, plan, name=f"nb-0123456789a{n}-a1t1", labels={"nb-nonce": f"x{n}"}) for n in range(5)
    }
    world.clock.advance(10_000)
    assert swept(world) == [own]
    assert set(world.alive()) == strangers


def test_one_that_resists_is_told_and_does_not_hold_up_long(world: World, plan: Plan) -> None:
    seed(world, plan)
    world.clock.advance(10_000)
    world.fault("compute.instances.delete", "error", times=1000, status=403, message="not yours")
    started = world.time.monotonic()
    assert swept(world) == []
    assert world.time.monotonic() - started < 70
    assert any("could not be removed" in text and "not yours" in text for text in world.said)


def test_the_tools_label_counts_whatever_the_listing_brought(world: World, plan: Plan) -> None:
    seed(world, plan)
    (instance,) = world.machines().ours()
    late = world.clock.now() + 100_000
    assert overdue(instance, late) is not None
    without = {key: value for key, value in instance.labels.items() if key != "nb-tool"}
    assert overdue(replace(instance, labels=without), late) is None


def test_a_vm_whose_times_cannot_be_read_lives(world: World, plan: Plan) -> None:
    seed(world, plan)
    (instance,) = world.machines().ours()
    late = world.clock.now() + 100_000
    labels = {**instance.labels, "nb-deadline": "soon"}
    odd = replace(instance, labels=labels, created="yesterday", max_run_seconds=60)
    assert overdue(odd, late) is None
