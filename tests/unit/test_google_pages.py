"""Lists as Google may give them, which localcloud does not: pages that are empty and not the last."""

from __future__ import annotations

from typing import Any

from google.auth.credentials import AnonymousCredentials

from builder.act.waiting import Cancellation, RealClock
from builder.gcp.builds import GoogleBuilds
from builder.gcp.clients import Access
from builder.gcp.topics import GoogleTopics

ACCESS = Access(AnonymousCredentials(), "p", {})
CLOCK = RealClock(Cancellation())


class Pages:
    """Answers a list with these pages, one after the other, and anything else with nothing; keeps the tokens."""

    def __init__(self, *pages: dict[str, Any]) -> None:
        self._pages = pages
        self.asked: list[str] = []

    def fetch(
        self, call: str, _verb: str, _url: str, body: object = None, params: dict[str, str] | None = None
    ) -> dict[str, Any]:
        assert body is None
        if not call.endswith(".list"):
            return {}
        self.asked.append((params or {}).get("pageToken", ""))
        page = self._pages[len(self.asked) - 1]
        return page | ({"nextPageToken": str(len(self.asked))} if len(self.asked) < len(self._pages) else {})

    def find(self, call: str, verb: str, url: str, params: dict[str, str] | None = None) -> dict[str, Any]:
        return self.fetch(call, verb, url, params=params)

    def url(self, _service: str, path: str) -> str:
        return path


def test_a_subscription_on_a_later_page_is_one() -> None:
    topics, pages = (
        GoogleTopics(ACCESS, CLOCK),
        Pages({}, {"subscriptions": ["projects/p/subscriptions/s"]}, {}),
    )
    topics._rest = pages  # type: ignore[assignment]
    found = topics.get("projects/p/topics/t")
    assert found is not None
    assert found.subscriptions == ("s",)
    assert pages.asked == ["", "1", "2"]


def test_the_newest_build_may_be_on_a_later_page() -> None:
    build = {"id": "b", "createTime": "2026-07-01T06:00:00Z", "status": "SUCCESS"}
    builds, pages = GoogleBuilds(ACCESS, CLOCK), Pages({}, {}, {"builds": [build]}, {"builds": [{"id": "c"}]})
    builds._rest = pages  # type: ignore[assignment]
    found = builds.newest("nb-live-f", "us-central1")
    assert found is not None
    assert (found.id, pages.asked) == ("b", ["", "1", "2"])
    builds._rest = Pages({}, {})  # type: ignore[assignment]
    assert builds.newest("nb-live-f", "us-central1") is None
