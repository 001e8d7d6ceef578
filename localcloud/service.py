"""What a service is to the server: handlers by method id, or a whole path prefix; and what one call looks like to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from werkzeug import Request, Response

    from localcloud.faults import Fault
    from localcloud.iam import Iam

Json = dict[str, Any]

CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
_FAULT_KEY = "localcloud.fault"


@dataclass(frozen=True)
class Caller:
    """Who calls. `email` is None when there was no token at all: the project's owner, who may do everything.

    `scopes` are the token's: beyond them it is good for nothing, whatever roles the account has.
    """

    email: str | None
    scopes: tuple[str, ...] = (CLOUD_PLATFORM,)


OWNER = Caller(email=None)


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


Handler = Callable[[Call], Json]


class Inventoried(Protocol):
    """What every service can do: list what it holds, and end."""

    def inventory(self) -> Mapping[str, list[Json]]:
        """Return its live resources by kind, such as {"compute.instances": [...]}."""
        ...

    def close(self) -> None:
        """End everything that belongs to the service; called once."""
        ...


class Service(Inventoried, Protocol):
    """A service whose routes and schemas come from the discovery document called `api` ("compute.v1")."""

    @property
    def api(self) -> str:
        """The discovery document's name."""
        ...

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id that the service implements."""
        ...


class RawService(Inventoried, Protocol):
    """A service that takes whole requests below its path prefixes ("/storage/", "/upload/storage/")."""

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The path prefixes it owns."""
        ...

    def identify(self, request: Request) -> tuple[str, Mapping[str, Any]] | None:
        """Name the API method that this request is, and the facts by which a fault may match; None for no method.

        The server asks this once per request, takes a due fault from the plan, applies the generic actions itself
        and leaves any other for `fault_of(request)`.
        """
        ...

    def respond(self, request: Request, caller: Caller) -> Response:
        """Answer the request; an `ApiError` raised becomes Google's JSON."""
        ...


def fault_of(request: Request) -> Fault | None:
    """Return the service-specific fault that is due on this request of a `RawService`."""
    fault: Fault | None = request.environ.get(_FAULT_KEY)
    return fault


def attach_fault(request: Request, fault: Fault | None) -> None:
    """Leave a service-specific fault for `fault_of`; the server does this."""
    request.environ[_FAULT_KEY] = fault
