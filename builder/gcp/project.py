"""Resource Manager and IAM over REST: the caller's account and its permissions (decision 7)."""

from __future__ import annotations

from collections.abc import Sequence

from google.auth import compute_engine
from google.auth.compute_engine import _metadata
from google.auth.transport.requests import Request

from builder.gcp.calls import Calls
from builder.gcp.clients import CALL_BUDGET, CALL_TIMEOUT, Access
from builder.gcp.rest import Rest
from builder.ports import Clock

_METADATA_EMAIL = "instance/service-accounts/default/email"
_OF_PROJECT = ".iam.gserviceaccount.com"


class GoogleProject:
    """The port `ports.Project`."""

    def __init__(
        self, access: Access, clock: Clock, *, timeout: float = CALL_TIMEOUT, budget: float = CALL_BUDGET
    ) -> None:
        self._access = access
        self._calls = Calls(clock, budget, timeout)
        self._rest = Rest(access, clock, timeout=timeout, budget=budget)

    def caller(self) -> str:
        credentials = self._access.credentials
        if isinstance(credentials, compute_engine.Credentials):
            # Not `service_account_email`: it is "default" until the first refresh.
            return self._calls.make(
                "metadata", _METADATA_EMAIL, lambda: str(_metadata.get(Request(), _METADATA_EMAIL))
            )
        named = getattr(credentials, "service_account_email", None) or getattr(credentials, "account", None)
        return str(named or "")

    def permissions(self, asked: Sequence[str]) -> frozenset[str]:
        return self._test(
            "cloudresourcemanager.projects.testIamPermissions",
            self._rest.url("cloudresourcemanager", f"v3/projects/{self._access.project}"),
            asked,
        )

    def service_account_disabled(self, email: str) -> bool:
        answer = self._rest.fetch("iam.projects.serviceAccounts.get", "GET", self._account_url(email))
        return bool(answer.get("disabled", False))

    def service_account_permissions(self, email: str, asked: Sequence[str]) -> frozenset[str]:
        return self._test("iam.projects.serviceAccounts.testIamPermissions", self._account_url(email), asked)

    def _account_url(self, email: str) -> str:
        """The address of a service account.

        With `-` for the project, Google answers 403 and not 404 for one that does not exist.
        """
        domain = email.partition("@")[2]
        named = domain.removesuffix(_OF_PROJECT) if domain.endswith(_OF_PROJECT) else "-"
        project = named if "." not in named else "-"
        return self._rest.url("iam", f"v1/projects/{project}/serviceAccounts/{email}")

    def _test(self, call: str, url: str, asked: Sequence[str]) -> frozenset[str]:
        answer = self._rest.fetch(call, "POST", f"{url}:testIamPermissions", {"permissions": list(asked)})
        return frozenset(map(str, answer.get("permissions", ())))
