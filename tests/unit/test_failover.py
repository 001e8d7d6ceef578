"""Every refusal of Compute Engine that is known reaches exactly as far as it should."""

from __future__ import annotations

import pytest

from builder.act.failover import Scope, is_capacity, is_configuration, is_quota, is_transient, scope_of

_PROJECT = "projects/p"

CASES = [
    pytest.param(
        "ZONE_RESOURCE_POOL_EXHAUSTED",
        "The zone does not have enough resources available",
        Scope.ZONE,
        id="zone exhausted",
    ),
    pytest.param(
        "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS",
        "n1-standard-4 with T4 is currently unavailable",
        Scope.ZONE,
        id="zone exhausted, with details",
    ),
    pytest.param("insufficientCapacity", "There is not enough capacity", Scope.ZONE, id="no capacity"),
    pytest.param(
        "UNSUPPORTED_OPERATION",
        "Instance could not be created: preempted",
        Scope.ZONE,
        id="preempted at once",
    ),
    pytest.param("RESOURCE_NOT_READY", "The resource is not ready", Scope.ZONE, id="resource not ready"),
    pytest.param(
        "RESOURCE_OPERATION_RATE_EXCEEDED", "Operation rate exceeded", Scope.ZONE, id="too many operations"
    ),
    pytest.param(
        "QUOTA_EXCEEDED",
        "Quota 'NVIDIA_T4_GPUS' exceeded.  Limit: 1.0 in region us-central1.",
        Scope.REGION,
        id="quota of a GPU",
    ),
    pytest.param(
        "quotaExceeded",
        "Quota 'CPUS' exceeded.  Limit: 24.0 in region us-central1.",
        Scope.REGION,
        id="quota of CPUs, HTTP code",
    ),
    pytest.param(
        "QUOTA_EXCEEDED",
        "Quota 'GPUS_ALL_REGIONS' exceeded.  Limit: 0.0 globally.",
        Scope.QUOTA,
        id="quota of all regions",
    ),
    pytest.param(
        "quotaExceeded",
        "Quota 'GPUS_ALL_REGIONS' exceeded.  Limit: 0.0 globally.",
        Scope.QUOTA,
        id="quota of all regions, HTTP code",
    ),
    pytest.param(
        "notFound",
        f"The resource '{_PROJECT}/zones/z/acceleratorTypes/nvidia-tesla-t4' was not found",
        Scope.ZONE,
        id="no such GPU in the zone",
    ),
    pytest.param(
        "RESOURCE_NOT_FOUND",
        f"The resource '{_PROJECT}/zones/z/machineTypes/g2-standard-4' was not found",
        Scope.ZONE,
        id="no such machine type in the zone",
    ),
    pytest.param(
        "notFound",
        f"The resource '{_PROJECT}/zones/us-nowhere1-a' was not found",
        Scope.ZONE,
        id="no such zone",
    ),
    pytest.param(
        "notFound",
        f"The resource '{_PROJECT}/global/images/family/gone' was not found",
        Scope.INPUT,
        id="no such image",
    ),
    pytest.param(
        "notFound",
        f"The resource '{_PROJECT}/global/networks/default' was not found",
        Scope.SETUP,
        id="no such network",
    ),
    pytest.param(
        "notFound",
        f"The resource '{_PROJECT}/regions/r/subnetworks/s' was not found",
        Scope.REGION,
        id="no such subnetwork",
    ),
    pytest.param(
        "RESOURCE_NOT_FOUND",
        f"The resource '{_PROJECT}/regions/r/subnetworks/s' was not found",
        Scope.REGION,
        id="no such subnetwork, by operation",
    ),
    pytest.param(
        "invalid",
        "Invalid value for field 'resource.networkInterfaces[0]': ''. Subnetwork should be specified for custom subnetmode network",
        Scope.SETUP,
        id="custom-mode network without a subnetwork",
    ),
    pytest.param(
        "invalid",
        f"Invalid value '{_PROJECT}/zones/z/machineTypes/x9'. Machine type does not exist.",
        Scope.ZONE,
        id="machine type that does not exist",
    ),
    pytest.param(
        "conditionNotMet",
        "Constraint constraints/compute.requireShieldedVm violated for project projects/p. Secure Boot is not enabled.",
        Scope.SETUP,
        id="shielded policy",
    ),
    pytest.param(
        "CONDITION_NOT_MET",
        "Constraint constraints/compute.trustedImageProjects violated for project p. Use of images from project i is prohibited.",
        Scope.SETUP,
        id="image policy, by operation",
    ),
    pytest.param(
        "conditionNotMet",
        "Location ZONE:us-central1-a violates constraint constraints/gcp.resourceLocations on the resource projects/p/zones/z.",
        Scope.REGION,
        id="location policy",
    ),
    pytest.param(
        "SOMETHING_NEW",
        'Operation denied by org policy on resource \'projects/p\': ["customConstraints/custom.smallVms": "small ones only"].',
        Scope.SETUP,
        id="custom policy",
    ),
    pytest.param("IAM_PERMISSION_DENIED", "Permission denied", Scope.SETUP, id="permission denied"),
    pytest.param(
        "forbidden",
        "Required 'compute.instances.create' permission for 'projects/p/zones/z/instances/i'",
        Scope.SETUP,
        id="required permission",
    ),
    pytest.param(
        "accessNotConfigured",
        "Compute Engine API has not been used in project",
        Scope.SETUP,
        id="API not enabled",
    ),
    pytest.param("forbidden", "Policy update access denied.", Scope.SETUP, id="policy denied"),
    pytest.param(
        "forbidden",
        "acceleratorType nvidia-tesla-t4 is not found or access is unauthorized.",
        Scope.ZONE,
        id="GPU without access",
    ),
    pytest.param(
        "invalid",
        "Requested disk size cannot be smaller than the image size (50 GB)",
        Scope.INPUT,
        id="disk too small",
    ),
    pytest.param("invalid", "Invalid value for field 'resource.name'", Scope.INPUT, id="bad value"),
    pytest.param("SOMETHING_NEW", "never seen before", Scope.UNKNOWN, id="unknown code"),
]


@pytest.mark.parametrize(("code", "message", "scope"), CASES)
def test_code_and_message_decide_how_far_a_refusal_reaches(code: str, message: str, scope: Scope) -> None:
    assert scope_of(code, message) is scope


def test_only_errors_of_all_zones_stop_the_search() -> None:
    assert {scope for scope in Scope if scope.stops} == {Scope.QUOTA, Scope.SETUP, Scope.INPUT}


@pytest.mark.parametrize(
    ("code", "scope"),
    [
        ("stockout", Scope.ZONE),
        ("resourceNotReady", Scope.ZONE),
        ("operationRateExceeded", Scope.ZONE),
        ("OPERATION_CANCELED_BY_USER", Scope.ZONE),
        ("CONDITION_NOT_MET", Scope.SETUP),
        ("conditionNotMet", Scope.SETUP),
        ("SERVICE_ACCOUNT_ACCESS_DENIED", Scope.SETUP),
        ("EXTERNAL_RESOURCE_NOT_FOUND", Scope.SETUP),
        ("SERVICE_DISABLED", Scope.SETUP),
        ("unauthorized", Scope.SETUP),
        ("authError", Scope.SETUP),
        ("badRequest", Scope.INPUT),
        ("required", Scope.INPUT),
    ],
)
def test_without_telling_words_the_code_decides(code: str, scope: Scope) -> None:
    assert scope_of(code, "no words that say more") is scope


@pytest.mark.parametrize(
    ("code", "resource", "scope"),
    [
        pytest.param("notFound", "zones/z/diskTypes/hyperdisk", Scope.ZONE, id="disk type"),
        pytest.param("badRequest", "zones/z/diskTypes/hyperdisk", Scope.ZONE, id="disk type, bad request"),
        pytest.param("invalid", "zones/z/acceleratorTypes/x", Scope.ZONE, id="GPU, invalid"),
        pytest.param("notFound", "zones/z/instances/i", Scope.ZONE, id="instance"),
        pytest.param("notFound", "something", Scope.ZONE, id="something else"),
        pytest.param("required", "zones/z/machineTypes/x", Scope.INPUT, id="machine type, another code"),
    ],
)
def test_the_resource_that_is_named_decides(code: str, resource: str, scope: Scope) -> None:
    assert scope_of(code, f"The resource '{_PROJECT}/{resource}'") is scope


_SUBNETWORK = f"The resource '{_PROJECT}/regions/r/subnetworks/s' was not found"
_LOCATION = "violates constraint constraints/gcp.resourceLocations on the resource"


def test_the_same_zone_is_asked_again_after_these_codes_alone() -> None:
    transient = {
        "RESOURCE_NOT_READY",
        "resourceNotReady",
        "RESOURCE_OPERATION_RATE_EXCEEDED",
        "operationRateExceeded",
    }
    assert {
        code for code in (*(case.values[0] for case in CASES), *transient) if is_transient(str(code))
    } == transient


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        pytest.param("notFound", _SUBNETWORK, True, id="no such subnetwork"),
        pytest.param("RESOURCE_NOT_FOUND", _SUBNETWORK, True, id="no such subnetwork, by operation"),
        pytest.param("forbidden", _SUBNETWORK, False, id="a subnetwork that exists"),
        pytest.param("notFound", "The resource 'images/i' was not found", False, id="no such image"),
        pytest.param("conditionNotMet", _LOCATION, True, id="location policy"),
        pytest.param("conditionNotMet", "constraints/compute.other", False, id="another policy"),
    ],
)
def test_a_regions_setup_is_told_from_the_projects(code: str, message: str, *, expected: bool) -> None:
    assert is_configuration(code, message) is expected


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        pytest.param("stockout", "no", True, id="stock-out"),
        pytest.param("QUOTA_EXCEEDED", "Quota 'CPUS' exceeded.", True, id="quota of a region"),
        pytest.param("quotaExceeded", "Quota 'GPUS_ALL_REGIONS' exceeded.", True, id="quota of all regions"),
        pytest.param("RESOURCE_NOT_READY", "no", False, id="transient"),
        pytest.param("OPERATION_CANCELED_BY_USER", "no", False, id="cancelled"),
        pytest.param("conditionNotMet", _LOCATION, False, id="location policy"),
        pytest.param("notFound", _SUBNETWORK, False, id="no such subnetwork"),
        pytest.param("forbidden", "no", False, id="permission"),
        pytest.param("SOMETHING_NEW", "no", False, id="unknown code"),
    ],
)
def test_capacity_is_told_from_everything_else(code: str, message: str, *, expected: bool) -> None:
    assert is_capacity(code, message) is expected


def test_these_codes_say_that_a_quota_is_exceeded() -> None:
    assert [is_quota(code) for code in ("QUOTA_EXCEEDED", "quotaExceeded", "stockout")] == [True, True, False]
