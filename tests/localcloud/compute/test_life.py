"""The life of an instance, on a clock that tests move."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

import pytest
import requests
from google.api_core.exceptions import BadRequest, Conflict, MethodNotImplemented, NotFound
from google.cloud import compute_v1

from localcloud.core.iam import PROJECT
from localcloud.core.metadata import MetadataServer
from localcloud.engines.vm.machine import MachineEvents, MachineSpec
from localcloud.profile import PROFILE
from localcloud.services.compute import Pace
from tests.localcloud.compute.conftest import DLVM, VM_ACCOUNT, ZONE, CloudFixture, StandIn, vm_body
from tests.patience import PATIENCE
from tests.polling import eventually

_LIMIT = {
    "provisioningModel": "STANDARD",
    "automaticRestart": False,
    "instanceTerminationAction": "DELETE",
    "maxRunDuration": {"seconds": "3600"},
}
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def _disks(cloud_fixture: CloudFixture) -> list[str]:
    return [disk["name"] for disk in cloud_fixture.service.inventory()["compute.disks"]]


def test_an_instance_boots_and_its_machine_gets_what_the_metadata_say(
    cloud_fixture: CloudFixture, tmp_path: Any
) -> None:
    machine = cloud_fixture.run(vm_body(serviceAccounts=[{"email": VM_ACCOUNT, "scopes": [_SCOPE]}]))
    found = cloud_fixture.get("vm-1")
    assert found.status == "RUNNING"
    assert found.service_accounts[0].email == VM_ACCOUNT
    assert found.network_interfaces[0].network_i_p
    assert not found.network_interfaces[0].access_configs
    assert (machine.spec.name, machine.spec.image, machine.spec.startup_script) == (
        "vm-1",
        "debian-12",
        "echo hello",
    )
    assert machine.spec.directory.is_relative_to(tmp_path)
    identity = _identity(machine.spec.metadata_address)
    assert identity["name"] == "vm-1"
    assert identity["attributes"] == {"startup-script": "echo hello"}
    assert identity["serviceAccounts"]["default"]["email"] == VM_ACCOUNT


def _identity(address: str) -> dict[str, Any]:
    url = f"http://{address}/computeMetadata/v1/instance/?recursive=true"
    found: dict[str, Any] = requests.get(url, headers={"Metadata-Flavor": "Google"}, timeout=PATIENCE).json()
    return found


@pytest.mark.parametrize(
    ("family", "image"),
    [
        pytest.param("common-cu129-ubuntu-2404-nvidia-580", "ubuntu-2404", id="the default family"),
        pytest.param("common-cu129-ubuntu-2204-nvidia-580", "bare", id="an older distribution"),
        pytest.param("pytorch-2-9-cu129-ubuntu-2404-nvidia-580", "scientific", id="PyTorch"),
    ],
)
def test_a_family_says_which_machine_image_boots(
    cloud_fixture: CloudFixture, family: str, image: str
) -> None:
    source = f"{DLVM.rpartition('/')[0]}/{family}"
    disk = {"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": source}}
    assert cloud_fixture.run(vm_body(disks=[disk])).spec.image == image


def test_an_insert_is_seen_in_every_state(tmp_path: Any) -> None:
    with contextlib.closing(CloudFixture(tmp_path, StandIn, pace=Pace(insert=3000))) as cloud_fixture:
        operation = cloud_fixture.insert(vm_body())
        assert operation.status != compute_v1.Operation.Status.DONE
        assert operation.operation_type == "insert"
        assert operation.target_link.endswith(f"/zones/{ZONE}/instances/vm-1")
        assert cloud_fixture.status("vm-1") == "PROVISIONING"
        cloud_fixture.clock.advance(2001)
        assert cloud_fixture.status("vm-1") == "STAGING"
        cloud_fixture.clock.advance(1000)
        assert cloud_fixture.status("vm-1") == "RUNNING"
        done = cloud_fixture.done(operation)
        assert done.target_id == cloud_fixture.get("vm-1").id
        assert done.insert_time < done.start_time < done.end_time


def test_delete_takes_its_time_and_takes_the_auto_delete_disk_along(tmp_path: Path) -> None:
    machines: list[StandIn] = []

    def boot(spec: MachineSpec, events: MachineEvents) -> StandIn:
        machines.append(StandIn(spec, events))
        return machines[-1]

    pace = Pace(insert=0.03, delete=60)
    with contextlib.closing(CloudFixture(tmp_path, boot, pace=pace)) as cloud_fixture:
        cloud_fixture.machines = machines
        machine = cloud_fixture.run(vm_body())
        where: Any = {"project": PROJECT, "zone": ZONE, "instance": "vm-1"}
        operation = cloud_fixture.instances.delete_unary(**where)
        assert cloud_fixture.status("vm-1") == "STOPPING"
        second = cloud_fixture.instances.delete_unary(**where)
        cloud_fixture.clock.advance(61)
        assert not cloud_fixture.done(operation).error.errors
        assert not cloud_fixture.done(second).error.errors
        assert machine.killed
        assert not machine.spec.directory.exists()
        assert _disks(cloud_fixture) == []
        missing = f"The resource 'projects/{PROJECT}/zones/{ZONE}/instances/vm-1' was not found"
        with pytest.raises(NotFound, match=missing):
            cloud_fixture.get("vm-1")
        with pytest.raises(NotFound):
            cloud_fixture.instances.delete_unary(**where)


def test_a_disk_without_auto_delete_stays_and_its_name_is_taken(cloud_fixture: CloudFixture) -> None:
    body = vm_body()
    body["disks"][0]["autoDelete"] = False
    cloud_fixture.run(body)
    cloud_fixture.done(cloud_fixture.instances.delete_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    assert _disks(cloud_fixture) == ["vm-1-boot"]
    with pytest.raises(Conflict, match="disks/vm-1-boot' already exists") as caught:
        cloud_fixture.insert(body)
    assert caught.value.errors[0]["reason"] == "alreadyExists"


def test_names_are_unique_per_zone_only(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.run(vm_body())
    with pytest.raises(Conflict, match="already exists") as caught:
        cloud_fixture.insert(vm_body())
    assert caught.value.errors[0]["reason"] == "alreadyExists"
    cloud_fixture.run(vm_body(machineType="zones/us-east1-b/machineTypes/e2-small"), zone="us-east1-b")


def test_max_run_duration_deletes_at_its_time(cloud_fixture: CloudFixture) -> None:
    machine = cloud_fixture.run(vm_body(scheduling=_LIMIT))
    assert cloud_fixture.get("vm-1").resource_status.scheduling.termination_timestamp
    assert cloud_fixture.service.inventory()["compute.instances"][0]["deadline"]
    cloud_fixture.clock.advance(3590)
    assert cloud_fixture.status("vm-1") == "RUNNING"
    cloud_fixture.clock.advance(30)
    assert cloud_fixture.status("vm-1") is None
    assert machine.killed
    assert _disks(cloud_fixture) == []


def test_max_run_duration_with_stop_keeps_the_instance(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.run(vm_body(scheduling=_LIMIT | {"instanceTerminationAction": "STOP"}))
    cloud_fixture.clock.advance(3590)
    assert cloud_fixture.status("vm-1") == "RUNNING"
    cloud_fixture.clock.advance(20)
    assert cloud_fixture.status("vm-1") == "TERMINATED"


def test_a_shutdown_from_inside_keeps_the_disk_and_cancels_the_deletion(cloud_fixture: CloudFixture) -> None:
    machine = cloud_fixture.run(vm_body(scheduling=_LIMIT))
    machine.events.guest_shutdown()
    assert cloud_fixture.status("vm-1") == "STOPPING"
    eventually(lambda: cloud_fixture.status("vm-1") == "TERMINATED")
    assert machine.killed
    assert cloud_fixture.operations("compute.instances.guestTerminate")[0].target_link.endswith("/vm-1")
    assert not cloud_fixture.get("vm-1").resource_status.scheduling.termination_timestamp
    cloud_fixture.clock.advance(7200)
    assert cloud_fixture.status("vm-1") == "TERMINATED"
    assert _disks(cloud_fixture) == ["vm-1-boot"]


def test_a_stopped_instance_keeps_its_disk(cloud_fixture: CloudFixture) -> None:
    machine = cloud_fixture.run(vm_body())
    cloud_fixture.done(cloud_fixture.instances.stop_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    assert (cloud_fixture.status("vm-1"), machine.killed) == ("TERMINATED", True)
    assert _disks(cloud_fixture) == ["vm-1-boot"]


@pytest.mark.parametrize(
    ("method", "more"),
    [
        pytest.param("start_unary", {}, id="start"),
        pytest.param("set_labels_unary", {"instances_set_labels_request_resource": {}}, id="setLabels"),
        pytest.param("set_metadata_unary", {"metadata_resource": {}}, id="setMetadata"),
    ],
)
def test_methods_that_are_not_covered(cloud_fixture: CloudFixture, method: str, more: Any) -> None:
    cloud_fixture.run(vm_body())
    call = getattr(cloud_fixture.instances, method)
    with pytest.raises(MethodNotImplemented, match=r"does not implement compute\.instances\."):
        call(project=PROJECT, zone=ZONE, instance="vm-1", **more)


def test_a_second_delete_does_not_put_off_the_first(tmp_path: Any) -> None:
    pace = Pace(insert=0.03, delete=60)
    with contextlib.closing(CloudFixture(tmp_path, StandIn, pace=pace)) as cloud_fixture:
        cloud_fixture.done(cloud_fixture.insert(vm_body()))
        where: Any = {"project": PROJECT, "zone": ZONE, "instance": "vm-1"}
        cloud_fixture.instances.delete_unary(**where)
        cloud_fixture.clock.advance(40)
        cloud_fixture.instances.delete_unary(**where)
        cloud_fixture.clock.advance(25)
        assert cloud_fixture.status("vm-1") is None


def test_delete_while_it_stops_ends_both(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.run(vm_body())
    where: Any = {"project": PROJECT, "zone": ZONE, "instance": "vm-1"}
    operations = [cloud_fixture.instances.stop_unary(**where), cloud_fixture.instances.delete_unary(**where)]
    assert not any(cloud_fixture.done(operation).error.errors for operation in operations)
    assert cloud_fixture.status("vm-1") is None


def test_a_crashed_supervisor_is_a_host_error(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.run(vm_body()).events.ended()
    eventually(lambda: cloud_fixture.status("vm-1") == "TERMINATED")
    assert len(cloud_fixture.operations("compute.instances.hostError")) == 1


def test_delete_while_it_is_being_created_cancels_the_insert(tmp_path: Any) -> None:
    with contextlib.closing(
        CloudFixture(tmp_path, StandIn, pace=Pace(insert=3600, delete=0.03))
    ) as cloud_fixture:
        operation = cloud_fixture.insert(vm_body())
        deletion = cloud_fixture.instances.delete_unary(project=PROJECT, zone=ZONE, instance="vm-1")
        assert cloud_fixture.done(operation).error.errors[0].code == "OPERATION_CANCELED_BY_USER"
        assert not cloud_fixture.done(deletion).error.errors
        assert cloud_fixture.status("vm-1") is None
        assert not (tmp_path / "vms").exists()


def _serial(cloud_fixture: CloudFixture, **query: int) -> Any:
    request = compute_v1.GetSerialPortOutputInstanceRequest(
        project=PROJECT, zone=ZONE, instance="vm-1", **query
    )
    return cloud_fixture.instances.get_serial_port_output(request=request)


def test_serial_port_goes_on_from_next_and_shows_gaps(cloud_fixture: CloudFixture) -> None:
    machine = cloud_fixture.run(vm_body())
    first = _serial(cloud_fixture)
    assert "Linux version" in first.contents
    machine.events.serial(b"hello\r\n")
    more = _serial(cloud_fixture, start=first.next_)
    assert (more.contents, more.start) == ("hello\r\n", first.next_)
    assert _serial(cloud_fixture, start=-4).contents == "lo\r\n"
    machine.events.serial(b"x" * (1 << 20) + b"end\n")
    late = _serial(cloud_fixture, start=more.next_)
    assert late.start > more.next_
    assert late.contents.endswith("end\n")
    assert len(late.contents) == 1 << 20
    with pytest.raises(MethodNotImplemented, match="serial port 1 only"):
        _serial(cloud_fixture, port=2)


def test_serial_port_is_there_only_while_the_instance_runs(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.run(vm_body())
    cloud_fixture.done(cloud_fixture.instances.stop_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    with pytest.raises(BadRequest, match="is not ready") as caught:
        _serial(cloud_fixture)
    assert caught.value.errors[0]["reason"] == "resourceNotReady"
    cloud_fixture.done(cloud_fixture.instances.delete_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    with pytest.raises(NotFound):
        _serial(cloud_fixture)


def test_close_kills_every_machine_and_a_new_service_forgets_the_directories(
    cloud_fixture: CloudFixture,
) -> None:
    machine = cloud_fixture.run(vm_body())
    (machine.spec.directory / "file").write_text("left")
    cloud_fixture.service.close()
    assert machine.killed
    root = machine.spec.directory.parent
    again = type(cloud_fixture.service)
    again(root.parent, cloud_fixture.clock, cloud_fixture.iam, cloud_fixture.faults, profile=PROFILE)
    assert not root.exists()


def test_an_insert_that_is_under_way_while_the_service_closes_boots_nothing(
    cloud_fixture: CloudFixture,
) -> None:
    cloud_fixture.service.close()
    cloud_fixture.done(cloud_fixture.insert(vm_body()))
    assert cloud_fixture.status("vm-1") == "RUNNING"
    assert not [thread for thread in threading.enumerate() if thread.name == "boot vm-1"]
    assert cloud_fixture.machines == []


def test_a_machine_that_does_not_boot_says_so_on_the_serial_port(
    cloud_fixture: CloudFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_server: MetadataServer) -> None:
        message = "no port"
        raise OSError(message)

    monkeypatch.setattr(MetadataServer, "start", refuse)
    cloud_fixture.done(cloud_fixture.insert(vm_body()))
    eventually(lambda: "the machine did not boot: no port" in _serial(cloud_fixture).contents)
