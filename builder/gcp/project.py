"""Who we are and what we may do: Resource Manager and IAM over REST, without client libraries of their own (decision 7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from google.api_core.exceptions import from_http_response
from google.auth import compute_engine
from google.auth.compute_engine import _metadata
from google.auth.transport.requests import AuthorizedSession, Request

from builder.act.waiting import retry_transient
from builder.gcp.clients import CALL_BUDGET, CALL_TIMEOUT, Access
from builder.gcp.failures import google_call
from builder.model import JsonObject
from builder.ports import Clock, ServiceAccount

T = TypeVar("T")

_METADATA_EMAIL = "instance/service-accounts/default/email"
_OF_PROJECT = ".iam.gserviceaccount.com"


class GoogleProject:
    """See ports.Project."""

    def __init__(
        self, access: Access, clock: Clock, *, timeout: float = CALL_TIMEOUT, budget: float = CALL_BUDGET
    ) -> None:
        self._access = access
        self._timeout = timeout
        self._budget = budget
        self._clock = clock

    def caller(self) -> str:
        """See ports.Project."""
        credentials = self._access.credentials
        if isinstance(credentials, compute_engine.Credentials):
            # Not `service_account_email`: it is "default" until the first refresh.
            return self._call(
                "metadata", _METADATA_EMAIL, lambda: str(_metadata.get(Request(), _METADATA_EMAIL))
            )
        named = getattr(credentials, "service_account_email", None) or getattr(credentials, "account", None)
        return str(named or "")

    def permissions(self, asked: Sequence[str]) -> frozenset[str]:
        """See ports.Project."""
        return self._test(
            "cloudresourcemanager.projects.testIamPermissions",
            f"{self._access.endpoint('cloudresourcemanager')}/v3/projects/{self._access.project}",
            asked,
        )

    def service_account(self, email: str) -> ServiceAccount:
        """See ports.Project."""
        answer = self._fetch("iam.projects.serviceAccounts.get", "GET", self._account_url(email))
        return ServiceAccount(
            email=str(answer.get("email", email)), disabled=bool(answer.get("disabled", False))
        )

    def service_account_permissions(self, email: str, asked: Sequence[str]) -> frozenset[str]:
        """See ports.Project."""
        return self._test("iam.projects.serviceAccounts.testIamPermissions", self._account_url(email), asked)

    def _account_url(self, email: str) -> str:
        """Google advises against `-` for the project: who names it is told 404 for an account that is not there."""
        domain = email.partition("@")[2]
        named = domain.removesuffix(_OF_PROJECT) if domain.endswith(_OF_PROJECT) else "-"
        project = named if "." not in named else "-"
        return f"{self._access.endpoint('iam')}/v1/projects/{project}/serviceAccounts/{email}"

    def _test(self, call: str, url: str, asked: Sequence[str]) -> frozenset[str]:
        answer = self._fetch(call, "POST", f"{url}:testIamPermissions", {"permissions": list(asked)})
        return frozenset(map(str, answer.get("permissions", ())))

    def _fetch(self, call: str, verb: str, url: str, body: JsonObject | None = None) -> JsonObject:
        def send() -> JsonObject:
            with AuthorizedSession(self._access.credentials) as session:
                answer = session.request(verb, url, json=body, timeout=self._timeout)
            if not answer.ok:
                raise from_http_response(answer)
            return dict(answer.json())

        return self._call(call, url.partition("/projects/")[2], send)

    def _call(self, call: str, resource: str, action: Callable[[], T]) -> T:
        def once() -> T:
            with google_call(call, resource):
                return action()

        return retry_transient(once, budget=self._budget, clock=self._clock)
