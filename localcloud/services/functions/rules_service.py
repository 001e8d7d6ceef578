"""The rules of a function's service: memory, time, instances, variables. Pure; the limits are Google's."""

from __future__ import annotations

import re
from typing import Any

from localcloud.core.bodies import check_covered
from localcloud.core.errors import ApiError
from localcloud.services.functions.refusals import bad_field, not_covered

Json = dict[str, Any]

_NOT_COVERED = (
    "availableCpu",
    "binaryAuthorizationPolicy",
    "directVpcEgress",
    "directVpcNetworkInterface",
    "minInstanceCount",
    "secretEnvironmentVariables",
    "secretVolumes",
    "securityLevel",
    "vpcConnector",
    "vpcConnectorEgressSettings",
)
_MEMORY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(k|M|G|Ki|Mi|Gi|)")
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
_LEAST_MEMORY, _MOST_MEMORY = 128 * 10**6, 32 * 2**30
_LONGEST_SECONDS, _LONGEST_EVENT_SECONDS = 3600, 540
_DEFAULT_SECONDS = 60
_DEFAULT_INSTANCES = 100
_MOST_INSTANCES = 1000
_INGRESS = "ALLOW_ALL"
_VARIABLE = re.compile(r"[^=\0]+")
_RESERVED = frozenset(
    {"FUNCTION_SIGNATURE_TYPE", "FUNCTION_TARGET", "K_CONFIGURATION", "K_REVISION", "K_SERVICE", "PORT"}
)


def service_config(given: Json, default_account: str, *, has_events: bool) -> Json:
    """Return the `ServiceConfig` of a body; raises `ApiError` 400 or 501.

    `default_account` is the address of the account for a body that names none.
    """
    check_covered(given, _NOT_COVERED, "function", "serviceConfig.")
    if given.get("allTrafficOnLatestRevision") is False:
        raise not_covered("serviceConfig.allTrafficOnLatestRevision: false")
    if (given.get("maxInstanceRequestConcurrency") or 1) > 1:
        raise not_covered("serviceConfig.maxInstanceRequestConcurrency: above 1, which needs availableCpu")
    longest = _LONGEST_EVENT_SECONDS if has_events else _LONGEST_SECONDS
    ingress = given.get("ingressSettings") or _INGRESS
    found: Json = {
        "availableMemory": _memory(given.get("availableMemory") or "256M"),
        "timeoutSeconds": _whole(given, "timeoutSeconds", _DEFAULT_SECONDS, 1, longest),
        "maxInstanceCount": _whole(given, "maxInstanceCount", _DEFAULT_INSTANCES, 1, _MOST_INSTANCES),
        "maxInstanceRequestConcurrency": 1,
        "ingressSettings": _INGRESS if ingress == "INGRESS_SETTINGS_UNSPECIFIED" else ingress,
        "serviceAccountEmail": given.get("serviceAccountEmail") or default_account,
        "allTrafficOnLatestRevision": True,
    }
    if given.get("environmentVariables"):
        found["environmentVariables"] = _variables(given["environmentVariables"])
    return found


def _whole(given: Json, field: str, default: int, least: int, most: int) -> int:
    """Return a number of the body; 0 and a missing one mean the default."""
    value: int = given.get(field) or default
    if not least <= value <= most:
        raise _bad(field, f"{value} is not between {least} and {most}")
    return value


def _memory(given: str) -> str:
    found = _MEMORY.fullmatch(given)
    size = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not _LEAST_MEMORY <= size <= _MOST_MEMORY:
        raise _bad("availableMemory", f"'{given}' is not between 128M and 32Gi (units: k, M, G, Mi, Gi)")
    return given


def _variables(given: Json) -> Json:
    for name in given:
        if name in _RESERVED or name.startswith("X_GOOGLE_"):
            raise _bad("environmentVariables", f"the name {name} is reserved, the platform sets it")
        if not _VARIABLE.fullmatch(name):
            raise _bad("environmentVariables", f"'{name}' is no name of a variable")
    return given


def _bad(field: str, problem: str) -> ApiError:
    return bad_field(f"serviceConfig.{field}", problem)
