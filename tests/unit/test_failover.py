"""Every refusal of Compute Engine that is known reaches exactly as far as it should."""

from __future__ import annotations

import pytest

from builder.act.failover import Scope, scope_of

_PROJECT = "projects/p"

CASES = [
    ("ZONE_RESOURCE_POOL_EXHAUSTED", "The zone does not have enough resources available", Scope.ZONE),
    (
        "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS",
        "n1-standard-4 with T4 is currently unavailable",
        Scope.ZONE,
    ),
    ("insufficientCapacity", "There is not enough capacity", Scope.ZONE),
    ("UNSUPPORTED_OPERATION", "Instance could not be created: preempted", Scope.ZONE),
    ("RESOURCE_NOT_READY", "The resource is not ready", Scope.ZONE),
    ("RESOURCE_OPERATION_RATE_EXCEEDED", "Operation rate exceeded", Scope.ZONE),
    ("QUOTA_EXCEEDED", "Quota 'NVIDIA_T4_GPUS' exceeded.  Limit: 1.0 in region us-central1.", Scope.REGION),
    ("quotaExceeded", "Quota 'CPUS' exceeded.  Limit: 24.0 in region us-central1.", Scope.REGION),
    ("QUOTA_EXCEEDED", "Quota 'GPUS_ALL_REGIONS' exceeded.  Limit: 0.0 globally.", Scope.QUOTA),
    ("quotaExceeded", "Quota 'GPUS_ALL_REGIONS' exceeded.  Limit: 0.0 globally.", Scope.QUOTA),
    (
        "notFound",
        f"The resource '{_PROJECT}/zones/z/acceleratorTypes/nvidia-tesla-t4' was not found",
        Scope.ZONE,
    ),
    (
        "RESOURCE_NOT_FOUND",
        f"The resource '{_PROJECT}/zones/z/machineTypes/g2-standard-4' was not found",
        Scope.ZONE,
    ),
    ("notFound", f"The resource '{_PROJECT}/zones/us-nowhere1-a' was not found", Scope.ZONE),
    ("notFound", f"The resource '{_PROJECT}/global/images/family/gone' was not found", Scope.INPUT),
    ("notFound", f"The resource '{_PROJECT}/global/networks/default' was not found", Scope.SETUP),
    ("notFound", f"The resource '{_PROJECT}/regions/r/subnetworks/s' was not found", Scope.REGION),
    ("RESOURCE_NOT_FOUND", f"The resource '{_PROJECT}/regions/r/subnetworks/s' was not found", Scope.REGION),
    (
        "invalid",
        "Invalid value for field 'resource.networkInterfaces[0]': ''. Subnetwork should be specified for custom subnetmode network",
        Scope.SETUP,
    ),
    (
        "invalid",
        f"Invalid value '{_PROJECT}/zones/z/machineTypes/x9'. Machine type does not exist.",
        Scope.ZONE,
    ),
    (
        "conditionNotMet",
        "Constraint constraints/compute.requireShieldedVm violated for project projects/p. Secure Boot is not enabled.",
        Scope.SETUP,
    ),
    (
        "CONDITION_NOT_MET",
        "Constraint constraints/compute.trustedImageProjects violated for project p. Use of images from project i is prohibited.",
        Scope.SETUP,
    ),
    (
        "conditionNotMet",
        "Location ZONE:us-central1-a violates constraint constraints/gcp.resourceLocations on the resource projects/p/zones/z.",
        Scope.REGION,
    ),
    (
        "SOMETHING_NEW",
        'Operation denied by org policy on resource \'projects/p\': ["customConstraints/custom.smallVms": "small ones only"].',
        Scope.SETUP,
    ),
    ("IAM_PERMISSION_DENIED", "Permission denied", Scope.SETUP),
    (
        "forbidden",
        "Required 'compute.instances.create' permission for 'projects/p/zones/z/instances/i'",
        Scope.SETUP,
    ),
    ("accessNotConfigured", "Compute Engine API has not been used in project", Scope.SETUP),
    ("forbidden", "Policy update access denied.", Scope.SETUP),
    ("forbidden", "acceleratorType nvidia-tesla-t4 is not found or access is unauthorized.", Scope.ZONE),
    ("invalid", "Requested disk size cannot be smaller than the image size (50 GB)", Scope.INPUT),
    ("invalid", "Invalid value for field 'resource.name'", Scope.INPUT),
    ("SOMETHING_NEW", "never seen before", Scope.UNKNOWN),
]


@pytest.mark.parametrize(("code", "message", "scope"), CASES)
def test_code_and_message_decide_how_far_a_refusal_reaches(code: str, message: str, scope: Scope) -> None:
    assert scope_of(code, message) is scope


def test_only_what_no_zone_can_help_stops_the_search() -> None:
    assert {scope for scope in Scope if scope.stops} == {Scope.QUOTA, Scope.SETUP, Scope.INPUT}
