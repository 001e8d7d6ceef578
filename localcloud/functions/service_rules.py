"""What the service of a function may look like: memory, processors, time, instances, variables. Pure; the limits are Google's."""

from __future__ import annotations

import re
from typing import Any

from localcloud.errors import ApiError
from localcloud.functions.refusals import bad_field, not_covered
from localcloud.iam import DEFAULT_ACCOUNT, email

Json = dict[str, Any]

_NOT_COVERED = (
    "binaryAuthorizationPolicy",
    "directVpcEgress",
    "directVpcNetworkInterface",
    "secretEnvironmentVariables",
    "secretVolumes",
    "securityLevel",
    "vpcConnector",
    "vpcConnectorEgressSettings",
)
_MEMORY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(k|M|G|Ki|Mi|Gi|)")
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
_LEAST_MEMORY, _MOST_MEMORY = 128 * 10**6, 32 * 2**30
_CPU = re.compile(r"[0-9]+(\.[0-9]+)?|[0-9]+m")
_CPUS = (0.08, 8.0)
# The processors that come with up to so much memory.
_CPU_BY_MEMORY = (
    (128 * 2**20, "0.0833"),
    (256 * 2**20, "0.1666"),
    (512 * 2**20, "0.3333"),
    (2**30, "0.5833"),
    (2 * 2**30, "1"),
    (8 * 2**30, "2"),
    (16 * 2**30, "4"),
    (_MOST_MEMORY, "8"),
)
_LONGEST_SECONDS, _LONGEST_EVENT_SECONDS = 3600, 540
_DEFAULT_SECONDS = 60
_DEFAULT_INSTANCES = 100
_MOST_INSTANCES = 1000
_MOST_CONCURRENCY = 1000
_INGRESS = "ALLOW_ALL"
_VARIABLE = re.compile(r"[^=\0]+")
_RESERVED = frozenset(
    {"FUNCTION_SIGNATURE_TYPE", "FUNCTION_TARGET", "K_CONFIGURATION", "K_REVISION", "K_SERVICE", "PORT"}
)


def service_config(given: Json, *, has_events: bool) -> Json:
    """Return the `ServiceConfig` that a body means; raises `ApiError` 400 or 501."""
    for field in _NOT_COVERED:
        if given.get(field):
            raise not_covered(f"serviceConfig.{field}")
    if given.get("allTrafficOnLatestRevision") is False:
        raise not_covered("serviceConfig.allTrafficOnLatestRevision: false")
    memory = given.get("availableMemory") or "256M"
    longest = _LONGEST_EVENT_SECONDS if has_events else _LONGEST_SECONDS
    most = _whole(given, "maxInstanceCount", _DEFAULT_INSTANCES, 1, _MOST_INSTANCES)
    least = _whole(given, "minInstanceCount", 0, 0, most)
    ingress = given.get("ingressSettings") or _INGRESS
    found: Json = {
        "availableMemory": memory,
        "availableCpu": _cpu(given.get("availableCpu") or "", _bytes(memory)),
        "timeoutSeconds": _whole(given, "timeoutSeconds", _DEFAULT_SECONDS, 1, longest),
        "maxInstanceCount": most,
        "maxInstanceRequestConcurrency": _whole(
            given, "maxInstanceRequestConcurrency", 1, 1, _MOST_CONCURRENCY
        ),
        "ingressSettings": _INGRESS if ingress == "INGRESS_SETTINGS_UNSPECIFIED" else ingress,
        "serviceAccountEmail": given.get("serviceAccountEmail") or email(DEFAULT_ACCOUNT),
        "allTrafficOnLatestRevision": True,
    }
    if least:
        found["minInstanceCount"] = least
    if given.get("environmentVariables"):
        found["environmentVariables"] = _variables(given["environmentVariables"])
    return found


def too_little_cpu(found: Json) -> str | None:
    """Return what Cloud Run says of a `ServiceConfig` that it does not take; it is asked when the service is deployed."""
    if found["maxInstanceRequestConcurrency"] > 1 and _cores(found["availableCpu"]) < 1:
        return (
            "spec.template.spec.containers.resources.limits.cpu: Invalid value specified for cpu. Total cpu < 1 is not "
            "supported with concurrency > 1."
        )
    return None


def _whole(given: Json, field: str, default: int, least: int, most: int) -> int:
    """Return a number of the body, 0 and none being the default."""
    value: int = given.get(field) or default
    if not least <= value <= most:
        raise _bad(field, f"{value} is not between {least} and {most}")
    return value


def _bytes(memory: str) -> float:
    found = _MEMORY.fullmatch(memory)
    size = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not _LEAST_MEMORY <= size <= _MOST_MEMORY:
        raise _bad("availableMemory", f"'{memory}' is not between 128M and 32Gi (units: k, M, G, Mi, Gi)")
    return size


def _cpu(given: str, memory: float) -> str:
    if not given:
        return next(cpu for most, cpu in _CPU_BY_MEMORY if memory <= most)
    least, most = _CPUS
    if not _CPU.fullmatch(given) or not least <= _cores(given) <= most:
        raise _bad("availableCpu", f"'{given}' is not between {least} and {most:.0f}")
    return given


def _cores(cpu: str) -> float:
    return float(cpu[:-1]) / 1000 if cpu.endswith("m") else float(cpu)


def _variables(given: Json) -> Json:
    for name in given:
        if name in _RESERVED or name.startswith("X_GOOGLE_"):
            raise _bad("environmentVariables", f"the name {name} is reserved, the platform sets it")
        if not _VARIABLE.fullmatch(name):
            raise _bad("environmentVariables", f"'{name}' is no name of a variable")
    return given


def _bad(field: str, problem: str) -> ApiError:
    return bad_field(f"serviceConfig.{field}", problem)
