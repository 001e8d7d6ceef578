"""Artifact Registry over REST: the tags and versions that `deploy` asks for."""

from __future__ import annotations

from urllib.parse import quote

from builder.gcp.rest import Rest
from builder.model import JsonObject


class GoogleRegistry:
    """The port `deploy_ports.Registry`."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def digest(self, package: str, tag: str) -> str | None:
        """The digest that a tag names. A package's name can contain slashes, which are escaped in the path."""
        answer = self._found("artifactregistry.tags.get", package, f"tags/{quote(tag, safe='')}")
        return None if answer is None else str(answer["version"]).rpartition("/versions/")[2]

    def pushed(self, package: str, digest: str) -> str | None:
        answer = self._found("artifactregistry.versions.get", package, f"versions/{digest}")
        return None if answer is None else str(answer["createTime"])

    def _found(self, call: str, package: str, below: str) -> JsonObject | None:
        parent, _, name = package.partition("/packages/")
        url = self._rest.url("artifactregistry", f"v1/{parent}/packages/{quote(name, safe='')}/{below}")
        return self._rest.find(call, "GET", url)
