"""Lists as Google may give them, which localcloud does not: pages that are empty and not the last."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from google.auth.credentials import AnonymousCredentials

from builder.gcp.builds import GoogleBuilds
from builder.gcp.clients import Access
from builder.gcp.rest import Rest
from builder.gcp.topics import GoogleTopics
from builder.waiting import Cancellation, RealClock

CLOCK = RealClock(Cancellation())


@contextmanager
def paged(last: str, *pages: dict[str, Any]) -> Iterator[tuple[Access, list[dict[str, str]]]]:
    """A server whose lists, at paths that end so, are these pages; all else is {}.

    Beside it, the query of each request for a page.
    """
    asked: list[dict[str, str]] = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            answer: dict[str, Any] = {}
            if url.path.endswith(last):
                asked.append(dict(parse_qsl(url.query)))
                more = {"nextPageToken": str(len(asked))} if len(asked) < len(pages) else {}
                answer = {**pages[len(asked) - 1], **more}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_told: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        yield Access(AnonymousCredentials(), "p", {"pubsub": url, "cloudbuild": url}), asked
        server.shutdown()


def tokens(asked: list[dict[str, str]]) -> list[str]:
    return [query.get("pageToken", "") for query in asked]


def test_a_subscription_on_a_later_page_is_one() -> None:
    pages: tuple[dict[str, Any], ...] = ({}, {"subscriptions": ["projects/p/subscriptions/s"]}, {})
    with paged("/subscriptions", *pages) as (access, asked):
        found = GoogleTopics(Rest(access, CLOCK)).get("projects/p/topics/t")
    assert found is not None
    assert found.subscriptions == ("s",)
    assert tokens(asked) == ["", "1", "2"]


def test_the_newest_build_may_be_on_a_later_page() -> None:
    build = {"id": "b", "createTime": "2026-07-01T06:00:00Z", "status": "SUCCESS"}
    with paged("/builds", {}, {}, {"builds": [build]}, {"builds": [{"id": "c"}]}) as (access, asked):
        found = GoogleBuilds(Rest(access, CLOCK)).newest(["nb-live-f"], "us-central1")
    assert found is not None
    assert (found.id, tokens(asked)) == ("b", ["", "1", "2"])
    # Pages can be empty, so a search that finds nothing must not ask for each build by itself.
    assert {query["pageSize"] for query in asked} == {"100"}
    with paged("/builds", {}, {}) as (access, _):
        assert GoogleBuilds(Rest(access, CLOCK)).newest(["nb-live-f"], "us-central1") is None
