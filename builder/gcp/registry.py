"""Artifact Registry's tags and versions over REST: the Registry of `deploy`."""

from __future__ import annotations

from urllib.parse import quote

from builder.gcp.clients import CALL_BUDGET, CALL_TIMEOUT, Access
from builder.gcp.rest import Rest
from builder.model import JsonObject
from builder.ports import Clock


class GoogleRegistry:
    """See deploy.ports.Registry."""

    def __init__(
        self, access: Access, clock: Clock, *, timeout: float = CALL_TIMEOUT, budget: float = CALL_BUDGET
    ) -> None:
        self._rest = Rest(access, clock, timeout=timeout, budget=budget)

    def digest(self, package: str, tag: str) -> str | None:
        """See deploy.ports.Registry. The package's name may hold slashes, which are escaped in its path."""
        answer = self._found("artifactregistry.tags.get", package, f"tags/{quote(tag, safe='')}")
        return None if answer is None else str(answer["version"]).rpartition("/versions/")[2]

    def pushed(self, package: str, digest: str) -> str | None:
        """See deploy.ports.Registry."""
        answer = self._found("artifactregistry.versions.get", package, f"versions/{digest}")
        return None if answer is None else str(answer["createTime"])

    def _found(self, call: str, package: str, below: str) -> JsonObject | None:
        parent, _, name = package.partition("/packages/")
        url = self._rest.url("artifactregistry", f"v1/{parent}/packages/{quote(name, safe='')}/{below}")
        return self._rest.find(call, "GET", url)
