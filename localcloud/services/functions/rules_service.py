"""The rules of a function's service: memory, time, instances, variables. Pure."""

from __future__ import annotations

from typing import Any

from localcloud.core.bodies import check_covered
from localcloud.services.functions.refusals import not_covered

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
_DEFAULT_MEMORY = "256M"
_DEFAULT_SECONDS = 60
_DEFAULT_INSTANCES = 100
_INGRESS = "ALLOW_ALL"


def service_config(given: Json, default_account: str) -> Json:
    """Return the `ServiceConfig` of a body; raises `ApiError` 501.

    `default_account` is the address of the account for a body that names none.
    """
    check_covered(given, _NOT_COVERED, "function", "serviceConfig.")
    if given.get("allTrafficOnLatestRevision") is False:
        raise not_covered("serviceConfig.allTrafficOnLatestRevision: false")
    if (given.get("maxInstanceRequestConcurrency") or 1) > 1:
        raise not_covered("serviceConfig.maxInstanceRequestConcurrency: above 1, which needs availableCpu")
    ingress = given.get("ingressSettings") or _INGRESS
    found: Json = {
        "availableMemory": given.get("availableMemory") or _DEFAULT_MEMORY,
        "timeoutSeconds": given.get("timeoutSeconds") or _DEFAULT_SECONDS,
        "maxInstanceCount": given.get("maxInstanceCount") or _DEFAULT_INSTANCES,
        "maxInstanceRequestConcurrency": 1,
        "ingressSettings": _INGRESS if ingress == "INGRESS_SETTINGS_UNSPECIFIED" else ingress,
        "serviceAccountEmail": given.get("serviceAccountEmail") or default_account,
        "allTrafficOnLatestRevision": True,
    }
    if given.get("environmentVariables"):
        found["environmentVariables"] = given["environmentVariables"]
    return found
