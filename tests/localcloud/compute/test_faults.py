"""Planned faults, each consumed."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from google.api_core.exceptions import ServiceUnavailable
from google.cloud import compute_v1

from localcloud.core.iam import PROJECT
from tests.localcloud.compute.conftest import ZONE, CloudFixture, StandIn, vm_body
from tests.patience import PATIENCE
from tests.polling import eventually

_SPOT = {"provisioningModel": "SPOT", "instanceTerminationAction": "DELETE"}


def _fault(cloud_fixture: CloudFixture, method: str, action: str, **args: Any) -> None:
    cloud_fixture.faults.add({"method": method, "action": action, "args": args, "match": {"zone": ZONE}})


def test_a_stock_out_in_the_operation(cloud_fixture: CloudFixture) -> None:
    code = "ZONE_RESOURCE_POOL_EXHAUSTED"
    _fault(
        cloud_fixture,
        "compute.instances.insert",
        "operation_error",
        code=code,
        message=f"The zone 'projects/{PROJECT}/zones/{ZONE}' does not have enough resources available.",
        http_status=503,
        http_message="SERVICE UNAVAILABLE",
    )
    done = cloud_fixture.done(cloud_fixture.insert(vm_body()))
    assert (done.error.errors[0].code, done.http_error_status_code) == (code, 503)
    assert done.http_error_message == "SERVICE UNAVAILABLE"
    assert cloud_fixture.service.inventory() == {"compute.instances": [], "compute.disks": []}
    assert not cloud_fixture.done(cloud_fixture.insert(vm_body())).error.errors


def test_an_operation_error_may_have_no_http_status_at_all(cloud_fixture: CloudFixture) -> None:
    _fault(cloud_fixture, "compute.instances.insert", "operation_error", code="SOMETHING_NEW")
    done = cloud_fixture.done(cloud_fixture.insert(vm_body()))
    assert done.error.errors[0].code == "SOMETHING_NEW"
    assert not done.http_error_status_code
    assert not done.http_error_message


def test_a_failed_insert_may_leave_its_instance_visible(cloud_fixture: CloudFixture) -> None:
    _fault(cloud_fixture, "compute.instances.insert", "operation_error", code="X", visible_instance=True)
    assert cloud_fixture.done(cloud_fixture.insert(vm_body())).error.errors
    assert cloud_fixture.status("vm-1") == "STOPPING"
    cloud_fixture.done(cloud_fixture.instances.delete_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    assert cloud_fixture.service.inventory() == {"compute.instances": [], "compute.disks": []}
    _fault(cloud_fixture, "compute.instances.insert", "operation_error", code="X", visible_instance=True)
    cloud_fixture.done(cloud_fixture.insert(vm_body()))
    cloud_fixture.clock.advance(70)
    assert cloud_fixture.status("vm-1") is None


@pytest.mark.parametrize("cloud_fixture", [{"CPUS": 4}], ids=["4 CPUs"], indirect=True)
def test_a_failed_insert_counts_against_no_quota(cloud_fixture: CloudFixture) -> None:
    _fault(cloud_fixture, "compute.instances.insert", "operation_error", code="X", visible_instance=True)
    assert cloud_fixture.done(cloud_fixture.insert(vm_body())).error.errors
    assert not cloud_fixture.done(cloud_fixture.insert(vm_body("vm-2"))).error.errors


def test_a_failed_delete_leaves_the_instance_as_it_was(cloud_fixture: CloudFixture) -> None:
    machine = cloud_fixture.run(vm_body())
    _fault(
        cloud_fixture, "compute.instances.delete", "operation_error", code="INTERNAL_ERROR", http_status=500
    )
    where = {"project": PROJECT, "zone": ZONE, "instance": "vm-1"}
    assert (
        cloud_fixture.done(cloud_fixture.instances.delete_unary(**where)).error.errors[0].code
        == "INTERNAL_ERROR"
    )
    assert (cloud_fixture.status("vm-1"), machine.killed) == ("RUNNING", False)
    assert not cloud_fixture.done(cloud_fixture.instances.delete_unary(**where)).error.errors


def test_errors_before_and_after_the_effect(cloud_fixture: CloudFixture) -> None:
    _fault(cloud_fixture, "compute.instances.insert", "error", status=503, reason="insufficientCapacity")
    with pytest.raises(ServiceUnavailable):
        cloud_fixture.insert(vm_body())
    assert cloud_fixture.service.inventory()["compute.instances"] == []
    _fault(cloud_fixture, "compute.instances.insert", "drop_after")
    with pytest.raises(requests.ConnectionError):
        cloud_fixture.insert(vm_body())
    eventually(lambda: cloud_fixture.status("vm-1") == "RUNNING")


def test_an_idle_vm_has_no_startup_script(cloud_fixture: CloudFixture) -> None:
    _fault(cloud_fixture, "vm.boot", "idle")
    assert cloud_fixture.run(vm_body()).spec.startup_script is None


def test_a_preempted_spot_vm_is_told_and_deleted(cloud_fixture: CloudFixture) -> None:
    _fault(cloud_fixture, "vm.life", "preempt", after=60)
    machine = cloud_fixture.run(vm_body(scheduling=_SPOT))
    identity = cloud_fixture.service._state.vms[ZONE, "vm-1"]
    cloud_fixture.clock.advance(60.01)
    assert identity.preempted
    eventually(lambda: cloud_fixture.status("vm-1") is None)
    assert machine.killed
    operation = cloud_fixture.operations("compute.instances.preempted")[0]
    assert operation.target_link.endswith("/instances/vm-1")


def told_by_metadata(machine: StandIn) -> str:
    """True if the instance is preempted, by its metadata server's answer to a wait for a change."""
    url = f"http://{machine.spec.metadata_address}/computeMetadata/v1/instance/preempted"
    waiting = {"wait_for_change": "true", "last_etag": "0"}
    return requests.get(url, waiting, headers={"Metadata-Flavor": "Google"}, timeout=PATIENCE).text


def test_preemption_has_its_notice(cloud_fixture: CloudFixture) -> None:
    _fault(cloud_fixture, "vm.life", "preempt", after=60, notice=30)
    machine = cloud_fixture.run(vm_body(scheduling=_SPOT))
    assert told_by_metadata(machine) == "FALSE"
    cloud_fixture.clock.advance(61)
    assert told_by_metadata(machine) == "TRUE"
    assert machine.pressed
    assert not machine.killed
    assert cloud_fixture.status("vm-1") == "STOPPING"
    cloud_fixture.clock.advance(30)
    eventually(lambda: cloud_fixture.status("vm-1") is None)
    assert machine.killed


def test_a_preempted_spot_vm_with_stop_keeps_its_disk(cloud_fixture: CloudFixture) -> None:
    _fault(cloud_fixture, "vm.life", "preempt", after=60)
    cloud_fixture.run(vm_body(scheduling=_SPOT | {"instanceTerminationAction": "STOP"}))
    cloud_fixture.clock.advance(61)
    eventually(lambda: cloud_fixture.status("vm-1") == "TERMINATED")
    assert len(cloud_fixture.service.inventory()["compute.disks"]) == 1


def test_a_vm_vanishes_when_a_text_has_gone_over_the_serial_port(cloud_fixture: CloudFixture) -> None:
    _fault(cloud_fixture, "vm.life", "vanish", at="cell 3/9")
    machine = cloud_fixture.run(vm_body())
    machine.events.serial(b"# cell 2/9 ok\n# cell")
    assert cloud_fixture.status("vm-1") == "RUNNING"
    machine.events.serial(b" 3/9 ok\n")
    eventually(lambda: cloud_fixture.status("vm-1") is None)
    assert not machine.pressed
    assert machine.killed
    assert (
        cloud_fixture.operations("compute.instances.hostError")[0].status == compute_v1.Operation.Status.DONE
    )
    assert cloud_fixture.service.inventory()["compute.disks"] == []


def test_a_vm_is_stopped_from_outside(cloud_fixture: CloudFixture) -> None:
    _fault(cloud_fixture, "vm.life", "stop", after=5)
    cloud_fixture.run(vm_body())
    cloud_fixture.clock.advance(6)
    eventually(lambda: cloud_fixture.status("vm-1") == "TERMINATED")


def test_a_fault_may_name_labels(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.faults.add({"method": "vm.boot", "action": "idle", "match": {"labels.attempt": "2"}})
    assert cloud_fixture.run(vm_body(labels={"attempt": "1"})).spec.startup_script == "echo hello"
    assert cloud_fixture.run(vm_body("vm-2", labels={"attempt": "2"})).spec.startup_script is None
