"""Cloud Build over REST: the builds that `deploy` and `run` are part of, and the time by its answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice

from builder.deploy_ports import BuildState
from builder.gcp.rest import Rest
from builder.model import JsonObject
from builder.ports import BuildTime

_PAGE = 100


class GoogleBuilds:
    """The port `deploy_ports.Builds`."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def get(self, build: str, region: str) -> BuildState | None:
        answer = self._rest.find("cloudbuild.builds.get", "GET", f"{self._url(region)}/{build}")
        return None if answer is None else _state(answer)

    def newest(self, tags: Sequence[str], region: str) -> BuildState | None:
        expression = " AND ".join(f'tags="{tag}"' for tag in tags)
        return next(map(_state, self._list(expression, region)), None)

    def count(self, tag: str, region: str, *, since: datetime, limit: int) -> int:
        moment = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        found = self._list(f'tags="{tag}" AND create_time>"{moment}"', region)
        return sum(1 for _ in islice(found, limit))

    def _list(self, expression: str, region: str) -> Iterator[JsonObject]:
        """The builds that a filter selects. A list begins with the newest, and any of its pages can be empty."""
        params = {"filter": expression, "pageSize": str(_PAGE)}
        while True:
            page = self._rest.fetch("cloudbuild.builds.list", "GET", self._url(region), params=params)
            yield from page.get("builds", ())
            if not page.get("nextPageToken"):
                return
            params["pageToken"] = page["nextPageToken"]

    def now(self, region: str) -> str:
        """The time in the Date header, which each answer of Google has."""
        seconds = self._rest.now("cloudbuild.builds.list", f"{self._url(region)}?pageSize=1")
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def time(self, build: str, region: str) -> BuildTime | None:
        """The time that a build has; None if it is not running, or has no start or timeout. Raises CallFailed."""
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
        return self._rest.url("cloudbuild", f"v1/projects/{self._rest.project}/locations/{region}/builds")


def _state(build: JsonObject) -> BuildState:
    return BuildState(
        str(build["id"]),
        str(build["createTime"]),
        _commit(build),
        str(build.get("status", "")),
        frozenset(str(step.get("name", "")) for step in build.get("steps", ())),
    )


def _commit(build: JsonObject) -> str | None:
    """The commit that the trigger names, else the one of the source."""
    source = build.get("sourceProvenance", {})
    return (
        build.get("substitutions", {}).get("COMMIT_SHA")
        or source.get("resolvedRepoSource", {}).get("commitSha")
        or source.get("resolvedConnectedRepository", {}).get("revision")
        or source.get("resolvedGitSource", {}).get("revision")
        or None
    )
