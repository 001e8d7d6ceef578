"""What a refusal by Compute Engine means for the run: by its error code, never by an exception's class.

A stock-out and an overloaded API are both "503", a GPU quota and a missing role are both "403" (docs/facts.md 1.7).
"""

from __future__ import annotations

from enum import Enum


class Scope(Enum):
    """How far a refusal reaches."""

    ZONE = "the zone"
    REGION = "the region"
    QUOTA = "every zone: a global quota"
    SETUP = "every zone: the project's set-up"
    INPUT = "every zone: the request itself"
    UNKNOWN = "the zone, as far as can be told"

    @property
    def stops(self) -> bool:
        """Whether no other zone is worth a try."""
        return self in {Scope.QUOTA, Scope.SETUP, Scope.INPUT}


_BY_CODE = {
    "ZONE_RESOURCE_POOL_EXHAUSTED": Scope.ZONE,
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": Scope.ZONE,
    "insufficientCapacity": Scope.ZONE,
    "stockout": Scope.ZONE,
    "UNSUPPORTED_OPERATION": Scope.ZONE,  # seen when a Spot VM is preempted while it is being created
    "RESOURCE_NOT_READY": Scope.ZONE,
    "resourceNotReady": Scope.ZONE,
    "RESOURCE_OPERATION_RATE_EXCEEDED": Scope.ZONE,
    "operationRateExceeded": Scope.ZONE,
    "QUOTA_EXCEEDED": Scope.REGION,
    "quotaExceeded": Scope.REGION,
    "SUBNET_NOT_FOUND_FOR_VPC": Scope.REGION,
    "VPC_NOT_FOUND": Scope.SETUP,
    "IAM_PERMISSION_DENIED": Scope.SETUP,
    "SERVICE_ACCOUNT_ACCESS_DENIED": Scope.SETUP,  # the caller may not act as the VM's account
    "EXTERNAL_RESOURCE_NOT_FOUND": Scope.SETUP,  # the VM's account does not exist
    "OPERATION_CANCELED_BY_USER": Scope.ZONE,
    "accessNotConfigured": Scope.SETUP,
    "SERVICE_DISABLED": Scope.SETUP,
    "forbidden": Scope.SETUP,
    "unauthorized": Scope.SETUP,
    "authError": Scope.SETUP,
    "badRequest": Scope.INPUT,
    "invalid": Scope.INPUT,
    "required": Scope.INPUT,
}
_NOT_FOUND = {"notFound", "RESOURCE_NOT_FOUND"}
# Refusals that often pass by themselves: the same zone is asked again before the next one.
_PASSING = {
    "RESOURCE_NOT_READY",
    "resourceNotReady",
    "RESOURCE_OPERATION_RATE_EXCEEDED",
    "operationRateExceeded",
}
_CONFIGURATION = {"SUBNET_NOT_FOUND_FOR_VPC"}
_NOTHING_SAID = _PASSING | _CONFIGURATION | {"OPERATION_CANCELED_BY_USER"}  # ... of capacity
# A 404 names what is missing. Machine and accelerator types differ between zones; the rest does not.
_ZONAL_KINDS = ("/machineTypes/", "/acceleratorTypes/", "/diskTypes/")


def scope_of(code: str, message: str) -> Scope:
    """How far the refusal with this code and message reaches. Unknown codes count as the zone's."""
    if code in _NOT_FOUND:
        return _scope_of_missing(message)
    if "_ALL_REGIONS'" in message and code in {"QUOTA_EXCEEDED", "quotaExceeded"}:
        return Scope.QUOTA
    if "Policy update access denied" in message or "is not found or access is unauthorized" in message:
        return Scope.ZONE if "is not found" in message else Scope.SETUP
    if "disk size cannot be smaller than the image size" in message:
        return Scope.INPUT
    if code in {"invalid", "badRequest"} and any(kind in message for kind in _ZONAL_KINDS):
        return Scope.ZONE
    return _BY_CODE.get(code, Scope.UNKNOWN)


def passes(code: str) -> bool:
    """Whether the same zone is worth another try soon."""
    return code in _PASSING


def is_configuration(code: str) -> bool:
    """Whether a region's refusal is the project's set-up there: other regions may do, but more capacity would not."""
    return code in _CONFIGURATION


def is_capacity(code: str, message: str) -> bool:
    """Whether the refusal is for want of machines or quota, rather than one that says nothing of capacity."""
    return code not in _NOTHING_SAID and scope_of(code, message) in {Scope.ZONE, Scope.REGION, Scope.QUOTA}


def _scope_of_missing(message: str) -> Scope:
    if any(kind in message for kind in _ZONAL_KINDS):
        return Scope.ZONE
    if "/zones/" in message and "/instances" not in message:
        return Scope.ZONE
    if "/images/" in message:
        return Scope.INPUT
    if "/networks/" in message or "/subnetworks/" in message:
        return Scope.SETUP
    return Scope.ZONE
