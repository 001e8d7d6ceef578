"""The life of an instance, on a clock that is moved."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from google.api_core.exceptions import BadRequest, Conflict, NotFound
from google.cloud import compute_v1

from localcloud.compute import Pace
from localcloud.iam import PROJECT
from localcloud.metadata import MetadataServer
from tests.localcloud.compute.conftest import (
    DLVM,
    VM_ACCOUNT,
    ZONE,
    StandIn,
    World,
    eventually,
    served,
    vm_body,
)

_LIMIT = {
    "provisioningModel": "STANDARD",
    "automaticRestart": False,
    "instanceTerminationAction": "DELETE",
    "maxRunDuration": {"seconds": "3600"},
}
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def _disks(world: World) -> list[str]:
    return [disk["name"] for disk in world.service.inventory()["compute.disks"]]


def test_an_instance_boots_and_its_machine_gets_what_the_metadata_say(world: World, tmp_path: Any) -> None:
    machine = world.run(vm_body(serviceAccounts=[{"email": VM_ACCOUNT, "scopes": [_SCOPE]}]))
    found = world.get("vm-1")
    assert found.status == "RUNNING"
    assert found.last_start_timestamp
    assert found.service_accounts[0].email == VM_ACCOUNT
    assert found.network_interfaces[0].network_i_p
    assert not found.network_interfaces[0].access_configs
    assert (machine.spec.name, machine.spec.image, machine.spec.startup_script) == (
        "vm-1",
        "bare",
        "echo hello",
    )
    assert machine.spec.directory.is_relative_to(tmp_path)
    identity = _identity(machine.spec.metadata_address)
    assert identity["name"] == "vm-1"
    assert identity["attributes"] == {"startup-script": "echo hello"}
    assert identity["serviceAccounts"]["default"]["email"] == VM_ACCOUNT


def _identity(address: str) -> dict[str, Any]:
    url = f"http://{address}/computeMetadata/v1/instance/?recursive=true"
    found: dict[str, Any] = requests.get(url, headers={"Metadata-Flavor": "Google"}, timeout=5).json()
    return found


def test_a_pytorch_family_boots_the_scientific_image(world: World) -> None:
    image = DLVM.replace("common-", "pytorch-2-9-")
    disk = {"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": image}}
    assert world.run(vm_body(disks=[disk])).spec.image == "scientific"


def test_an_insert_is_seen_in_every_state(tmp_path: Any) -> None:
    with served(tmp_path, StandIn, pace=Pace(insert=3000)) as world:
        operation = world.insert(vm_body())
        assert operation.status != compute_v1.Operation.Status.DONE
        assert operation.operation_type == "insert"
        assert operation.target_link.endswith(f"/zones/{ZONE}/instances/vm-1")
        assert world.status("vm-1") == "PROVISIONING"
        world.clock.advance(2001)
        assert world.status("vm-1") == "STAGING"
        world.clock.advance(1000)
        assert world.status("vm-1") == "RUNNING"
        done = world.done(operation)
        assert done.target_id == world.get("vm-1").id
        assert done.insert_time < done.start_time < done.end_time


def test_delete_takes_its_time_and_takes_the_auto_delete_disk_along(world: World) -> None:
    machine = world.run(vm_body())
    operation = world.instances.delete_unary(project=PROJECT, zone=ZONE, instance="vm-1")
    assert world.status("vm-1") == "STOPPING"
    second = world.instances.delete_unary(project=PROJECT, zone=ZONE, instance="vm-1")
    assert not world.done(operation).error.errors
    assert not world.done(second).error.errors
    assert machine.killed
    assert not machine.spec.directory.exists()
    assert _disks(world) == []
    with pytest.raises(
        NotFound, match=f"The resource 'projects/{PROJECT}/zones/{ZONE}/instances/vm-1' was not found"
    ):
        world.get("vm-1")
    with pytest.raises(NotFound):
        world.instances.delete_unary(project=PROJECT, zone=ZONE, instance="vm-1")


def test_a_disk_without_auto_delete_stays_and_is_attached_again_by_name(world: World) -> None:
    body = vm_body()
    body["disks"][0]["autoDelete"] = False
    world.run(body)
    world.done(world.instances.delete_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    assert _disks(world) == ["vm-1-boot"]
    disks = world.client(compute_v1.DisksClient)
    before = disks.get(project=PROJECT, zone=ZONE, disk="vm-1-boot").id
    # The hazard of docs/facts.md 1.2: no new disk is made, whatever size is asked for.
    body["disks"][0]["initializeParams"]["diskSizeGb"] = "50"
    world.run(body)
    again = disks.get(project=PROJECT, zone=ZONE, disk="vm-1-boot")
    assert (again.id, again.size_gb) == (before, 20)
    with pytest.raises(BadRequest, match="already being used by") as caught:
        disks.delete_unary(project=PROJECT, zone=ZONE, disk="vm-1-boot")
    assert caught.value.errors[0]["reason"] == "resourceInUseByAnotherResource"
    with pytest.raises(BadRequest, match="already being used by"):
        world.insert(vm_body("vm-2", disks=body["disks"]))


def test_names_are_unique_per_zone_only(world: World) -> None:
    world.run(vm_body())
    with pytest.raises(Conflict, match="already exists") as caught:
        world.insert(vm_body())
    assert caught.value.errors[0]["reason"] == "alreadyExists"
    world.run(vm_body(machineType="zones/us-east1-b/machineTypes/e2-small"), zone="us-east1-b")


def test_max_run_duration_deletes_at_its_time(world: World) -> None:
    machine = world.run(vm_body(scheduling=_LIMIT))
    assert world.get("vm-1").resource_status.scheduling.termination_timestamp
    assert world.service.inventory()["compute.instances"][0]["deadline"]
    world.clock.advance(3590)
    assert world.status("vm-1") == "RUNNING"
    world.clock.advance(30)
    assert world.status("vm-1") is None
    assert machine.killed
    assert _disks(world) == []


def test_max_run_duration_with_stop_keeps_the_instance_and_starts_anew(world: World) -> None:
    world.run(vm_body(scheduling=_LIMIT | {"instanceTerminationAction": "STOP"}))
    world.clock.advance(3610)
    assert world.status("vm-1") == "TERMINATED"
    world.done(world.instances.start_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    world.clock.advance(3500)
    assert world.status("vm-1") == "RUNNING"
    world.clock.advance(110)
    assert world.status("vm-1") == "TERMINATED"


def test_a_shutdown_from_inside_keeps_the_disk_and_cancels_the_deletion(world: World) -> None:
    machine = world.run(vm_body(scheduling=_LIMIT))
    machine.events.guest_shutdown()
    assert world.status("vm-1") == "STOPPING"
    eventually(lambda: world.status("vm-1") == "TERMINATED")
    assert machine.killed
    assert world.operations("compute.instances.guestTerminate")[0].target_link.endswith("/vm-1")
    assert not world.get("vm-1").resource_status.scheduling.termination_timestamp
    world.clock.advance(7200)
    assert world.status("vm-1") == "TERMINATED"
    assert _disks(world) == ["vm-1-boot"]


def test_stop_and_start_run_the_startup_script_again(world: World) -> None:
    first = world.run(vm_body())
    world.done(world.instances.stop_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    assert (world.status("vm-1"), first.killed) == ("TERMINATED", True)
    world.done(world.instances.start_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    eventually(lambda: len(world.machines) == 2)
    again = world.machines[1].spec
    assert (again.startup_script, again.directory) == ("echo hello", first.spec.directory)
    first.events.guest_shutdown()
    first.events.serial(b"from an earlier boot")
    assert world.status("vm-1") == "RUNNING"
    assert "earlier" not in _serial(world).contents


def test_the_run_duration_counts_from_the_last_start(world: World) -> None:
    world.run(vm_body(scheduling=_LIMIT))
    where: Any = {"project": PROJECT, "zone": ZONE, "instance": "vm-1"}
    world.clock.advance(1800)
    world.done(world.instances.stop_unary(**where))
    world.clock.advance(3600)
    assert world.status("vm-1") == "TERMINATED"
    world.done(world.instances.start_unary(**where))
    world.clock.advance(3500)
    assert world.status("vm-1") == "RUNNING"


def test_a_second_delete_does_not_put_off_the_first(tmp_path: Any) -> None:
    pace = Pace(insert=0.03, delete=60)
    with served(tmp_path, StandIn, pace=pace) as world:
        world.done(world.insert(vm_body()))
        where: Any = {"project": PROJECT, "zone": ZONE, "instance": "vm-1"}
        world.instances.delete_unary(**where)
        world.clock.advance(40)
        world.instances.delete_unary(**where)
        world.clock.advance(25)
        assert world.status("vm-1") is None


def test_delete_while_it_stops_ends_both(world: World) -> None:
    world.run(vm_body())
    where: Any = {"project": PROJECT, "zone": ZONE, "instance": "vm-1"}
    operations = [world.instances.stop_unary(**where), world.instances.delete_unary(**where)]
    assert not any(world.done(operation).error.errors for operation in operations)
    assert world.status("vm-1") is None


def test_a_crashed_supervisor_is_a_host_error(world: World) -> None:
    world.run(vm_body()).events.ended()
    eventually(lambda: world.status("vm-1") == "TERMINATED")
    assert len(world.operations("compute.instances.hostError")) == 1


def test_delete_while_it_is_being_created_cancels_the_insert(tmp_path: Any) -> None:
    with served(tmp_path, StandIn, pace=Pace(insert=3600, delete=0.03)) as world:
        operation = world.insert(vm_body())
        deletion = world.instances.delete_unary(project=PROJECT, zone=ZONE, instance="vm-1")
        assert world.done(operation).error.errors[0].code == "OPERATION_CANCELED_BY_USER"
        assert not world.done(deletion).error.errors
        assert world.status("vm-1") is None
        assert not (tmp_path / "vms").exists()


def _serial(world: World, **query: int) -> Any:
    request = compute_v1.GetSerialPortOutputInstanceRequest(
        project=PROJECT, zone=ZONE, instance="vm-1", **query
    )
    return world.instances.get_serial_port_output(request=request)


def test_serial_port_goes_on_from_next_and_shows_gaps(world: World) -> None:
    machine = world.run(vm_body())
    first = _serial(world)
    assert "Linux version" in first.contents
    machine.events.serial(b"hello\r\n")
    more = _serial(world, start=first.next_)
    assert (more.contents, more.start) == ("hello\r\n", first.next_)
    assert _serial(world, start=-4).contents == "lo\r\n"
    machine.events.serial(b"x" * (1 << 20) + b"end\n")
    late = _serial(world, start=more.next_)
    assert late.start > more.next_
    assert late.contents.endswith("end\n")
    assert len(late.contents) == 1 << 20
    assert _serial(world, port=2).contents == ""


def test_serial_port_is_there_only_while_the_instance_runs(world: World) -> None:
    world.run(vm_body())
    world.done(world.instances.stop_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    with pytest.raises(BadRequest, match="is not ready") as caught:
        _serial(world)
    assert caught.value.errors[0]["reason"] == "resourceNotReady"
    world.done(world.instances.delete_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    with pytest.raises(NotFound):
        _serial(world)


def test_labels_and_metadata_need_their_fingerprint(world: World) -> None:
    world.run(vm_body(labels={"a": "1"}))
    found = world.get("vm-1")
    resource = compute_v1.InstancesSetLabelsRequest(
        label_fingerprint=found.label_fingerprint, labels={"b": "2"}
    )
    where = {"project": PROJECT, "zone": ZONE, "instance": "vm-1"}
    world.instances.set_labels_unary(instances_set_labels_request_resource=resource, **where)
    assert dict(world.get("vm-1").labels) == {"b": "2"}
    with pytest.raises(Exception, match="Labels fingerprint either invalid"):
        world.instances.set_labels_unary(instances_set_labels_request_resource=resource, **where)
    metadata = compute_v1.Metadata(fingerprint=found.metadata.fingerprint, items=[{"key": "k", "value": "v"}])
    world.instances.set_metadata_unary(metadata_resource=metadata, **where)
    assert _identity(world.machines[0].spec.metadata_address)["attributes"] == {"k": "v"}


def test_close_kills_every_machine_and_a_new_service_forgets_the_directories(world: World) -> None:
    machine = world.run(vm_body())
    (machine.spec.directory / "file").write_text("left")
    world.service.close()
    assert machine.killed
    root = machine.spec.directory.parent
    type(world.service)(root.parent, world.clock, world.iam, world.faults)
    assert not root.exists()


def test_a_machine_that_does_not_boot_says_so_on_the_serial_port(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_server: MetadataServer) -> None:
        message = "no port"
        raise OSError(message)

    monkeypatch.setattr(MetadataServer, "start", refuse)
    world.done(world.insert(vm_body()))
    eventually(lambda: "the machine did not boot: no port" in _serial(world).contents)
