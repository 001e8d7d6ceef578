"""Decides how far a refusal by Compute Engine reaches, by its error code, never by an exception's class.

A stock-out and an overloaded API are both 503; a GPU quota and a missing role are both 403 (docs/facts.md 1.7).
"""

from __future__ import annotations

from enum import Enum, auto


class Scope(Enum):
    """The reach of a refusal."""

    ZONE = auto()
    REGION = auto()
    QUOTA = auto()  # every zone: a global quota
    SETUP = auto()  # every zone: the project's set-up
    INPUT = auto()  # every zone: the request itself
    UNKNOWN = auto()  # an unknown code, which counts for the zone only

    @property
    def stops(self) -> bool:
        """True if no other zone can help."""
        return self in {Scope.QUOTA, Scope.SETUP, Scope.INPUT}


_BY_CODE = {
    "ZONE_RESOURCE_POOL_EXHAUSTED": Scope.ZONE,
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": Scope.ZONE,
    "insufficientCapacity": Scope.ZONE,
    "stockout": Scope.ZONE,
    "UNSUPPORTED_OPERATION": Scope.ZONE,  # when a Spot VM is preempted during its creation
    "RESOURCE_NOT_READY": Scope.ZONE,
    "resourceNotReady": Scope.ZONE,
    "RESOURCE_OPERATION_RATE_EXCEEDED": Scope.ZONE,
    "operationRateExceeded": Scope.ZONE,
    "conditionNotMet": Scope.SETUP,  # an organization policy; the operation's code is the next one
    "CONDITION_NOT_MET": Scope.SETUP,
    "IP_SPACE_EXHAUSTED": Scope.REGION,  # the subnetwork has no free address
    "IP_SPACE_EXHAUSTED_WITH_DETAILS": Scope.REGION,
    "IAM_PERMISSION_DENIED": Scope.SETUP,
    "PERMISSIONS_ERROR": Scope.SETUP,
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
_INVALID = {"invalid", "badRequest"}
# Refusals that often pass: placement asks the same zone again before the next one.
_TRANSIENT = {
    "RESOURCE_NOT_READY",
    "resourceNotReady",
    "RESOURCE_OPERATION_RATE_EXCEEDED",
    "operationRateExceeded",
}
_QUOTA = {"QUOTA_EXCEEDED", "quotaExceeded"}
_NOT_ABOUT_CAPACITY = _TRANSIENT | {"OPERATION_CANCELED_BY_USER"}
_LOCATIONS = "constraints/gcp.resourceLocations"  # the organization policy of the allowed locations
_SUBNETWORK = "/subnetworks/"
# Words in the message that are more precise than the code; the first match counts.
_BY_WORDS = {
    _LOCATIONS: Scope.REGION,
    "onstraints/": Scope.SETUP,  # any other organization policy, `constraints/…` or `customConstraints/…`
    "is not found or access is unauthorized": Scope.ZONE,
    "Policy update access denied": Scope.SETUP,
    "disk size cannot be smaller than the image size": Scope.INPUT,
    "custom subnetmode network": Scope.SETUP,  # the network has no automatic subnetworks, and the job names none
}
# A 404, or a 400 about a reference, names the missing resource. Only types of machines and accelerators differ by zone.
_ZONAL_KINDS = ("/machineTypes/", "/acceleratorTypes/", "/diskTypes/")


def scope_of(code: str, message: str) -> Scope:
    """Return the reach of a refusal with this code and message. An unknown code counts for the zone only."""
    if _is_missing(code, message):
        return _scope_of_missing(message)
    if code in _QUOTA:
        return Scope.QUOTA if "_ALL_REGIONS'" in message else Scope.REGION
    by_words = next((scope for words, scope in _BY_WORDS.items() if words in message), None)
    if by_words is not None:
        return by_words
    if code in _INVALID and any(kind in message for kind in _ZONAL_KINDS):
        return Scope.ZONE
    return _BY_CODE.get(code, Scope.UNKNOWN)


def is_transient(code: str) -> bool:
    """Return True if the same zone can accept soon."""
    return code in _TRANSIENT


def is_configuration(code: str, message: str) -> bool:
    """Return True if a region refuses because of its set-up: another region can accept, a later try here cannot."""
    missing = _is_missing(code, message) and _SUBNETWORK in message
    return missing or _LOCATIONS in message


def is_address_space(code: str) -> bool:
    """Return True if the refusal says that the subnetwork has no free address."""
    return code in {"IP_SPACE_EXHAUSTED", "IP_SPACE_EXHAUSTED_WITH_DETAILS"}


def is_quota(code: str) -> bool:
    """Return True if the refusal says that a quota is exceeded."""
    return code in _QUOTA


def is_capacity(code: str, message: str) -> bool:
    """Return True if the refusal is about capacity: machines or quota."""
    if code in _NOT_ABOUT_CAPACITY or is_configuration(code, message):
        return False
    return scope_of(code, message) in {Scope.ZONE, Scope.REGION, Scope.QUOTA}


def _is_missing(code: str, message: str) -> bool:
    return code in _NOT_FOUND or (code in _INVALID and "resource cannot be found" in message)


def _scope_of_missing(message: str) -> Scope:
    if any(kind in message for kind in _ZONAL_KINDS):
        return Scope.ZONE
    if "/zones/" in message and "/instances" not in message:
        return Scope.ZONE
    if "/images/" in message:
        return Scope.INPUT
    if _SUBNETWORK in message:  # a subnetwork belongs to one region
        return Scope.REGION
    if "/networks/" in message:
        return Scope.SETUP
    return Scope.ZONE
