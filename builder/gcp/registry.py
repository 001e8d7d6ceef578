"""Artifact Registry's tags over REST: the Registry of `deploy`."""

from __future__ import annotations

from urllib.parse import quote

from builder.gcp.clients import CALL_BUDGET, CALL_TIMEOUT, Access
from builder.gcp.rest import Rest
from builder.ports import Clock


class GoogleRegistry:
    """See deploy.ports.Registry."""

    def __init__(
        self, access: Access, clock: Clock, *, timeout: float = CALL_TIMEOUT, budget: float = CALL_BUDGET
    ) -> None:
        self._rest = Rest(access, clock, timeout=timeout, budget=budget)

    def digest(self, package: str, tag: str) -> str | None:
        """See deploy.ports.Registry. The package's name may hold slashes, which are escaped in its path."""
        parent, _, name = package.partition("/packages/")
        path = f"v1/{parent}/packages/{quote(name, safe='')}/tags/{quote(tag, safe='')}"
        answer = self._rest.find("artifactregistry.tags.get", "GET", self._rest.url("artifactregistry", path))
        return None if answer is None else str(answer["version"]).rpartition("/versions/")[2]
