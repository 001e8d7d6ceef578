"""Cloud Run over REST: the IAM policies of services, for `deploy`."""

from __future__ import annotations

from builder.deploy_ports import Policy
from builder.gcp.rest import Rest

# The newest policy format. In an older one Google leaves conditions out, and writing it back would remove them.
_VERSION = 3


class GoogleServices:
    """The port `deploy_ports.Services`."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def policy(self, service: str) -> Policy | None:
        answer = self._rest.find(
            "run.services.getIamPolicy",
            "GET",
            self._url(service, "getIamPolicy"),
            {"options.requestedPolicyVersion": str(_VERSION)},
        )
        if answer is None:
            return None
        return Policy(bindings=tuple(answer.get("bindings", ())), etag=str(answer.get("etag", "")))

    def set_policy(self, service: str, policy: Policy) -> None:
        body = {"bindings": list(policy.bindings), "etag": policy.etag, "version": _VERSION}
        self._rest.fetch(
            "run.services.setIamPolicy", "POST", self._url(service, "setIamPolicy"), {"policy": body}
        )

    def _url(self, service: str, verb: str) -> str:
        return self._rest.url("run", f"v2/{service}:{verb}")
