"""A service as the server sees it: handlers by method id, or a whole path prefix; and the call that a handler gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from localcloud.core.caller import Caller

if TYPE_CHECKING:
    from werkzeug import Request, Response

    from localcloud.core.faults import Fault
    from localcloud.core.iam import Iam

Json = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One API call, as a handler sees it, already checked against Google's discovery document.

    `headers` are the request's, by their names in lower case.
    """

    method: str
    params: Mapping[str, str]
    body: Json
    caller: Caller
    fault: Fault | None
    iam: Iam
    headers: Mapping[str, str] = field(default_factory=dict)

    def require(self, permission: str, resource: str) -> None:
        """Raise Google's 403 (`ApiError`) unless the caller has `permission` on `resource`."""
        self.iam.require(self.caller, permission, resource)

    def authorize(self, permission: str, resource: str) -> str:
        """Return a resource's name with the project's id; raise `ApiError` 403 (see `Iam.authorize`)."""
        return self.iam.authorize(self.caller, permission, resource)


Handler = Callable[[Call], Json]


class Part:
    """A part of a service. One that has nothing to list, or nothing to end, leaves that out."""

    def inventory(self) -> Mapping[str, list[Json]]:
        """Return its live resources by kind, such as {"compute.instances": [...]}."""
        return {}

    def close(self) -> None:
        """End everything that belongs to it; called once."""


class Service(Protocol):
    """A `Part` whose routes and schemas come from the discovery document called `api` ("compute.v1")."""

    @property
    def api(self) -> str:
        """The discovery document's name."""
        ...

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id that the service implements."""
        ...


class RawService(Protocol):
    """A `Part` that takes whole requests below its path prefixes ("/storage/", "/upload/storage/")."""

    @property
    def service(self) -> str:
        """The service that a project must enable for it; "" for requests to addresses of the project's own."""
        ...

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The path prefixes it owns."""
        ...

    def identify(self, request: Request) -> tuple[str, Mapping[str, Any]] | None:
        """Return the API method of a request, and the values that a fault may match; None for no method.

        The server asks this once per request, takes a due fault from the plan, applies the generic actions itself
        and gives any other to `respond`.
        """
        ...

    def respond(self, request: Request, caller: Caller, fault: Fault | None) -> Response:
        """Answer the request; an `ApiError` raised becomes Google's JSON."""
        ...
