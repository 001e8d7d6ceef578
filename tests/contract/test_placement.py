"""Where a VM is placed, and what each refusal of Compute Engine leads to, in every place where it may appear."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from builder.act.fleet import Ending
from builder.errors import BuilderError, EnvironmentFailed, ExitCode, InputRefused, NoCapacity, ProjectSetup
from builder.plan.make import Plan
from builder.plan.vm_spec import insert_body, vm_labels
from tests.contract.world import World

A, B, C = "us-central1-a", "us-central1-b", "us-east1-b"  # two zones of one region, and another region
ZONES = f"{A},{B},{C}"
PLACES = ("http", "operation", "operation without http")
SUBNETWORK = "The resource 'projects/p/regions/us-central1/subnetworks/ci' was not found"
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
}


def refuse(world: World, row: Row, place: str, zone: str = A) -> None:
    """Plan the refusal, as lasting as it needs to be."""
    match = {"zone": zone}
    if place == "http":
        world.fault(
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
    world.fault(
        "compute.instances.insert",
        "operation_error",
        times=1000,
        match=match,
        code=row.code,
        message=row.message,
        **extra,
    )


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_each_refusal_reaches_as_far_as_it_should(world: World, tmp_path: Path, row: Row, place: str) -> None:
    plan = world.plan(tmp_path / "repo", NB_ZONES=ZONES)
    refuse(world, row, place)
    fleet = world.fleet()
    if row.stops is not None:
        with pytest.raises(BuilderError) as caught:
            world.placement(fleet).place(world.order(plan))
        assert caught.value.exit_code == row.stops
        assert row.message in caught.value.message
        assert {a.zone for a in world.compute.inserts()} <= {A}
        assert world.left() == []
        return
    vm = world.placement(fleet).place(world.order(plan))
    assert vm.zone == row.zones[-1]
    told = [text for text in world.said if text.startswith("VM refused in")]
    assert len(told) == (1 if place == "http" else row.again)
    assert all(row.code in text and row.message in text for text in told)
    assert world.alive() == [vm.name]
    assert fleet.open() == [vm]


@pytest.mark.parametrize("place", PLACES)
def test_a_stock_out_in_every_zone_is_3_and_tells_each(world: World, tmp_path: Path, place: str) -> None:
    plan = world.plan(tmp_path / "repo", NB_ZONES=ZONES)
    for zone in (A, B, C):
        refuse(world, ROWS["zone exhausted"], place, zone)
    with pytest.raises(NoCapacity) as caught:
        world.placement(world.fleet()).place(world.order(plan))
    for zone in (A, B, C):
        assert f"{zone}: ZONE_RESOURCE_POOL_EXHAUSTED: does not have enough resources" in caught.value.message
    assert world.left() == []


@pytest.mark.parametrize(
    ("row", "error"),
    [
        pytest.param(Row("SOMETHING_NEW", "never seen before", 400), EnvironmentFailed, id="unknown code"),
        pytest.param(Row("notFound", SUBNETWORK, 404), ProjectSetup, id="no subnet"),
        pytest.param(Row("conditionNotMet", LOCATION, 412), ProjectSetup, id="location policy"),
        pytest.param(
            Row("QUOTA_EXCEEDED", "Quota 'CPUS' exceeded.  Limit: 24.0 in region r.", 403),
            NoCapacity,
            id="quota",
        ),
    ],
)
def test_what_a_search_without_success_ends_as(
    world: World, plan: Plan, row: Row, error: type[BuilderError]
) -> None:
    refuse(world, row, "operation")
    with pytest.raises(error, match=row.code):
        world.placement(world.fleet()).place(world.order(plan))


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
    world: World, plan: Plan, message: str, advice: str, place: str
) -> None:
    code = "conditionNotMet" if place == "http" else "CONDITION_NOT_MET"
    refuse(world, Row(code, message, 412), place)
    with pytest.raises(ProjectSetup) as caught:
        world.placement(world.fleet()).place(world.order(plan))
    assert message in caught.value.message
    assert caught.value.reason == "organization_policy"
    assert advice in caught.value.advice


def test_a_region_without_the_subnetwork_means_the_next_region(world: World, tmp_path: Path) -> None:
    zones = "us-east1-b,us-east1-c,us-central1-a"
    plan = world.plan(tmp_path / "repo", NB_ZONES=zones, NB_SUBNETWORK="custom-central")
    assert world.placement(world.fleet()).place(world.order(plan)).zone == "us-central1-a"
    assert [attempt.zone for attempt in world.compute.inserts()] == ["us-east1-b", "us-central1-a"]


def test_no_region_with_the_subnetwork_is_4(world: World, tmp_path: Path) -> None:
    plan = world.plan(tmp_path / "repo", NB_ZONES="us-east1-b", NB_SUBNETWORK="custom-central")
    with pytest.raises(ProjectSetup, match="/subnetworks/custom-central' was not found") as caught:
        world.placement(world.fleet()).place(world.order(plan))
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
    world: World, tmp_path: Path, network: str, advice: str
) -> None:
    plan = world.plan(tmp_path / "repo", NB_ZONES=ZONES, NB_NETWORK=network)
    with pytest.raises(ProjectSetup) as caught:
        world.placement(world.fleet()).place(world.order(plan))
    assert advice in caught.value.advice
    assert [attempt.zone for attempt in world.compute.inserts()] == [A]


@pytest.mark.parametrize(
    "machine_type", ["n4-standard-4", "n4d-standard-4", "c3-standard-4", "e2-standard-4"]
)
def test_each_series_boots_from_a_disk_that_it_takes(world: World, tmp_path: Path, machine_type: str) -> None:
    plan = world.plan(tmp_path / "repo", NB_MACHINE_TYPE=machine_type)
    assert world.placement(world.fleet()).place(world.order(plan)).zone == A


def test_a_policy_that_requires_secure_boot_is_met(world: World, tmp_path: Path) -> None:
    plan = world.plan(tmp_path / "repo", NB_SECURE_BOOT="true")
    world.placement(world.fleet()).place(world.order(plan))
    (attempt,) = world.compute.inserts()
    assert attempt.body["shieldedInstanceConfig"]["enableSecureBoot"] is True


def test_secure_boot_with_an_image_that_cannot_is_2_before_any_insert(world: World, tmp_path: Path) -> None:
    plan = world.plan(tmp_path / "repo", NB_SECURE_BOOT="true")
    order = world.order(plan)
    with pytest.raises(InputRefused, match="does not support UEFI"):
        world.placement(world.fleet()).place(replace(order, image=replace(order.image, uefi=False)))
    assert world.compute.inserts() == []


def test_a_region_stands_for_its_zones(world: World, tmp_path: Path) -> None:
    plan = world.plan(tmp_path / "repo", NB_ZONES="us-east1")
    refuse(world, ROWS["zone exhausted"], "operation", "us-east1-b")
    assert world.placement(world.fleet()).place(world.order(plan)).zone == "us-east1-c"


def test_an_insert_whose_reply_is_lost_is_the_same_request_again(world: World, plan: Plan) -> None:
    world.fault("compute.instances.insert", "drop_after")
    vm = world.placement(world.fleet()).place(world.order(plan))
    first, second = world.compute.inserts()
    assert first.request_id
    assert first.request_id == second.request_id
    assert second.replayed
    assert world.alive() == [vm.name]


def test_a_visible_vm_of_a_failed_insert_is_deleted_before_the_next_zone(
    world: World, tmp_path: Path
) -> None:
    plan = world.plan(tmp_path / "repo", NB_ZONES=f"{A},{B}")
    world.fault(
        "compute.instances.insert",
        "operation_error",
        code="ZONE_RESOURCE_POOL_EXHAUSTED",
        visible_instance=True,
    )
    vm = world.placement(world.fleet()).place(world.order(plan))
    assert world.alive() == [vm.name]
    assert vm.zone == B


def test_no_next_zone_while_the_failed_vm_may_still_be_there(world: World, tmp_path: Path) -> None:
    plan = world.plan(tmp_path / "repo", NB_ZONES=f"{A},{B}")
    world.fault(
        "compute.instances.insert",
        "operation_error",
        code="ZONE_RESOURCE_POOL_EXHAUSTED",
        visible_instance=True,
    )
    world.fault("compute.instances.delete", "error", times=1000, status=403, message="no")
    world.fault("compute.instances.get", "error", times=1000, status=403, message="no")
    fleet = world.fleet()
    with pytest.raises(EnvironmentFailed, match="could not be deleted") as caught:
        world.placement(fleet).place(world.order(plan))
    assert caught.value.reason == "cleanup_failed"
    assert {attempt.zone for attempt in world.compute.inserts()} == {A}
    assert [vm.ending for vm in fleet.open()] == [Ending.UNKNOWN]


def _seed(world: World, plan: Plan, nonce: str) -> str:
    """A VM of the very name that the order will ask for, with this nonce."""
    order = world.order(plan)
    name = order.attempt.vm_name(1)
    labels = {**vm_labels(order.attempt, order.job.vm, 1), "nb-nonce": nonce}
    body = insert_body(
        order.job.vm,
        project="local-project",
        zone=A,
        name=name,
        image=order.image,
        limits=order.job.limits,
        labels=labels,
        startup_script="true",
        job_metadata={},
    )
    machines = world.machines()
    operation = machines.insert(A, body, request_id=order.attempt.request_id("seed", A, name))
    while not operation.done:
        operation = machines.operation(A, operation.name)
    assert operation.errors == ()
    return name


def test_a_vm_that_carries_our_nonce_is_adopted(world: World, plan: Plan) -> None:
    name = _seed(world, plan, world.order(plan).attempt.nonce)
    fleet = world.fleet()
    vm = world.placement(fleet).place(world.order(plan))
    assert vm.name == name
    assert fleet.take_down(vm) is Ending.GONE
    assert world.left() == []


def test_a_strangers_vm_is_never_touched(world: World, plan: Plan) -> None:
    name = _seed(world, plan, "somebody-else")
    fleet = world.fleet()
    with pytest.raises(ProjectSetup, match="is not this run's") as caught:
        world.placement(fleet).place(world.order(plan))
    assert caught.value.reason == "foreign_vm"
    assert fleet.open() == []
    fleet.abandon()
    assert world.alive() == [name]


@pytest.mark.parametrize("nonce", ["0123456789abcdef", "somebody-else"])
def test_a_taken_name_is_deleted_only_once_it_is_known_whose_it_is(
    world: World, plan: Plan, nonce: str
) -> None:
    name = _seed(world, plan, nonce)
    world.fault("compute.instances.get", "error", status=403, message="not now")
    with pytest.raises(Exception, match="not now"):
        world.placement(world.fleet()).place(world.order(plan))
    assert world.alive() == ([name] if nonce == "somebody-else" else [])


def test_an_adopted_vm_that_has_ended_is_refused_at_once(world: World, plan: Plan) -> None:
    world.fault("vm.life", "stop", after=0)
    _seed(world, plan, world.order(plan).attempt.nonce)
    world.time.sleep(5)
    with pytest.raises(EnvironmentFailed, match="ended before it ran"):
        world.placement(world.fleet()).place(world.order(plan))
    assert world.left() == []


def test_a_permission_that_is_missing_is_4_and_named(world: World, plan: Plan) -> None:
    denied = "Required 'compute.instances.create' permission for 'projects/local-project/zones/x'"
    world.fault("compute.instances.insert", "error", status=403, reason="forbidden", message=denied)
    with pytest.raises(ProjectSetup, match=r"compute\.instances\.create") as caught:
        world.placement(world.fleet()).place(world.order(plan))
    assert "role" in caught.value.advice.lower()


def test_an_api_that_does_not_answer_is_6_not_3(world: World, tmp_path: Path) -> None:
    plan = world.plan(tmp_path / "repo", NB_ZONES=ZONES)
    world.fault("compute.instances.insert", "error", times=1000, status=503, reason="backendError")
    with pytest.raises(EnvironmentFailed, match="did not answer") as caught:
        world.placement(world.fleet()).place(world.order(plan))
    assert caught.value.reason == "api_unavailable"
    assert world.left() == []


def test_a_vm_that_appears_late_is_found_and_deleted(world: World, plan: Plan) -> None:
    """The insert takes effect, but no answer to it ever arrives."""
    world.fault("compute.instances.insert", "error_after", times=1000, status=503)
    fleet = world.fleet()
    with pytest.raises(EnvironmentFailed, match="did not answer"):
        world.placement(fleet).place(world.order(plan))
    assert len(world.inserted()) == 1
    assert world.left() == []
    assert fleet.open() == []


def test_an_image_family_that_is_gone_is_2(world: World, tmp_path: Path) -> None:
    plan = world.plan(tmp_path / "repo", NB_IMAGE_FAMILY="retired-family")
    with pytest.raises(InputRefused, match="no such image") as caught:
        world.placement(world.fleet()).resolve_image(plan.jobs[0].image)
    assert "gcloud compute images list" in caught.value.advice


def test_an_operation_that_cannot_be_followed_ends_the_attempt_and_the_vm(world: World, plan: Plan) -> None:
    world.fault("compute.zoneOperations.wait", "error", times=60, status=503)
    fleet = world.fleet()
    with pytest.raises(Exception, match=r"zoneOperations\.wait"):
        world.placement(fleet).place(world.order(plan))
    assert world.left() == []
    assert fleet.open() == []
