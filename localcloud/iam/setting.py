"""What every service refuses of a policy before it is set; what is in the bindings beyond that is `Iam.bind`'s business."""

from __future__ import annotations

from typing import Any

from localcloud.errors import invalid, unimplemented
from localcloud.iam.roles import ROLES

Json = dict[str, Any]

_POLICY_VERSIONS = (0, 1, 3)


def policy_to_set(body: Json, service: str) -> Json:
    """Return the policy in the body of a setIamPolicy call; `service` is how its permissions begin ("pubsub.").

    Raises `ApiError`: 400 for a version that there is not, and for a role without permissions of the service; 501 for more
    than bindings.
    """
    policy: Json = body.get("policy") or {}
    check_version(policy.get("version") or 0)
    if policy.get("auditConfigs") or body.get("updateMask"):
        raise unimplemented("localcloud sets the bindings of a policy only: no auditConfigs, no updateMask.")
    for binding in policy.get("bindings") or ():
        role = binding.get("role") or ""
        if role in ROLES and not any(name.startswith(service) for name in ROLES[role]):
            raise invalid(f"Role {role} is not supported for this resource.")
    return policy


def check_version(version: int) -> None:
    """Raise a 400 for a version of policies that there is not."""
    if version not in _POLICY_VERSIONS:
        raise invalid(f"Invalid policy version {version}: valid values are 0, 1 and 3.")
