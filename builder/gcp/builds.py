"""Cloud Build over REST: what `deploy` and `run` ask about the build that they are part of, and what time it is."""

from __future__ import annotations

from datetime import UTC, datetime

from builder.deploy.ports import BuildState
from builder.gcp.clients import CALL_BUDGET, CALL_TIMEOUT, Access
from builder.gcp.rest import Rest
from builder.model import JsonObject
from builder.ports import BuildTime, Clock


class GoogleBuilds:
    """See deploy.ports.Builds."""

    def __init__(
        self, access: Access, clock: Clock, *, timeout: float = CALL_TIMEOUT, budget: float = CALL_BUDGET
    ) -> None:
        self._project = access.project
        self._rest = Rest(access, clock, timeout=timeout, budget=budget)

    def get(self, build: str, region: str) -> BuildState | None:
        """See deploy.ports.Builds."""
        answer = self._rest.find("cloudbuild.builds.get", "GET", f"{self._url(region)}/{build}")
        return None if answer is None else _state(answer)

    def newest(self, tag: str, region: str) -> BuildState | None:
        """See deploy.ports.Builds. A list is newest first, and one of its pages may be empty."""
        params = {"filter": f'tags="{tag}"', "pageSize": "1"}
        while True:
            page = self._rest.fetch("cloudbuild.builds.list", "GET", self._url(region), params=params)
            if builds := page.get("builds"):
                return _state(builds[0])
            if not page.get("nextPageToken"):
                return None
            params["pageToken"] = page["nextPageToken"]

    def now(self, region: str) -> str:
        """See deploy.ports.Builds. Read from the Date header, which every answer of Google's carries."""
        seconds = self._rest.now("cloudbuild.builds.list", f"{self._url(region)}?pageSize=1")
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def time(self, build: str, region: str) -> BuildTime | None:
        """The time that a build has; None where it does not run, or tells no start or timeout. Raises CallFailed."""
        answer, now = self._rest.fetch_dated("cloudbuild.builds.get", f"{self._url(region)}/{build}")
        if answer.get("status") != "WORKING":
            return None
        try:
            timeout = float(str(answer["timeout"]).removesuffix("s"))
            started = datetime.fromisoformat(str(answer["startTime"])).timestamp()
        except (KeyError, ValueError):
            return None
        return BuildTime(timeout, started + timeout - now)

    def _url(self, region: str) -> str:
        return self._rest.url("cloudbuild", f"v1/projects/{self._project}/locations/{region}/builds")


def _state(build: JsonObject) -> BuildState:
    return BuildState(
        str(build["id"]), str(build["createTime"]), _commit(build), str(build.get("status", ""))
    )


def _commit(build: JsonObject) -> str | None:
    """The commit that a trigger named, else the one that Cloud Build took the source from."""
    source = build.get("sourceProvenance", {})
    return (
        build.get("substitutions", {}).get("COMMIT_SHA")
        or source.get("resolvedRepoSource", {}).get("commitSha")
        or source.get("resolvedConnectedRepository", {}).get("revision")
        or source.get("resolvedGitSource", {}).get("revision")
        or None
    )
