"""Operations: replayed requests, failures, waiting, quotas, permissions."""

from __future__ import annotations

import threading
import time
import uuid

import pytest
from google.api_core.exceptions import BadRequest, Forbidden, NotFound
from google.cloud import compute_v1

from localcloud.core.iam import PROJECT, email
from localcloud.services.compute.state_operations import Failure
from tests.localcloud.compute.conftest import VM_ACCOUNT, ZONE, CloudFixture, gpu_body, vm_body
from tests.patience import PATIENCE

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def test_a_replayed_insert_is_answered_with_the_original_operation(cloud_fixture: CloudFixture) -> None:
    request_id = str(uuid.uuid4())
    first = cloud_fixture.insert(vm_body(), request_id=request_id)
    assert first.client_operation_id == request_id
    again = cloud_fixture.insert(vm_body(), request_id=request_id)
    assert (again.name, again.target_id) == (first.name, first.target_id)
    cloud_fixture.done(first)
    cloud_fixture.done(cloud_fixture.instances.delete_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    assert cloud_fixture.insert(vm_body(), request_id=request_id).name == first.name
    assert cloud_fixture.status("vm-1") is None


def test_a_replayed_delete_and_two_at_once(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.run(vm_body())
    request = compute_v1.DeleteInstanceRequest(
        project=PROJECT, zone=ZONE, instance="vm-1", request_id=str(uuid.uuid4())
    )
    first = cloud_fixture.instances.delete_unary(request=request)
    cloud_fixture.done(first)
    assert cloud_fixture.instances.delete_unary(request=request).name == first.name


def test_racing_inserts_with_one_request_id_make_one_instance(cloud_fixture: CloudFixture) -> None:
    request_id, names = str(uuid.uuid4()), set()

    def insert() -> None:
        names.add(cloud_fixture.insert(vm_body(), request_id=request_id).name)

    threads = [threading.Thread(target=insert) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 1
    assert len(cloud_fixture.service.inventory()["compute.instances"]) == 1


@pytest.mark.parametrize("bad", ["not-a-uuid", str(uuid.UUID(int=0))])
def test_a_bad_request_id_is_refused(cloud_fixture: CloudFixture, bad: str) -> None:
    with pytest.raises(BadRequest, match="requestId"):
        cloud_fixture.insert(vm_body(), request_id=bad)


def test_wait_returns_when_it_is_done_and_when_two_virtual_minutes_are_over(
    cloud_fixture: CloudFixture,
) -> None:
    cloud_fixture.faults.add({"method": "vm.boot", "action": "idle"})
    cloud_fixture.run(vm_body())
    client = cloud_fixture.client(compute_v1.ZoneOperationsClient)
    name = cloud_fixture.insert(vm_body("slow")).name
    assert client.wait(project=PROJECT, zone=ZONE, operation=name).status == compute_v1.Operation.Status.DONE
    operations = cloud_fixture.service._operations
    waiting = operations.open("insert", (PROJECT, f"zones/{ZONE}", "projects/p", "1"), "me")
    answers = []
    thread = threading.Thread(
        target=lambda: answers.append(client.wait(project=PROJECT, zone=ZONE, operation=waiting.name))
    )
    thread.start()
    began = time.monotonic()
    while thread.is_alive() and time.monotonic() - began < PATIENCE:
        cloud_fixture.clock.advance(121)
        thread.join(0.1)
    assert answers[0].status == compute_v1.Operation.Status.PENDING
    assert time.monotonic() - began < 100  # not the two minutes in real time


def test_done_is_done(cloud_fixture: CloudFixture) -> None:
    operations = cloud_fixture.service._operations
    operation = operations.open("insert", (PROJECT, f"zones/{ZONE}", "projects/p", "1"), "me")
    operations.finish(operation, Failure("FIRST", "the first counts"))
    operations.finish(operation)
    operations.run(operation)
    assert operations.view(operation)["error"]["errors"] == [{"code": "FIRST", "message": "the first counts"}]


def test_unknown_operations_and_foreign_zones_are_404(cloud_fixture: CloudFixture) -> None:
    client = cloud_fixture.client(compute_v1.ZoneOperationsClient)
    name = cloud_fixture.insert(vm_body()).name
    for zone, operation in ((ZONE, "operation-none"), ("us-east1-b", name), ("us-none1-a", name)):
        with pytest.raises(NotFound, match="was not found"):
            client.get(project=PROJECT, zone=zone, operation=operation)


def test_a_missing_account_fails_in_the_operation_and_leaves_nothing(cloud_fixture: CloudFixture) -> None:
    body = vm_body(serviceAccounts=[{"email": f"none@{PROJECT}.iam.gserviceaccount.com", "scopes": [_SCOPE]}])
    done = cloud_fixture.done(cloud_fixture.insert(body))
    assert done.error.errors[0].code == "EXTERNAL_RESOURCE_NOT_FOUND"
    assert "of type 'serviceAccount' was not found" in done.error.errors[0].message
    assert cloud_fixture.service.inventory() == {"compute.instances": [], "compute.disks": []}


def test_without_act_as_the_operation_fails(cloud_fixture: CloudFixture) -> None:
    body = vm_body("nb-1", serviceAccounts=[{"email": email("notebook-function"), "scopes": [_SCOPE]}])
    done = cloud_fixture.done(cloud_fixture.insert(body, account="notebook-builder"))
    error = done.error.errors[0]
    assert (error.code, done.http_error_status_code) == ("SERVICE_ACCOUNT_ACCESS_DENIED", 400)
    assert f"does not have access to service account '{email('notebook-function')}'" in error.message


def test_the_builder_may_do_all_of_a_vm_s_life(cloud_fixture: CloudFixture) -> None:
    body = vm_body("nb-1", labels={"a": "b"}, serviceAccounts=[{"email": VM_ACCOUNT, "scopes": [_SCOPE]}])
    body["disks"][0]["initializeParams"]["labels"] = {"a": "b"}
    assert not cloud_fixture.done(cloud_fixture.insert(body, account="notebook-builder")).error.errors
    client = cloud_fixture.client(compute_v1.InstancesClient, "notebook-builder")
    operations = cloud_fixture.client(compute_v1.ZoneOperationsClient, "notebook-builder")
    where = {"project": PROJECT, "zone": ZONE, "instance": "nb-1"}
    assert client.get_serial_port_output(**where).contents
    operation = client.delete_unary(**where)
    assert operation.user == email("notebook-builder")
    assert operations.wait(project=PROJECT, zone=ZONE, operation=operation.name).name == operation.name
    assert list(client.list(project=PROJECT, zone=ZONE)) == []


def test_the_vm_s_account_may_do_nothing_here(cloud_fixture: CloudFixture) -> None:
    with pytest.raises(Forbidden) as caught:
        cloud_fixture.insert(vm_body(), account="notebook-vm")
    path = f"projects/{PROJECT}/zones/{ZONE}/instances/vm-1"
    assert f"Required 'compute.instances.create' permission for '{path}'" in caught.value.message
    assert caught.value.errors[0]["reason"] == "forbidden"
    client = cloud_fixture.client(compute_v1.InstancesClient, "notebook-vm")
    for call in (client.get, client.delete_unary):
        with pytest.raises(Forbidden, match=r"Required 'compute\.instances"):
            call(project=PROJECT, zone=ZONE, instance="vm-1")


@pytest.mark.parametrize("cloud_fixture", [{"GPUS_ALL_REGIONS": 1}], ids=["1 GPU"], indirect=True)
def test_the_global_gpu_quota_fails_in_the_operation(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.run(gpu_body())
    second = gpu_body(name="vm-2")
    done = cloud_fixture.done(cloud_fixture.insert(second))
    assert done.error.errors[0].code == "QUOTA_EXCEEDED"
    assert done.error.errors[0].message == "Quota 'GPUS_ALL_REGIONS' exceeded.  Limit: 1.0 globally."
    assert (done.http_error_status_code, done.http_error_message) == (403, "FORBIDDEN")
    quota = done.error.errors[0].error_details[0].quota_info
    assert (quota.metric_name, quota.limit) == ("compute.googleapis.com/gpus_all_regions", 1.0)
    cloud_fixture.done(cloud_fixture.instances.delete_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    assert not cloud_fixture.done(cloud_fixture.insert(second)).error.errors


@pytest.mark.parametrize(
    "cloud_fixture", [{"CPUS": 6, "SSD_TOTAL_GB": 100}], ids=["6 CPUs, 100 GB"], indirect=True
)
def test_regional_quotas(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.run(vm_body())
    done = cloud_fixture.done(cloud_fixture.insert(vm_body("vm-2")))
    assert done.error.errors[0].message == "Quota 'CPUS' exceeded.  Limit: 6.0 in region us-central1."
    assert dict(done.error.errors[0].error_details[0].quota_info.dimensions) == {"region": "us-central1"}
    other = vm_body(machineType="zones/us-east1-b/machineTypes/e2-standard-4")
    assert not cloud_fixture.done(
        cloud_fixture.insert(other, zone="us-east1-b"), zone="us-east1-b"
    ).error.errors
    regions = cloud_fixture.client(compute_v1.RegionsClient)
    used = {q.metric: (q.usage, q.limit) for q in regions.get(project=PROJECT, region="us-central1").quotas}
    assert used["CPUS"] == (4.0, 6.0)
    cloud_fixture.done(cloud_fixture.instances.stop_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    assert not cloud_fixture.done(cloud_fixture.insert(vm_body("vm-2"))).error.errors


@pytest.mark.parametrize(
    "cloud_fixture",
    [{"NVIDIA_T4_GPUS": 0, "PREEMPTIBLE_NVIDIA_T4_GPUS": 1}],
    ids=["1 Spot GPU"],
    indirect=True,
)
def test_spot_gpus_have_a_quota_of_their_own(cloud_fixture: CloudFixture) -> None:
    done = cloud_fixture.done(cloud_fixture.insert(gpu_body()))
    assert "'NVIDIA_T4_GPUS' exceeded" in done.error.errors[0].message
    assert not cloud_fixture.done(
        cloud_fixture.insert(gpu_body(scheduling={"provisioningModel": "SPOT"}))
    ).error.errors


GPU_QUOTAS = ("NVIDIA_T4_GPUS", "PREEMPTIBLE_NVIDIA_T4_GPUS")
SHORT = {"maxRunDuration": {"seconds": 3600}, "instanceTerminationAction": "DELETE"}
SPOT = {"provisioningModel": "SPOT"}


@pytest.mark.parametrize(
    ("cloud_fixture", "scheduling", "metric"),
    [
        ({"NVIDIA_T4_GPUS": 0, "PREEMPTIBLE_NVIDIA_T4_GPUS": 1}, SHORT, "PREEMPTIBLE_NVIDIA_T4_GPUS"),
        ({"NVIDIA_T4_GPUS": 1, "PREEMPTIBLE_NVIDIA_T4_GPUS": 0}, SPOT, "NVIDIA_T4_GPUS"),
    ],
    ids=["short run takes the preemptible quota", "Spot takes the standard quota"],
    indirect=["cloud_fixture"],
)
def test_gpus_count_under_the_quota_that_let_them_in(
    cloud_fixture: CloudFixture, scheduling: dict[str, object], metric: str
) -> None:
    first, second = (
        cloud_fixture.done(
            cloud_fixture.insert(
                gpu_body(name=name, scheduling={"onHostMaintenance": "TERMINATE", **scheduling})
            )
        )
        for name in ("vm-1", "vm-2")
    )
    assert not first.error.errors
    assert second.error.errors[0].code == "QUOTA_EXCEEDED"
    regions = cloud_fixture.client(compute_v1.RegionsClient)
    used = {q.metric: q.usage for q in regions.get(project=PROJECT, region="us-central1").quotas}
    assert {name: used[name] for name in GPU_QUOTAS} == {name: float(name == metric) for name in GPU_QUOTAS}


def test_a_deprecated_image_still_works_by_name(cloud_fixture: CloudFixture) -> None:
    name = (
        "projects/deeplearning-platform-release/global/images/common-cu128-ubuntu-2204-nvidia-570-v20260330"
    )
    disk = {"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": name}}
    assert not cloud_fixture.done(cloud_fixture.insert(vm_body(disks=[disk]))).error.errors
