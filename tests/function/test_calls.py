"""Lists of builds with pages that are empty and not the last."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, cast

from builder.function.calls import builds
from builder.function.google import Google, Response
from builder.function.live import Live

LIVE = Live("p", "us-central1", (), 12, {}, "projects/p/serviceAccounts/b@p", "nb-live-f")
PAGES = {
    "": {"nextPageToken": "a"},
    "a": {"builds": [{"id": "1"}, {"id": "2"}], "nextPageToken": "b"},
    "b": {"builds": [], "nextPageToken": "c"},
    "c": {"builds": [{"id": "3"}]},
}


class Pages:
    """Answers with the pages above, and records the requested ones."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def call(self, service: str, path: str, *, params: Mapping[str, str]) -> Response:
        assert (service, path) == ("cloudbuild", "/v1/projects/p/locations/us-central1/builds")
        assert params["filter"] == 'tags="x"'
        self.asked.append(params.get("pageToken", ""))
        return Response(200, datetime.now(UTC), json.dumps(PAGES[self.asked[-1]]).encode())


def test_all_pages_are_read_and_none_before_it_is_needed() -> None:
    pages = Pages()
    found = builds(cast("Google", pages), LIVE, 'tags="x"')
    assert [build["id"] for build in islice(found, 2)] == ["1", "2"]
    assert pages.asked == ["", "a"]
    rest: list[dict[str, Any]] = list(found)
    assert [build["id"] for build in rest] == ["3"]
    assert pages.asked == ["", "a", "b", "c"]
