"""Planned faults, each consumed."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from google.api_core.exceptions import ServiceUnavailable
from google.cloud import compute_v1

from localcloud.iam import PROJECT
from tests.localcloud.compute.conftest import ZONE, World, eventually, vm_body

_SPOT = {"provisioningModel": "SPOT", "instanceTerminationAction": "DELETE"}


def _fault(world: World, method: str, action: str, **args: Any) -> None:
    world.faults.add({"method": method, "action": action, "args": args, "match": {"zone": ZONE}})


def test_a_stock_out_in_the_operation(world: World) -> None:
    code = "ZONE_RESOURCE_POOL_EXHAUSTED"
    _fault(
        world,
        "compute.instances.insert",
        "operation_error",
        code=code,
        message=f"The zone 'projects/{PROJECT}/zones/{ZONE}' does not have enough resources available.",
        http_status=503,
        http_message="SERVICE UNAVAILABLE",
    )
    done = world.done(world.insert(vm_body()))
    assert (done.error.errors[0].code, done.http_error_status_code) == (code, 503)
    assert done.http_error_message == "SERVICE UNAVAILABLE"
    assert world.service.inventory() == {"compute.instances": [], "compute.disks": []}
    assert not world.done(world.insert(vm_body())).error.errors


def test_an_operation_error_may_have_no_http_status_at_all(world: World) -> None:
    _fault(world, "compute.instances.insert", "operation_error", code="SOMETHING_NEW")
    done = world.done(world.insert(vm_body()))
    assert done.error.errors[0].code == "SOMETHING_NEW"
    assert not done.http_error_status_code
    assert not done.http_error_message


def test_a_failed_insert_may_leave_its_instance_visible(world: World) -> None:
    _fault(world, "compute.instances.insert", "operation_error", code="X", visible_instance=True)
    assert world.done(world.insert(vm_body())).error.errors
    assert world.status("vm-1") == "STOPPING"
    world.done(world.instances.delete_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    assert world.service.inventory() == {"compute.instances": [], "compute.disks": []}
    _fault(world, "compute.instances.insert", "operation_error", code="X", visible_instance=True)
    world.done(world.insert(vm_body()))
    world.clock.advance(70)
    assert world.status("vm-1") is None


@pytest.mark.parametrize("world", [{"CPUS": 4}], ids=["4 CPUs"], indirect=True)
def test_a_failed_insert_counts_against_no_quota(world: World) -> None:
    _fault(world, "compute.instances.insert", "operation_error", code="X", visible_instance=True)
    assert world.done(world.insert(vm_body())).error.errors
    assert not world.done(world.insert(vm_body("vm-2"))).error.errors


def test_a_failed_delete_leaves_the_instance_as_it_was(world: World) -> None:
    machine = world.run(vm_body())
    _fault(world, "compute.instances.delete", "operation_error", code="INTERNAL_ERROR", http_status=500)
    where = {"project": PROJECT, "zone": ZONE, "instance": "vm-1"}
    assert world.done(world.instances.delete_unary(**where)).error.errors[0].code == "INTERNAL_ERROR"
    assert (world.status("vm-1"), machine.killed) == ("RUNNING", False)
    assert not world.done(world.instances.delete_unary(**where)).error.errors


def test_errors_before_and_after_the_effect(world: World) -> None:
    _fault(world, "compute.instances.insert", "error", status=503, reason="insufficientCapacity")
    with pytest.raises(ServiceUnavailable):
        world.insert(vm_body())
    assert world.service.inserts() == []
    _fault(world, "compute.instances.insert", "drop_after")
    with pytest.raises(requests.ConnectionError):
        world.insert(vm_body())
    eventually(lambda: world.status("vm-1") == "RUNNING")


def test_boot_faults_change_the_startup_script(world: World) -> None:
    _fault(world, "vm.boot", "idle")
    _fault(world, "vm.boot", "exit", code=126)
    assert world.run(vm_body()).spec.startup_script is None
    assert world.run(vm_body("vm-2")).spec.startup_script == "#!/bin/sh\nexit 126\n"


def test_a_slow_boot_waits_on_the_virtual_clock(world: World) -> None:
    _fault(world, "vm.boot", "slow", seconds=300)
    world.done(world.insert(vm_body()))
    world.clock.advance(299)
    assert world.machines == []
    world.clock.advance(2)
    eventually(lambda: len(world.machines) == 1)


def test_a_preempted_spot_vm_is_told_and_deleted(world: World) -> None:
    _fault(world, "vm.life", "preempt", after=60)
    machine = world.run(vm_body(scheduling=_SPOT))
    identity = world.service._state.vms[ZONE, "vm-1"]
    world.clock.advance(60.01)
    assert identity.preempted
    eventually(lambda: world.status("vm-1") is None)
    assert machine.killed
    operation = world.operations("compute.instances.preempted")[0]
    assert operation.target_link.endswith("/instances/vm-1")
    assert operation.status_message == "Instance was preempted."


def test_preemption_has_its_notice(world: World) -> None:
    _fault(world, "vm.life", "preempt", after=60, notice=30)
    machine = world.run(vm_body(scheduling=_SPOT))
    world.clock.advance(61)
    assert machine.told
    assert not machine.killed
    assert world.status("vm-1") == "STOPPING"
    world.clock.advance(30)
    eventually(lambda: world.status("vm-1") is None)
    assert machine.killed


def test_a_preempted_spot_vm_with_stop_keeps_its_disk(world: World) -> None:
    _fault(world, "vm.life", "preempt", after=60)
    world.run(vm_body(scheduling=_SPOT | {"instanceTerminationAction": "STOP"}))
    world.clock.advance(61)
    eventually(lambda: world.status("vm-1") == "TERMINATED")
    assert len(world.service.inventory()["compute.disks"]) == 1


def test_a_vm_vanishes_when_a_text_has_gone_over_the_serial_port(world: World) -> None:
    _fault(world, "vm.life", "vanish", at="cell 3/9")
    machine = world.run(vm_body())
    machine.events.serial(b"# cell 2/9 ok\n# cell")
    assert world.status("vm-1") == "RUNNING"
    machine.events.serial(b" 3/9 ok\n")
    eventually(lambda: world.status("vm-1") is None)
    assert machine.killed
    assert world.operations("compute.instances.hostError")[0].status == compute_v1.Operation.Status.DONE
    assert world.service.inventory()["compute.disks"] == []


def test_a_vm_is_stopped_from_outside(world: World) -> None:
    _fault(world, "vm.life", "stop", after=5)
    world.run(vm_body())
    world.clock.advance(6)
    eventually(lambda: world.status("vm-1") == "TERMINATED")


def test_a_fault_may_name_labels(world: World) -> None:
    world.faults.add({"method": "vm.boot", "action": "idle", "match": {"labels.attempt": "2"}})
    assert world.run(vm_body(labels={"attempt": "1"})).spec.startup_script == "echo hello"
    assert world.run(vm_body("vm-2", labels={"attempt": "2"})).spec.startup_script is None
