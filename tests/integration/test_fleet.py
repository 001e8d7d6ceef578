"""A VM's end: confirmed by a 404, else by the deadline that it carries, else said to be unknown."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import replace

import pytest

from builder.act.fleet import LATE_INSERT_BUDGET, TEARDOWN_BUDGET, Fleet
from builder.act.vm import Ending, Vm
from builder.errors import Interrupted
from builder.plan.build_plan import Plan
from builder.plan.vm_spec import insert_body, vm_labels
from builder.ports import Operation
from tests.integration.cloud_fixture import CloudFixture
from tests.patience import HANGS, SOON


def body_of(cloud_fixture: CloudFixture, plan: Plan, vm: Vm) -> dict[str, object]:
    vm_request = cloud_fixture.vm_request(plan)
    return insert_body(
        vm_request.job.options,
        project="local-project",
        zone=vm.zone,
        name=vm.name,
        image=vm_request.image,
        limits=vm_request.job.limits,
        labels=vm_labels(vm_request.attempt, vm_request.job.options, 1),
        startup_script="true",
        job_metadata={},
    )


def request(cloud_fixture: CloudFixture, plan: Plan, vm: Vm) -> Operation:
    identity = vm.attempt.request_id("insert", vm.zone, vm.name)
    return cloud_fixture.machines().insert(vm.zone, body_of(cloud_fixture, plan, vm), request_id=identity)


@pytest.fixture
def fleet(cloud_fixture: CloudFixture) -> Fleet:
    return cloud_fixture.fleet()


@pytest.fixture
def vm(cloud_fixture: CloudFixture, plan: Plan, fleet: Fleet) -> Vm:
    """A VM that runs."""
    return cloud_fixture.placement(fleet).place(cloud_fixture.vm_request(plan))


def test_a_vm_is_gone_when_a_404_says_so(cloud_fixture: CloudFixture, fleet: Fleet, vm: Vm) -> None:
    assert fleet.take_down(vm) is Ending.GONE
    assert fleet.open() == []
    assert cloud_fixture.left() == []


def test_a_second_take_down_finds_nothing_and_that_is_well(fleet: Fleet, vm: Vm) -> None:
    assert fleet.take_down(vm) is Ending.GONE
    assert fleet.take_down(vm) is Ending.GONE


def test_a_vm_that_is_gone_already_is_gone(cloud_fixture: CloudFixture, fleet: Fleet, vm: Vm) -> None:
    cloud_fixture.booted().events.ended()
    cloud_fixture.time.sleep(1)
    cloud_fixture.machines().delete(vm.zone, vm.name, request_id=vm.attempt.request_id("x", vm.zone, vm.name))
    cloud_fixture.time.sleep(5)
    assert fleet.take_down(vm) is Ending.GONE


def contested(fleet: Fleet, vm: Vm, nonce: str) -> Vm:
    """A VM of this name that a run has asked for, without learning whose it is."""
    other = replace(vm, attempt=replace(vm.attempt, nonce=nonce))
    with fleet.requesting(other):
        pass
    other.update(contested=True)
    return other


@pytest.mark.parametrize("end", ["take down", "abandon"])
def test_a_vm_of_our_name_that_is_not_ours_stays(cloud_fixture: CloudFixture, vm: Vm, end: str) -> None:
    fleet = cloud_fixture.fleet()
    other = contested(fleet, vm, "feedc0de")
    if end == "abandon":
        fleet.abandon()
    else:
        assert fleet.take_down(other) is Ending.GONE
    assert fleet.known() == ()
    assert cloud_fixture.machines().get(vm.zone, vm.name) is not None


@pytest.mark.parametrize("end", ["take down", "abandon"])
def test_a_vm_of_our_name_that_is_ours_goes(cloud_fixture: CloudFixture, vm: Vm, end: str) -> None:
    fleet = cloud_fixture.fleet()
    other = contested(fleet, vm, vm.attempt.nonce)
    if end == "abandon":
        fleet.abandon()
        cloud_fixture.time.sleep(60)
    else:
        assert fleet.take_down(other) is Ending.GONE
    assert not other.state.contested
    assert cloud_fixture.machines().get(vm.zone, vm.name) is None


def test_a_delete_whose_operation_fails_is_asked_again_as_a_new_request(
    cloud_fixture: CloudFixture, fleet: Fleet, vm: Vm
) -> None:
    cloud_fixture.fault("compute.instances.delete", "operation_error", times=2, code="INTERNAL_ERROR")
    assert fleet.take_down(vm) is Ending.GONE
    assert vm.state.deletes == 3
    assert cloud_fixture.left() == []


def test_a_delete_whose_operations_all_fail_says_why(
    cloud_fixture: CloudFixture, fleet: Fleet, vm: Vm
) -> None:
    cloud_fixture.fault(
        "compute.instances.delete", "operation_error", times=1000, code="INTERNAL_ERROR", message="not today"
    )
    assert fleet.take_down(vm) is Ending.DEADLINE
    assert vm.state.trouble == "INTERNAL_ERROR: not today"


@pytest.mark.parametrize("status", [403, 503])
def test_a_delete_that_never_succeeds_leaves_the_vm_to_its_deadline(
    cloud_fixture: CloudFixture, fleet: Fleet, vm: Vm, status: int
) -> None:
    cloud_fixture.fault("compute.instances.delete", "error", times=1000, status=status, message="not today")
    started = cloud_fixture.time.monotonic()
    assert fleet.take_down(vm) is Ending.DEADLINE
    assert cloud_fixture.time.monotonic() - started < 180 + 150
    assert vm.state.terminates
    assert "not today" in vm.state.trouble
    assert fleet.open() == [vm]
    cloud_fixture.clock.advance(vm.max_run_seconds + 30)
    assert cloud_fixture.left() == []


def test_a_delete_that_takes_a_minute_is_waited_for(
    cloud_fixture: CloudFixture, fleet: Fleet, vm: Vm, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = cloud_fixture.machines()
    due = cloud_fixture.time.monotonic() + 60

    def operation(zone: str, name: str) -> Operation:
        done = cloud_fixture.time.monotonic() >= due
        return real.operation(zone, name) if done else Operation(name=name, done=False)

    monkeypatch.setattr(fleet.machines, "operation", operation)
    assert fleet.take_down(vm) is Ending.GONE
    assert cloud_fixture.time.monotonic() >= due


def test_a_delete_that_is_accepted_and_never_done_does_not_hold_us_up(
    cloud_fixture: CloudFixture, fleet: Fleet, vm: Vm, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending = Operation(name="operation-1", done=False)
    monkeypatch.setattr(fleet.machines, "delete", lambda *_args, **_names: pending)
    monkeypatch.setattr(fleet.machines, "operation", lambda *_args: pending)
    started = cloud_fixture.time.monotonic()
    assert fleet.take_down(vm) is Ending.DEADLINE
    assert cloud_fixture.time.monotonic() - started < 200
    assert "accepted" in vm.state.trouble


def test_without_a_404_and_without_a_deadline_the_end_is_unknown(
    cloud_fixture: CloudFixture, fleet: Fleet, vm: Vm
) -> None:
    cloud_fixture.fault("compute.instances.delete", "error", times=1000, status=403)
    cloud_fixture.fault("compute.instances.get", "error", times=1000, status=403)
    assert fleet.take_down(vm) is Ending.UNKNOWN
    assert fleet.open() == [vm]


def test_a_vm_that_its_own_deadline_removed_is_gone_although_no_delete_is_answered(
    cloud_fixture: CloudFixture, fleet: Fleet, vm: Vm
) -> None:
    cloud_fixture.clock.advance(vm.max_run_seconds + 30)
    cloud_fixture.fault("compute.instances.delete", "error", times=1000, status=503)
    assert fleet.take_down(vm) is Ending.GONE


def test_without_an_answer_to_insert_and_delete_the_end_is_unknown(
    cloud_fixture: CloudFixture, plan: Plan, fleet: Fleet
) -> None:
    vm = cloud_fixture.vm(plan)
    with fleet.requesting(vm):
        pass
    cloud_fixture.fault("compute.instances.delete", "error", times=1000, status=503)
    assert fleet.take_down(vm) is Ending.UNKNOWN
    assert fleet.open() == [vm]


def test_a_stopped_vm_has_no_deadline_any_more(cloud_fixture: CloudFixture, fleet: Fleet, vm: Vm) -> None:
    cloud_fixture.booted().events.guest_shutdown()
    cloud_fixture.time.sleep(5)
    cloud_fixture.fault("compute.instances.delete", "error", times=1000, status=403)
    assert fleet.take_down(vm) is Ending.UNKNOWN


def test_a_404_is_no_end_while_the_insert_may_still_take_effect(
    cloud_fixture: CloudFixture, plan: Plan, fleet: Fleet
) -> None:
    vm = cloud_fixture.vm(plan)
    with fleet.requesting(vm):
        pass
    late = cloud_fixture.clock.call_later(90, lambda: request(cloud_fixture, plan, vm))
    assert fleet.take_down(vm) is Ending.GONE
    late.cancel()
    assert cloud_fixture.inserted() == [vm.name]
    assert cloud_fixture.left() == []


def test_an_unanswered_insert_that_never_takes_effect_is_over_in_time(
    cloud_fixture: CloudFixture, plan: Plan, fleet: Fleet
) -> None:
    vm = cloud_fixture.vm(plan)
    with fleet.requesting(vm):
        pass
    started = cloud_fixture.time.monotonic()
    assert fleet.take_down(vm) is Ending.GONE
    assert 120 <= cloud_fixture.time.monotonic() - started < 180


def test_a_404_is_no_end_while_the_inserts_operation_is_under_way(
    cloud_fixture: CloudFixture, plan: Plan, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operation was accepted but has not begun: Compute shows no VM yet, and it comes 60 s later."""
    vm = cloud_fixture.vm(plan)
    with fleet.requesting(vm):
        vm.update(operation="operation-1")
    due = cloud_fixture.time.monotonic() + 60

    def operation(_zone: str, name: str) -> Operation:
        done = cloud_fixture.time.monotonic() >= due
        if done and not cloud_fixture.inserted():
            request(cloud_fixture, plan, vm)
            cloud_fixture.time.sleep(1)
        return Operation(name=name, done=done)

    real = cloud_fixture.machines()
    monkeypatch.setattr(
        fleet.machines,
        "operation",
        lambda zone, name: (operation if name == "operation-1" else real.operation)(zone, name),
    )
    assert fleet.take_down(vm) is Ending.GONE
    assert cloud_fixture.inserted() == [vm.name]
    assert cloud_fixture.left() == []


def requested(
    cloud_fixture: CloudFixture, plan: Plan, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, *, done: bool
) -> Vm:
    """A VM that does not exist, whose request's operation is done or not."""
    vm = cloud_fixture.vm(plan)
    with fleet.requesting(vm):
        vm.update(operation="operation-1")
    operation = Operation(name="operation-1", done=done)
    monkeypatch.setattr(fleet.machines, "operation", lambda *_args: operation)
    return vm


def test_an_insert_that_is_under_way_for_ever_is_not_called_gone(
    cloud_fixture: CloudFixture, plan: Plan, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm = requested(cloud_fixture, plan, fleet, monkeypatch, done=False)
    started = cloud_fixture.time.monotonic()
    assert fleet.take_down(vm) is Ending.UNKNOWN
    assert cloud_fixture.time.monotonic() - started >= TEARDOWN_BUDGET + LATE_INSERT_BUDGET
    assert "under way" in vm.state.trouble


def test_a_404_after_the_inserts_operation_is_done_is_the_end(
    cloud_fixture: CloudFixture, plan: Plan, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm = requested(cloud_fixture, plan, fleet, monkeypatch, done=True)
    started = cloud_fixture.time.monotonic()
    assert fleet.take_down(vm) is Ending.GONE
    assert cloud_fixture.time.monotonic() - started < LATE_INSERT_BUDGET
    assert vm.state.trouble == ""


def test_on_a_signal_every_delete_is_sent_at_once(cloud_fixture: CloudFixture, fleet: Fleet, vm: Vm) -> None:
    cloud_fixture.cancellation.cancel(signal.SIGTERM)
    fleet.abandon()
    assert fleet.open() == []
    cloud_fixture.clock.advance(5)
    assert cloud_fixture.left() == []


def test_on_a_signal_a_delete_that_fails_is_repeated_while_there_is_time(
    cloud_fixture: CloudFixture, fleet: Fleet, vm: Vm
) -> None:
    cloud_fixture.fault("compute.instances.delete", "error", times=2, status=503)
    cloud_fixture.cancellation.cancel(signal.SIGTERM)
    fleet.abandon()
    assert fleet.open() == []
    cloud_fixture.clock.advance(5)
    assert cloud_fixture.left() == []


def test_on_a_signal_a_delete_that_hangs_is_not_waited_for(
    cloud_fixture: CloudFixture, fleet: Fleet, vm: Vm
) -> None:
    cloud_fixture.fault("compute.instances.delete", "stall", seconds=HANGS)
    cloud_fixture.cancellation.cancel(signal.SIGTERM)
    started = time.monotonic()
    fleet.abandon()
    assert time.monotonic() - started < SOON
    assert fleet.open() == [vm]


def test_on_a_signal_deletes_that_hang_are_waited_for_together(
    cloud_fixture: CloudFixture, plan: Plan, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builder.act.fleet.ABANDON_BUDGET", 0.3)
    cloud_fixture.fault("compute.instances.delete", "stall", times=1000, seconds=HANGS)
    vm = cloud_fixture.vm(plan)
    vms = [replace(vm, name=f"{vm.name}-{number}") for number in range(100)]
    for each in vms:
        with fleet.requesting(each):
            pass
    cloud_fixture.cancellation.cancel(signal.SIGTERM)
    started = time.monotonic()
    fleet.abandon()
    assert time.monotonic() - started < 0.05 * len(vms), "no VM adds a wait of its own"
    assert fleet.open() == vms


@pytest.mark.parametrize(
    ("status", "trouble"), [(403, "not today"), (503, "not accepted in time")], ids=["refused", "unavailable"]
)
def test_on_a_signal_a_delete_that_never_succeeds_says_why(
    cloud_fixture: CloudFixture, fleet: Fleet, vm: Vm, status: int, trouble: str
) -> None:
    cloud_fixture.fault("compute.instances.delete", "error", times=1000, status=status, message="not today")
    cloud_fixture.cancellation.cancel(signal.SIGTERM)
    fleet.abandon()
    assert fleet.open() == [vm]
    assert trouble in vm.state.trouble
    assert 1 < vm.state.deletes <= 16  # a pause of 0.2 s between them, for 3 s


def test_on_a_signal_a_vm_whose_insert_is_on_its_way_is_caught(
    cloud_fixture: CloudFixture, plan: Plan, fleet: Fleet
) -> None:
    vm = cloud_fixture.vm(plan)
    with fleet.requesting(vm):
        pass
    cloud_fixture.cancellation.cancel(signal.SIGTERM)
    timer = threading.Timer(0.7, lambda: request(cloud_fixture, plan, vm))
    timer.start()
    fleet.abandon()
    timer.join()
    assert fleet.open() == []
    cloud_fixture.clock.advance(5)
    assert cloud_fixture.left() == []


def test_after_a_signal_no_vm_is_asked_for(cloud_fixture: CloudFixture, plan: Plan, fleet: Fleet) -> None:
    cloud_fixture.cancellation.cancel(signal.SIGTERM)
    with pytest.raises(Interrupted):
        cloud_fixture.placement(fleet).place(cloud_fixture.vm_request(plan))
    assert cloud_fixture.compute.inserts() == []
