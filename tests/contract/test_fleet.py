"""A VM's end: confirmed by a 404, else by the deadline that it carries, else said to be unknown."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from builder.act.fleet import Ending, Fleet, Vm
from builder.errors import Interrupted
from builder.plan.make import Plan
from builder.plan.vm_spec import insert_body, vm_labels
from builder.ports import Operation
from tests.contract.world import World


def body_of(world: World, plan: Plan, vm: Vm) -> dict[str, object]:
    order = world.order(plan)
    return insert_body(
        order.job.vm,
        project="local-project",
        zone=vm.zone,
        name=vm.name,
        image=order.image,
        limits=order.job.limits,
        labels=vm_labels(order.attempt, order.job.vm, 1),
        startup_script="true",
        job_metadata={},
    )


def request(world: World, plan: Plan, vm: Vm) -> Operation:
    identity = vm.attempt.request_id("insert", vm.zone, vm.name)
    return world.machines().insert(vm.zone, body_of(world, plan, vm), request_id=identity)


@pytest.fixture
def fleet(world: World) -> Fleet:
    return world.fleet()


@pytest.fixture
def vm(world: World, plan: Plan, fleet: Fleet) -> Vm:
    """A VM that runs."""
    return world.placement(fleet).place(world.order(plan))


def test_a_vm_is_gone_when_a_404_says_so(world: World, fleet: Fleet, vm: Vm) -> None:
    assert fleet.take_down(vm) is Ending.GONE
    assert fleet.open() == []
    assert world.left() == []


def test_a_second_take_down_finds_nothing_and_that_is_well(fleet: Fleet, vm: Vm) -> None:
    assert fleet.take_down(vm) is Ending.GONE
    assert fleet.take_down(vm) is Ending.GONE


def test_a_vm_that_is_gone_already_is_gone(world: World, fleet: Fleet, vm: Vm) -> None:
    world.booted().events.ended()
    world.time.sleep(1)
    world.machines().delete(vm.zone, vm.name, request_id=vm.attempt.request_id("x", vm.zone, vm.name))
    world.time.sleep(5)
    assert fleet.take_down(vm) is Ending.GONE


def test_a_delete_whose_operation_fails_is_asked_again_as_a_new_request(
    world: World, fleet: Fleet, vm: Vm
) -> None:
    world.fault("compute.instances.delete", "operation_error", times=2, code="INTERNAL_ERROR")
    assert fleet.take_down(vm) is Ending.GONE
    assert vm.deletes == 3
    assert world.left() == []


@pytest.mark.parametrize("status", [403, 503])
def test_a_delete_that_never_succeeds_leaves_the_vm_to_its_deadline(
    world: World, fleet: Fleet, vm: Vm, status: int
) -> None:
    world.fault("compute.instances.delete", "error", times=1000, status=status, message="not today")
    started = world.time.monotonic()
    assert fleet.take_down(vm) is Ending.DEADLINE
    assert world.time.monotonic() - started < 180 + 150
    assert vm.terminates
    assert "not today" in vm.trouble
    assert fleet.open() == [vm]
    world.clock.advance(vm.max_run_seconds + 30)
    assert world.left() == []


def test_a_delete_that_is_accepted_and_never_done_does_not_hold_us_up(
    world: World, fleet: Fleet, vm: Vm, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending = Operation(name="operation-1", done=False)
    monkeypatch.setattr(fleet.machines, "delete", lambda *_args, **_names: pending)
    monkeypatch.setattr(fleet.machines, "operation", lambda *_args: pending)
    started = world.time.monotonic()
    assert fleet.take_down(vm) is Ending.DEADLINE
    assert world.time.monotonic() - started < 200
    assert "accepted" in vm.trouble


def test_without_a_404_and_without_a_deadline_the_end_is_unknown(world: World, fleet: Fleet, vm: Vm) -> None:
    world.fault("compute.instances.delete", "error", times=1000, status=403)
    world.fault("compute.instances.get", "error", times=1000, status=403)
    assert fleet.take_down(vm) is Ending.UNKNOWN
    assert fleet.open() == [vm]


def test_a_stopped_vm_has_no_deadline_any_more(world: World, fleet: Fleet, vm: Vm) -> None:
    world.booted().events.guest_shutdown()
    world.time.sleep(5)
    world.fault("compute.instances.delete", "error", times=1000, status=403)
    assert fleet.take_down(vm) is Ending.UNKNOWN


def test_a_404_is_no_end_while_the_insert_may_still_take_effect(
    world: World, plan: Plan, fleet: Fleet
) -> None:
    vm = world.vm(plan)
    with fleet.requesting(vm):
        pass
    late = world.clock.call_later(90, lambda: request(world, plan, vm))
    assert fleet.take_down(vm) is Ending.GONE
    late.cancel()
    assert world.inserted() == [vm.name]
    assert world.left() == []


def test_an_unanswered_insert_that_never_takes_effect_is_over_in_time(
    world: World, plan: Plan, fleet: Fleet
) -> None:
    vm = world.vm(plan)
    with fleet.requesting(vm):
        pass
    started = world.time.monotonic()
    assert fleet.take_down(vm) is Ending.GONE
    assert 120 <= world.time.monotonic() - started < 180


def test_a_404_is_no_end_while_the_inserts_operation_is_under_way(
    world: World, plan: Plan, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operation was accepted but has not begun: Compute shows no VM yet, and it comes 60 s later."""
    vm = world.vm(plan)
    with fleet.requesting(vm):
        vm.operation = "operation-1"
    due = world.time.monotonic() + 60

    def operation(_zone: str, name: str) -> Operation:
        done = world.time.monotonic() >= due
        if done and not world.inserted():
            request(world, plan, vm)
            world.time.sleep(1)
        return Operation(name=name, done=done)

    real = world.machines()
    monkeypatch.setattr(
        fleet.machines,
        "operation",
        lambda zone, name: (operation if name == "operation-1" else real.operation)(zone, name),
    )
    assert fleet.take_down(vm) is Ending.GONE
    assert world.inserted() == [vm.name]
    assert world.left() == []


def test_an_insert_that_is_under_way_for_ever_is_not_called_gone(
    world: World, plan: Plan, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm = world.vm(plan)
    with fleet.requesting(vm):
        vm.operation = "operation-1"
    pending = Operation(name="operation-1", done=False)
    monkeypatch.setattr(fleet.machines, "operation", lambda *_args: pending)
    assert fleet.take_down(vm) is Ending.UNKNOWN
    assert "under way" in vm.trouble


def test_on_a_signal_every_delete_is_sent_at_once(world: World, fleet: Fleet, vm: Vm) -> None:
    world.cancellation.cancel(signal.SIGTERM)
    started = time.monotonic()
    fleet.abandon()
    assert time.monotonic() - started < 2
    assert fleet.open() == []
    world.clock.advance(5)
    assert world.left() == []


def test_on_a_signal_a_delete_that_fails_is_repeated_while_there_is_time(
    world: World, fleet: Fleet, vm: Vm
) -> None:
    world.fault("compute.instances.delete", "error", times=2, status=503)
    world.cancellation.cancel(signal.SIGTERM)
    fleet.abandon()
    assert fleet.open() == []
    world.clock.advance(5)
    assert world.left() == []


def test_on_a_signal_a_delete_that_hangs_is_not_waited_for(world: World, fleet: Fleet, vm: Vm) -> None:
    world.fault("compute.instances.delete", "stall", seconds=20)
    world.cancellation.cancel(signal.SIGTERM)
    started = time.monotonic()
    fleet.abandon()
    assert time.monotonic() - started < 4
    assert fleet.open() == [vm]


def test_on_a_signal_a_vm_whose_insert_is_on_its_way_is_caught(
    world: World, plan: Plan, fleet: Fleet
) -> None:
    vm = world.vm(plan)
    with fleet.requesting(vm):
        pass
    world.cancellation.cancel(signal.SIGTERM)
    timer = threading.Timer(0.7, lambda: request(world, plan, vm))
    timer.start()
    fleet.abandon()
    timer.join()
    assert fleet.open() == []
    world.clock.advance(5)
    assert world.left() == []


def test_after_a_signal_no_vm_is_asked_for(world: World, plan: Plan, fleet: Fleet) -> None:
    world.cancellation.cancel(signal.SIGTERM)
    with pytest.raises(Interrupted):
        world.placement(fleet).place(world.order(plan))
    assert world.compute.inserts() == []
