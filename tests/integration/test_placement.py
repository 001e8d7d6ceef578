"""Tests the placement of a VM, and the effect of each refusal of Compute Engine in every place where it may appear."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from builder.act import failover
from builder.act.vm import Ending
from builder.errors import BuilderError, EnvironmentFailed, ExitCode, InputRefused, NoCapacity, ProjectSetup
from builder.plan.build_plan import Plan
from builder.plan.vm_spec import insert_body, vm_labels
from builder.ports import CallFailed, Instance, Operation
from tests.integration.cloud_fixture import CloudFixture

A, B, C = "us-central1-a", "us-central1-b", "us-east1-b"  # two zones of one region, and another region
ZONES = f"{A},{B},{C}"
PLACES = ("http", "operation", "operation without http")
SUBNETWORK = "The resource 'projects/p/regions/us-central1/subnetworks/ci' was not found"
ADDRESSES = "IP space of 'projects/p/regions/us-central1/subnetworks/ci' is exhausted."
LOCATION = f"Location ZONE:{A} violates constraint constraints/gcp.resourceLocations on the resource projects/p/zones/{A}/instances/i."
SHIELDED = (
    "Constraint constraints/compute.requireShieldedVm violated for project projects/p. Secure Boot is not enabled in the "
    "'shielded_instance_config' field."
)
IMAGES = (
    "Constraint constraints/compute.trustedImageProjects violated for project p. Use of images from project "
    "deeplearning-platform-release is prohibited."
)
ADDRESS = (
    "Constraint constraints/compute.vmExternalIpAccess violated for project 1. Add instance projects/p/zones/z/instances/i to "
    "the constraint to use external IP with it."
)
MANAGED = 'Operation denied by org policy on resource \'projects/p\': ["constraints/compute.managed.vmExternalIpAccess": "no"].'
OWN = 'Operation denied by custom org policies: ["customConstraints/custom.smallVms": "small ones only"].'


@dataclass(frozen=True)
class Row:
    """A refusal in zone A: the zones asked after it, or the exit code that ends the search."""

    code: str
    message: str
    status: int
    zones: tuple[str, ...] = ()
    stops: ExitCode | None = None
    again: int = 1  # how often the same zone is asked


ROWS = {
    "zone exhausted": Row("ZONE_RESOURCE_POOL_EXHAUSTED", "does not have enough resources", 503, (A, B)),
    "zone exhausted, with details": Row(
        "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", "is currently unavailable", 503, (A, B)
    ),
    "no capacity": Row("insufficientCapacity", "not enough capacity", 503, (A, B)),
    "preempted at once": Row("UNSUPPORTED_OPERATION", "preempted while it was created", 400, (A, B)),
    "resource not ready": Row("RESOURCE_NOT_READY", "The resource is not ready", 400, (A, B), again=3),
    "too many operations": Row(
        "RESOURCE_OPERATION_RATE_EXCEEDED", "Operation rate exceeded", 403, (A, B), again=3
    ),
    "quota of the region": Row(
        "QUOTA_EXCEEDED", "Quota 'CPUS' exceeded.  Limit: 24.0 in region us-central1.", 403, (A, C)
    ),
    "quota of the region, HTTP code": Row(
        "quotaExceeded", "Quota 'CPUS' exceeded.  Limit: 24.0 in region us-central1.", 403, (A, C)
    ),
    "quota of GPUs in all regions": Row(
        "QUOTA_EXCEEDED",
        "Quota 'GPUS_ALL_REGIONS' exceeded.  Limit: 0.0 globally.",
        403,
        stops=ExitCode.NO_CAPACITY,
    ),
    "quota of CPUs in all regions": Row(
        "QUOTA_EXCEEDED",
        "Quota 'CPUS_ALL_REGIONS' exceeded.  Limit: 0.0 globally.",
        403,
        stops=ExitCode.NO_CAPACITY,
    ),
    "no such machine type": Row(
        "notFound", f"The resource 'projects/p/zones/{A}/machineTypes/x' was not found", 404, (A, B)
    ),
    "no such GPU": Row(
        "RESOURCE_NOT_FOUND",
        f"The resource 'projects/p/zones/{A}/acceleratorTypes/x' was not found",
        404,
        (A, B),
    ),
    "no such image": Row(
        "notFound",
        "The resource 'projects/p/global/images/gone' was not found",
        404,
        stops=ExitCode.BAD_INPUT,
    ),
    "no subnet in the region": Row("notFound", SUBNETWORK, 404, (A, C)),
    "no subnet in the region, by operation": Row("RESOURCE_NOT_FOUND", SUBNETWORK, 404, (A, C)),
    "no subnet in the region, as a reference": Row(
        "invalid",
        "Invalid value for field 'resource.networkInterfaces[0].subnetwork': "
        "'projects/p/regions/us-central1/subnetworks/ci'. The referenced subnetwork resource cannot be found.",
        400,
        (A, C),
    ),
    "no such network, as a reference": Row(
        "invalid",
        "Invalid value for field 'resource.networkInterfaces[0].network': "
        "'projects/p/global/networks/gone'. The referenced network resource cannot be found.",
        400,
        stops=ExitCode.PROJECT_SETUP,
    ),
    "no address": Row("IP_SPACE_EXHAUSTED", ADDRESSES, 400, (A, C)),
    "no address, with details": Row("IP_SPACE_EXHAUSTED_WITH_DETAILS", ADDRESSES, 400, (A, C)),
    "permission, by operation": Row(
        "PERMISSIONS_ERROR",
        "Required 'compute.subnetworks.use' permission for 'projects/p/regions/us-central1/subnetworks/ci'",
        403,
        stops=ExitCode.PROJECT_SETUP,
    ),
    "no such network": Row(
        "notFound",
        "The resource 'projects/p/global/networks/gone' was not found",
        404,
        stops=ExitCode.PROJECT_SETUP,
    ),
    "location policy": Row("conditionNotMet", LOCATION, 412, (A, C)),
    "location policy, by operation": Row("CONDITION_NOT_MET", LOCATION, 412, (A, C)),
    "shielded policy": Row("conditionNotMet", SHIELDED, 412, stops=ExitCode.PROJECT_SETUP),
    "shielded policy, by operation": Row("CONDITION_NOT_MET", SHIELDED, 412, stops=ExitCode.PROJECT_SETUP),
    "permission denied": Row("IAM_PERMISSION_DENIED", "Permission denied", 403, stops=ExitCode.PROJECT_SETUP),
    "policy denied": Row("forbidden", "Policy update access denied.", 403, stops=ExitCode.PROJECT_SETUP),
    "no access to the account": Row(
        "SERVICE_ACCOUNT_ACCESS_DENIED", "no access to it", 400, stops=ExitCode.PROJECT_SETUP
    ),
    "disk too small": Row(
        "invalid",
        "Requested disk size cannot be smaller than the image size (50 GB)",
        400,
        stops=ExitCode.BAD_INPUT,
    ),
    "unknown code": Row("SOMETHING_NEW", "never seen before", 400, (A, B)),
    # Other names of the same refusals, by Compute Engine itself or by Google's API servers.
    "no stock": Row("stockout", "is out of stock", 503, (A, B)),
    "resource not ready, HTTP code": Row(
        "resourceNotReady", "The resource is not ready", 400, (A, B), again=3
    ),
    "too many operations, HTTP code": Row(
        "operationRateExceeded", "Operation rate exceeded", 403, (A, B), again=3
    ),
    "operation was cancelled": Row("OPERATION_CANCELED_BY_USER", "The operation was cancelled", 400, (A, B)),
    "no such account": Row(
        "EXTERNAL_RESOURCE_NOT_FOUND", "The account was not found", 400, stops=ExitCode.PROJECT_SETUP
    ),
    "API not configured": Row("accessNotConfigured", "Not used before", 403, stops=ExitCode.PROJECT_SETUP),
    "API disabled": Row("SERVICE_DISABLED", "It is disabled", 403, stops=ExitCode.PROJECT_SETUP),
    # Not with status 401: the client library answers that by asking for a new token.
    "unauthorized": Row("unauthorized", "Not authorized", 403, stops=ExitCode.PROJECT_SETUP),
    "bad credentials": Row("authError", "Invalid credentials", 403, stops=ExitCode.PROJECT_SETUP),
    "bad request": Row("badRequest", "Bad request", 400, stops=ExitCode.BAD_INPUT),
    "field missing": Row("required", "Required field 'x' not specified", 400, stops=ExitCode.BAD_INPUT),
}


# Each row in each place. `make test` has each row once: the places take turns.
CASES = [
    (name, PLACES[(number + turn) % len(PLACES)])
    for turn in range(len(PLACES))
    for number, name in enumerate(ROWS)
]


def refuse(cloud_fixture: CloudFixture, row: Row, place: str, zone: str = A) -> None:
    """Plan the refusal, as lasting as it needs to be."""
    match = {"zone": zone}
    if place == "http":
        cloud_fixture.fault(
            "compute.instances.insert",
            "error",
            times=1000,
            match=match,
            status=row.status,
            reason=row.code,
            message=row.message,
        )
        return
    extra: dict[str, Any] = {"http_status": row.status, "http_message": "X"} if place == "operation" else {}
    cloud_fixture.fault(
        "compute.instances.insert",
        "operation_error",
        times=1000,
        match=match,
        code=row.code,
        message=row.message,
        **extra,
    )


def test_each_known_code_has_a_row() -> None:
    assert set(failover._BY_CODE) - {row.code for row in ROWS.values()} == set()


@pytest.mark.always(len(ROWS))
@pytest.mark.parametrize(
    ("row", "place"), [pytest.param(ROWS[name], place, id=f"{name}-{place}") for name, place in CASES]
)
def test_each_refusal_reaches_as_far_as_it_should(
    cloud_fixture: CloudFixture, tmp_path: Path, row: Row, place: str
) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_ZONES=ZONES)
    refuse(cloud_fixture, row, place)
    fleet = cloud_fixture.fleet()
    if row.stops is not None:
        with pytest.raises(BuilderError) as caught:
            cloud_fixture.placement(fleet).place(cloud_fixture.vm_request(plan))
        assert caught.value.exit_code == row.stops
        assert row.message in caught.value.message
        assert {a.zone for a in cloud_fixture.compute.inserts()} <= {A}
        assert cloud_fixture.left() == []
        return
    vm = cloud_fixture.placement(fleet).place(cloud_fixture.vm_request(plan))
    assert vm.zone == row.zones[-1]
    told = [text for text in cloud_fixture.said if text.startswith("VM refused in")]
    assert len(told) == (1 if place == "http" else row.again)
    assert all(row.code in text and row.message in text for text in told)
    assert cloud_fixture.alive() == [vm.name]
    assert fleet.open() == [vm]


@pytest.mark.parametrize("place", PLACES)
def test_a_stock_out_in_every_zone_is_3_and_tells_each(
    cloud_fixture: CloudFixture, tmp_path: Path, place: str
) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_ZONES=ZONES)
    for zone in (A, B, C):
        refuse(cloud_fixture, ROWS["zone exhausted"], place, zone)
    with pytest.raises(NoCapacity) as caught:
        cloud_fixture.placement(cloud_fixture.fleet()).place(cloud_fixture.vm_request(plan))
    for zone in (A, B, C):
        assert f"{zone}: ZONE_RESOURCE_POOL_EXHAUSTED: does not have enough resources" in caught.value.message
    assert cloud_fixture.left() == []


@pytest.mark.parametrize(
    ("row", "error"),
    [
        pytest.param(Row("SOMETHING_NEW", "never seen before", 400), EnvironmentFailed, id="unknown code"),
        pytest.param(Row("notFound", SUBNETWORK, 404), ProjectSetup, id="no subnet"),
        pytest.param(Row("conditionNotMet", LOCATION, 412), ProjectSetup, id="location policy"),
        pytest.param(Row("IP_SPACE_EXHAUSTED", ADDRESSES, 400), NoCapacity, id="no address"),
        pytest.param(
            Row("QUOTA_EXCEEDED", "Quota 'CPUS' exceeded.  Limit: 24.0 in region r.", 403),
            NoCapacity,
            id="quota",
        ),
    ],
)
def test_the_end_of_a_search_without_a_zone(
    cloud_fixture: CloudFixture, plan: Plan, row: Row, error: type[BuilderError]
) -> None:
    refuse(cloud_fixture, row, "operation")
    with pytest.raises(error, match=row.code):
        cloud_fixture.placement(cloud_fixture.fleet()).place(cloud_fixture.vm_request(plan))


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        pytest.param(SHIELDED, "NB_SECURE_BOOT=true", id="requireShieldedVm"),
        pytest.param(IMAGES, "NB_IMAGE_PROJECT", id="trustedImageProjects"),
        pytest.param(ADDRESS, "NB_EXTERNAL_IP", id="vmExternalIpAccess"),
        pytest.param(MANAGED, "NB_EXTERNAL_IP", id="its successor"),
        pytest.param(LOCATION, "NB_ZONES", id="resourceLocations"),
        pytest.param(OWN, "an exception from this constraint", id="an organization's own"),
    ],
)
@pytest.mark.parametrize("place", ["http", "operation"])
def test_an_organization_policy_is_4_with_its_name_and_what_to_do(
    cloud_fixture: CloudFixture, plan: Plan, message: str, advice: str, place: str
) -> None:
    code = "conditionNotMet" if place == "http" else "CONDITION_NOT_MET"
    refuse(cloud_fixture, Row(code, message, 412), place)
    with pytest.raises(ProjectSetup) as caught:
        cloud_fixture.placement(cloud_fixture.fleet()).place(cloud_fixture.vm_request(plan))
    assert message in caught.value.message
    assert caught.value.reason == "organization_policy"
    assert advice in caught.value.advice


def test_a_region_without_the_subnetwork_means_the_next_region(
    cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    zones = "us-east1-b,us-east1-c,us-central1-a"
    plan = cloud_fixture.plan(tmp_path / "repo", NB_ZONES=zones, NB_SUBNETWORK="custom-central")
    assert (
        cloud_fixture.placement(cloud_fixture.fleet()).place(cloud_fixture.vm_request(plan)).zone
        == "us-central1-a"
    )
    assert [attempt.zone for attempt in cloud_fixture.compute.inserts()] == ["us-east1-b", "us-central1-a"]


def test_no_region_with_the_subnetwork_is_4(cloud_fixture: CloudFixture, tmp_path: Path) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_ZONES="us-east1-b", NB_SUBNETWORK="custom-central")
    with pytest.raises(ProjectSetup, match="/subnetworks/custom-central' was not found") as caught:
        cloud_fixture.placement(cloud_fixture.fleet()).place(cloud_fixture.vm_request(plan))
    assert caught.value.reason == "no_subnetwork"
    assert "NB_SUBNETWORK" in caught.value.advice


@pytest.mark.parametrize(
    ("network", "advice"),
    [
        pytest.param("custom", "Name a subnetwork of this network with NB_SUBNETWORK", id="custom mode"),
        pytest.param("gone", "Create the network", id="not there"),
    ],
)
def test_a_network_that_gives_no_subnetwork_is_4_at_once(
    cloud_fixture: CloudFixture, tmp_path: Path, network: str, advice: str
) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_ZONES=ZONES, NB_NETWORK=network)
    with pytest.raises(ProjectSetup) as caught:
        cloud_fixture.placement(cloud_fixture.fleet()).place(cloud_fixture.vm_request(plan))
    assert advice in caught.value.advice
    assert [attempt.zone for attempt in cloud_fixture.compute.inserts()] == [A]


@pytest.mark.parametrize(
    "machine_type", ["n4-standard-4", "n4d-standard-4", "c3-standard-4", "e2-standard-4"]
)
def test_each_series_boots_from_a_disk_that_it_takes(
    cloud_fixture: CloudFixture, tmp_path: Path, machine_type: str
) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_MACHINE_TYPE=machine_type)
    assert cloud_fixture.placement(cloud_fixture.fleet()).place(cloud_fixture.vm_request(plan)).zone == A


def test_a_policy_that_requires_secure_boot_is_met(cloud_fixture: CloudFixture, tmp_path: Path) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_SECURE_BOOT="true")
    cloud_fixture.placement(cloud_fixture.fleet()).place(cloud_fixture.vm_request(plan))
    (attempt,) = cloud_fixture.compute.inserts()
    assert attempt.body["shieldedInstanceConfig"]["enableSecureBoot"] is True


def test_secure_boot_with_an_image_that_cannot_is_2_before_any_insert(
    cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_SECURE_BOOT="true")
    vm_request = cloud_fixture.vm_request(plan)
    with pytest.raises(InputRefused, match="does not support UEFI"):
        cloud_fixture.placement(cloud_fixture.fleet()).place(
            replace(vm_request, image=replace(vm_request.image, uefi=False))
        )
    assert cloud_fixture.compute.inserts() == []


def test_a_region_stands_for_its_zones(cloud_fixture: CloudFixture, tmp_path: Path) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_ZONES="us-east1")
    refuse(cloud_fixture, ROWS["zone exhausted"], "operation", "us-east1-b")
    assert (
        cloud_fixture.placement(cloud_fixture.fleet()).place(cloud_fixture.vm_request(plan)).zone
        == "us-east1-c"
    )


def test_an_insert_whose_reply_is_lost_is_the_same_request_again(
    cloud_fixture: CloudFixture, plan: Plan
) -> None:
    cloud_fixture.fault("compute.instances.insert", "drop_after")
    vm = cloud_fixture.placement(cloud_fixture.fleet()).place(cloud_fixture.vm_request(plan))
    first, second = cloud_fixture.compute.inserts()
    assert first.request_id
    assert first.request_id == second.request_id
    assert second.replayed
    assert cloud_fixture.alive() == [vm.name]


def test_a_visible_vm_of_a_failed_insert_is_deleted_before_the_next_zone(
    cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_ZONES=f"{A},{B}")
    cloud_fixture.fault(
        "compute.instances.insert",
        "operation_error",
        code="ZONE_RESOURCE_POOL_EXHAUSTED",
        visible_instance=True,
    )
    vm = cloud_fixture.placement(cloud_fixture.fleet()).place(cloud_fixture.vm_request(plan))
    assert cloud_fixture.alive() == [vm.name]
    assert vm.zone == B


def test_no_next_zone_while_the_failed_vm_may_still_be_there(
    cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_ZONES=f"{A},{B}")
    cloud_fixture.fault(
        "compute.instances.insert",
        "operation_error",
        code="ZONE_RESOURCE_POOL_EXHAUSTED",
        visible_instance=True,
    )
    cloud_fixture.fault("compute.instances.delete", "error", times=1000, status=403, message="no")
    cloud_fixture.fault("compute.instances.get", "error", times=1000, status=403, message="no")
    fleet = cloud_fixture.fleet()
    with pytest.raises(EnvironmentFailed, match="could not be deleted") as caught:
        cloud_fixture.placement(fleet).place(cloud_fixture.vm_request(plan))
    assert caught.value.reason == "cleanup_failed"
    assert {attempt.zone for attempt in cloud_fixture.compute.inserts()} == {A}
    assert [vm.state.ending for vm in fleet.open()] == [Ending.UNKNOWN]


def _seed(cloud_fixture: CloudFixture, plan: Plan, nonce: str) -> str:
    """A VM of the very name that the order will ask for, with this nonce."""
    vm_request = cloud_fixture.vm_request(plan)
    name = vm_request.attempt.vm_name(1)
    labels = {**vm_labels(vm_request.attempt, vm_request.job.options, 1), "nb-nonce": nonce}
    body = insert_body(
        vm_request.job.options,
        project="local-project",
        zone=A,
        name=name,
        image=vm_request.image,
        limits=vm_request.job.limits,
        labels=labels,
        startup_script="true",
        job_metadata={},
    )
    machines = cloud_fixture.machines()
    operation = machines.insert(A, body, request_id=vm_request.attempt.request_id("seed", A, name))
    while not operation.done:
        operation = machines.operation(A, operation.name)
    assert operation.errors == ()
    return name


def test_a_vm_that_is_not_created_in_time_is_deleted(
    cloud_fixture: CloudFixture, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = cloud_fixture.fleet()
    real = fleet.machines.operation

    def operation(zone: str, name: str) -> Operation:
        (insert,) = cloud_fixture.compute.inserts()
        return Operation(name=name, done=False) if name == insert.operation else real(zone, name)

    monkeypatch.setattr(fleet.machines, "operation", operation)
    with pytest.raises(EnvironmentFailed, match="not created within 300 s"):
        cloud_fixture.placement(fleet).place(cloud_fixture.vm_request(plan))
    assert cloud_fixture.left() == []


def test_an_own_vm_that_does_not_run_in_time_is_deleted(
    cloud_fixture: CloudFixture, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    _seed(cloud_fixture, plan, cloud_fixture.vm_request(plan).attempt.nonce)
    fleet = cloud_fixture.fleet()
    real = fleet.machines.get

    def get(zone: str, name: str) -> Instance | None:
        found = real(zone, name)
        return found and replace(found, status="PROVISIONING")

    monkeypatch.setattr(fleet.machines, "get", get)
    with pytest.raises(EnvironmentFailed, match="not running within 300 s"):
        cloud_fixture.placement(fleet).place(cloud_fixture.vm_request(plan))
    assert cloud_fixture.left() == []


def test_a_taken_name_without_a_vm_means_the_next_zone(cloud_fixture: CloudFixture, tmp_path: Path) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_ZONES=f"{A},{B}")
    cloud_fixture.fault("compute.instances.insert", "error", status=409, reason="alreadyExists")
    vm = cloud_fixture.placement(cloud_fixture.fleet()).place(cloud_fixture.vm_request(plan))
    assert vm.zone == B
    assert cloud_fixture.alive() == [vm.name]


def test_without_the_right_to_follow_an_operation_the_vm_is_deleted(
    cloud_fixture: CloudFixture, plan: Plan
) -> None:
    denied = "Required 'compute.zoneOperations.get' permission for 'projects/local-project/zones/x'"
    cloud_fixture.fault(
        "compute.zoneOperations.wait", "error", times=100, status=403, reason="forbidden", message=denied
    )
    with pytest.raises(ProjectSetup, match=r"compute\.zoneOperations\.get"):
        cloud_fixture.placement(cloud_fixture.fleet()).place(cloud_fixture.vm_request(plan))
    assert cloud_fixture.left() == []


def test_a_vm_that_carries_our_nonce_is_adopted(cloud_fixture: CloudFixture, plan: Plan) -> None:
    name = _seed(cloud_fixture, plan, cloud_fixture.vm_request(plan).attempt.nonce)
    fleet = cloud_fixture.fleet()
    vm = cloud_fixture.placement(fleet).place(cloud_fixture.vm_request(plan))
    assert vm.name == name
    assert fleet.take_down(vm) is Ending.GONE
    assert cloud_fixture.left() == []


def test_a_strangers_vm_is_never_touched(cloud_fixture: CloudFixture, plan: Plan) -> None:
    name = _seed(cloud_fixture, plan, "somebody-else")
    fleet = cloud_fixture.fleet()
    with pytest.raises(ProjectSetup, match="is not this run's") as caught:
        cloud_fixture.placement(fleet).place(cloud_fixture.vm_request(plan))
    assert caught.value.reason == "foreign_vm"
    assert fleet.open() == []
    fleet.abandon()
    assert cloud_fixture.alive() == [name]


@pytest.mark.parametrize("nonce", ["0123456789abcdef", "somebody-else"])
def test_a_taken_name_is_deleted_only_once_it_is_known_whose_it_is(
    cloud_fixture: CloudFixture, plan: Plan, nonce: str
) -> None:
    name = _seed(cloud_fixture, plan, nonce)
    cloud_fixture.fault("compute.instances.get", "error", status=403, message="not now")
    with pytest.raises(Exception, match="not now"):
        cloud_fixture.placement(cloud_fixture.fleet()).place(cloud_fixture.vm_request(plan))
    assert cloud_fixture.alive() == ([name] if nonce == "somebody-else" else [])


def test_an_adopted_vm_that_has_ended_is_refused_at_once(cloud_fixture: CloudFixture, plan: Plan) -> None:
    cloud_fixture.fault("vm.life", "stop", after=0)
    _seed(cloud_fixture, plan, cloud_fixture.vm_request(plan).attempt.nonce)
    cloud_fixture.time.sleep(5)
    with pytest.raises(EnvironmentFailed, match="ended before it ran"):
        cloud_fixture.placement(cloud_fixture.fleet()).place(cloud_fixture.vm_request(plan))
    assert cloud_fixture.left() == []


def test_a_permission_that_is_missing_is_4_and_named(cloud_fixture: CloudFixture, plan: Plan) -> None:
    denied = "Required 'compute.instances.create' permission for 'projects/local-project/zones/x'"
    cloud_fixture.fault("compute.instances.insert", "error", status=403, reason="forbidden", message=denied)
    with pytest.raises(ProjectSetup, match=r"compute\.instances\.create") as caught:
        cloud_fixture.placement(cloud_fixture.fleet()).place(cloud_fixture.vm_request(plan))
    assert "role" in caught.value.advice.lower()


def test_an_account_that_may_neither_create_nor_delete_leaves_nothing_open(
    cloud_fixture: CloudFixture, plan: Plan
) -> None:
    for method in ("compute.instances.insert", "compute.instances.delete"):
        cloud_fixture.fault(method, "error", times=1000, status=403, reason="forbidden", message="denied")
    fleet = cloud_fixture.fleet()
    with pytest.raises(ProjectSetup, match="denied"):
        cloud_fixture.placement(fleet).place(cloud_fixture.vm_request(plan))
    assert fleet.open() == []


def test_a_vm_is_labelled_with_its_deadline(cloud_fixture: CloudFixture, plan: Plan) -> None:
    vm_request = cloud_fixture.vm_request(plan)
    cloud_fixture.placement(cloud_fixture.fleet()).place(vm_request)
    (attempt,) = cloud_fixture.compute.inserts()
    deadline = int(vm_request.now) + plan.jobs[0].limits.vm
    assert attempt.body["labels"]["nb-deadline"] == str(deadline)


def test_an_api_that_does_not_answer_is_6_not_3(cloud_fixture: CloudFixture, tmp_path: Path) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_ZONES=ZONES)
    cloud_fixture.fault("compute.instances.insert", "error", times=1000, status=503, reason="backendError")
    with pytest.raises(EnvironmentFailed, match="did not answer") as caught:
        cloud_fixture.placement(cloud_fixture.fleet()).place(cloud_fixture.vm_request(plan))
    assert caught.value.reason == "api_unavailable"
    assert cloud_fixture.left() == []


@pytest.mark.parametrize("look", ["found", "refused", "unanswered"])
def test_in_an_outage_no_vm_is_requested(cloud_fixture: CloudFixture, plan: Plan, look: str) -> None:
    """Any answer ends an outage, one without permission too."""
    fleet = cloud_fixture.fleet()
    cloud_fixture.fault("compute.regions.get", "error", times=1000, status=503)
    with pytest.raises(CallFailed):
        fleet.machines.zones("us-central1")
    if look != "unanswered":
        if look == "refused":
            cloud_fixture.fault("compute.instances.get", "error", status=403)
        vm = cloud_fixture.placement(fleet).place(cloud_fixture.vm_request(plan))
        assert cloud_fixture.alive() == [vm.name]
    else:
        cloud_fixture.fault("compute.instances.get", "error", times=1000, status=503)
        with pytest.raises(EnvironmentFailed, match="so no VM was requested"):
            cloud_fixture.placement(fleet).place(cloud_fixture.vm_request(plan))
        assert cloud_fixture.compute.inserts() == []
        assert fleet.open() == []


def test_a_vm_that_appears_late_is_found_and_deleted(cloud_fixture: CloudFixture, plan: Plan) -> None:
    """The insert takes effect, but no answer to it ever arrives."""
    cloud_fixture.fault("compute.instances.insert", "error_after", times=1000, status=503)
    fleet = cloud_fixture.fleet()
    with pytest.raises(EnvironmentFailed, match="did not answer"):
        cloud_fixture.placement(fleet).place(cloud_fixture.vm_request(plan))
    assert len(cloud_fixture.inserted()) == 1
    assert cloud_fixture.left() == []
    assert fleet.open() == []


def test_an_image_family_that_is_gone_is_2(cloud_fixture: CloudFixture, tmp_path: Path) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_IMAGE_FAMILY="retired-family")
    with pytest.raises(InputRefused, match="no such image") as caught:
        cloud_fixture.placement(cloud_fixture.fleet()).image(plan.jobs[0])
    assert "gcloud compute images list" in caught.value.advice


def test_an_operation_that_cannot_be_followed_ends_the_attempt_and_the_vm(
    cloud_fixture: CloudFixture, plan: Plan
) -> None:
    cloud_fixture.fault("compute.zoneOperations.wait", "error", times=60, status=503)
    fleet = cloud_fixture.fleet()
    with pytest.raises(Exception, match=r"zoneOperations\.wait"):
        cloud_fixture.placement(fleet).place(cloud_fixture.vm_request(plan))
    assert cloud_fixture.left() == []
    assert fleet.open() == []
