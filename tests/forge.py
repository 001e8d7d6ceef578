"""A stand-in for GitHub and GitLab: a server on loopback, with TLS, that knows the calls that `comment` makes."""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

# By verb and path: what the call is. GitHub's API is below /api/v3 on a host of one's own, GitLab's below /api/v4.
_ROUTES = (
    ("GET", r"/api/v[34]/user", "user"),
    ("GET", r"/api/v3/repos/acme/rides/issues/7/comments", "list"),
    ("POST", r"/api/v3/repos/acme/rides/issues/7/comments", "create"),
    ("PATCH", r"/api/v3/repos/acme/rides/issues/comments/(\d+)", "update"),
    ("POST", r"/api/v3/repos/acme/rides/statuses/([0-9a-f]{40})", "status"),
    ("GET", r"/api/v4/projects/acme%2Fteam%2Frides/merge_requests/7/notes", "list"),
    ("POST", r"/api/v4/projects/acme%2Fteam%2Frides/merge_requests/7/notes", "create"),
    ("PUT", r"/api/v4/projects/acme%2Fteam%2Frides/merge_requests/7/notes/(\d+)", "update"),
    ("POST", r"/api/v4/projects/acme%2Fteam%2Frides/statuses/([0-9a-f]{40})", "status"),
)
PATHS = {"github": "/acme/rides/pull/7", "gitlab": "/acme/team/rides/-/merge_requests/7"}
_AUTHOR = {"github": "user", "gitlab": "author"}


@dataclass
class Planned:
    """An answer in place of the next one to a call. With `lost`, the call has its effect first."""

    call: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b'{"message": "planned"}'
    lost: bool = False


@dataclass
class StandIn:
    """A forge with one pull request. `users` has the id of each token's user, `calls` each call in its order."""

    kind: str
    address: str = ""
    users: dict[str, int] = field(default_factory=dict)
    comments: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    planned: list[Planned] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def pull_request(self) -> str:
        """The address of the pull request."""
        return self.address + PATHS[self.kind]

    def add(self, body: str, *, author: int | None) -> None:
        """Write a comment; None is a user who was deleted."""
        named = {_AUTHOR[self.kind]: {"id": author} if author else None}
        self.comments.append({"id": len(self.comments) + 100, "body": body, **named})

    def own(self, author: int) -> list[str]:
        """Return the comments of a user."""
        return [one["body"] for one in self.comments if (one[_AUTHOR[self.kind]] or {}).get("id") == author]

    def respond(
        self, verb: str, path: str, token: str, content: bytes
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Return status, headers and body of the answer to a request: what is planned, else what the call does."""
        parts = urlsplit(path)
        known = (
            (call, found)
            for expected, pattern, call in _ROUTES
            if verb == expected and (found := re.fullmatch(pattern, parts.path))
        )
        call, found = next(known, ("", None))
        if found is None:
            self.unknown.append(f"{verb} {path}")
            return 404, {}, b"{}"
        self.calls.append(call)
        if token not in self.users:
            return 401, {}, b'{"message": "Bad credentials"}'
        sent = json.loads(content or b"null")
        plan = next((one for one in self.planned if one.call == call), None)
        if plan is None or plan.lost:
            status, value = self.answer(call, found, parts.query, self.users[token], sent)
        if plan is None:
            return status, {}, json.dumps(value).encode()
        self.planned.remove(plan)
        return plan.status, plan.headers, plan.body

    def answer(self, call: str, found: re.Match[str], query: str, user: int, sent: Any) -> tuple[int, Any]:
        """Carry out a call. Returns the status and the JSON value of its answer."""
        if call == "user":
            return 200, {"id": user, "login": "somebody"}
        if call == "list":
            wanted = {name: int(values[0]) for name, values in parse_qs(query).items() if name != "sort"}
            first = (wanted["page"] - 1) * wanted["per_page"]
            return 200, self.comments[first : first + wanted["per_page"]]
        if call == "create":
            self.add(sent["body"], author=user)
            return 201, self.comments[-1]
        if call == "update":
            (comment,) = [one for one in self.comments if one["id"] == int(found[1])]
            comment["body"] = sent["body"]
            return 200, comment
        self.statuses.append({"commit": found[1], **sent})
        return 201, sent


class _Handler(BaseHTTPRequestHandler):
    forge: StandIn

    def _carry_out(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        status, headers, body = self.forge.respond(self.command, self.path, token, content)
        if "Date" in headers:
            self.send_response_only(status)
        else:
            self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = _carry_out  # noqa: N815 - names of http.server

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def served(kind: str, certificate: Path) -> Iterator[StandIn]:
    """Serve a forge, with the key and certificate in this file."""
    forge = StandIn(kind)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"forge": forge}))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    forge.address = f"https://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield forge
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
