"""Some services of localcloud behind its own server, and credentials for Google's clients of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

from google.oauth2.credentials import Credentials
from werkzeug import Request, Response

from localcloud.core.clock import Clock
from localcloud.core.faults import FaultPlan
from localcloud.core.findings import Findings
from localcloud.core.iam import Iam, email
from localcloud.core.server import Server
from localcloud.profile import PROFILE
from localcloud.services.registry import SPECS


def no_control(_request: Request) -> Response:
    """Answer every control route with a 404."""
    return Response(status=404)


class Served:
    """The parts of a cloud that services need. A subclass makes its services of them and calls `serve`."""

    def __init__(self, state: Path | None = None) -> None:
        """Without `state`, policies do not survive a restart."""
        self.findings = Findings()
        self.clock = Clock(lambda error: self.findings.error("a timer", error))
        self.iam = Iam(PROFILE, SPECS, state / "iam" if state else None)
        self.faults = FaultPlan(SPECS)

    def serve(
        self,
        *services: Any,
        raw: tuple[Any, ...] = (),
        control: Callable[[Request], Response] = no_control,
        reaches: Callable[[str], bool] = lambda _vm: True,
    ) -> None:
        """Start to answer."""
        self._parts = (*services, *raw)
        self.server = Server(
            specs=SPECS,
            services=list(services),
            raw_services=list(raw),
            control=control,
            iam=self.iam,
            faults=self.faults,
            findings=self.findings,
            reaches=reaches,
            now=self.clock.now,
        )
        self.server.start()
        self.url = self.server.url

    def credentials(self, account: str | None = None) -> Any:
        """Return the credentials of an account, or of the project's owner."""
        if account is None:
            return Credentials(token=self.iam.owner_token)
        return Credentials(token=self.iam.token(email(account))[0])

    def options(self, account: str | None = None) -> Any:
        """Return the arguments of a client that speaks REST, as an account or as the owner."""
        endpoint = {"api_endpoint": self.url}
        return {"credentials": self.credentials(account), "transport": "rest", "client_options": endpoint}

    def close(self) -> None:
        """Stop, and assert that localcloud recorded no bugs and that calls met all faults."""
        self.server.close()
        for part in self._parts:
            part.close()
        self.clock.close()
        found = self.findings.inventory()
        assert found["schema_violations"] == []
        assert found["internal_errors"] == []
        assert all(fault["consumed"] == fault["times"] for fault in self.faults.inventory())


class Closing(Protocol):
    """Anything with a `close`."""

    def close(self) -> None: ...


_T = TypeVar("_T", bound=Closing)


def restarting(make: Callable[[], _T]) -> Iterator[Callable[[], _T]]:
    """Yield a function that makes one; each call closes the one before, as a restart does, and so does the end."""
    running: list[_T] = []

    def close() -> None:
        while running:
            running.pop().close()

    def start() -> _T:
        close()
        running.append(make())
        return running[0]

    yield start
    close()
