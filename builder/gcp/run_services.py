"""The access policies of Cloud Run services over REST: the Services of `deploy`."""

from __future__ import annotations

from builder.deploy.ports import Policy
from builder.gcp.clients import CALL_BUDGET, CALL_TIMEOUT, Access
from builder.gcp.rest import Rest
from builder.ports import Clock

# The newest form of policies. Asked for an older one, Google leaves conditions out, and they would be lost by what is written.
_VERSION = 3


class GoogleServices:
    """See deploy.ports.Services."""

    def __init__(
        self, access: Access, clock: Clock, *, timeout: float = CALL_TIMEOUT, budget: float = CALL_BUDGET
    ) -> None:
        self._rest = Rest(access, clock, timeout=timeout, budget=budget)

    def policy(self, service: str) -> Policy | None:
        """See deploy.ports.Services."""
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
        """See deploy.ports.Services."""
        body = {"bindings": list(policy.bindings), "etag": policy.etag, "version": _VERSION}
        self._rest.fetch(
            "run.services.setIamPolicy", "POST", self._url(service, "setIamPolicy"), {"policy": body}
        )

    def _url(self, service: str, verb: str) -> str:
        return self._rest.url("run", f"v2/{service}:{verb}")
