"""The metadata server over HTTP: paths, recursion, waiting for a change, and tokens."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
import time
from typing import TYPE_CHECKING

from werkzeug import Request, Response

from localcloud.core.http import Listener
from localcloud.core.metadata.tree import Identity, Page, find, page, tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.iam import Iam

_ROOT = "/computeMetadata/v1"
_FLAVOR = "Metadata-Flavor"
# Host names that VMs use for the server. No web page can have them.
_NAMES = ("169.254.169.254", "metadata.google.internal", "metadata")
# Each VM has a call that waits for hours, so a check must be cheap.
_POLL_SECONDS = 0.2
# google-auth reads this page. The answer names a workload identity pool instead of the account, because for an account
# google-auth calls iamcredentials.googleapis.com.
_ACCOUNT_PAGE = re.compile(r"instance/service-accounts/[^/]+/?")
_TOKEN = re.compile(r"instance/service-accounts/[^/]+/token")


class MetadataServer:
    """Answers with the values that `identity` returns at each call."""

    def __init__(self, identity: Callable[[], Identity], iam: Iam, port: int = 0) -> None:
        self._identity = identity
        self._iam = iam
        self._closed = threading.Event()
        # It asks for no token and hands one out.
        self._listener = Listener(self._respond, port, names=_NAMES, own_user_only=True)
        self.address = self._listener.address

    def start(self) -> None:
        """Begin to answer."""
        self._listener.start()

    def close(self) -> None:
        """Stop, and end all waiting calls."""
        self._closed.set()
        self._listener.close()

    def _respond(self, request: Request) -> Response:
        response = self._answer(request)
        response.headers[_FLAVOR] = "Google"
        response.headers["Server"] = "Metadata Server for VM"
        return response

    def _answer(self, request: Request) -> Response:
        path = request.path
        if path == "/":
            return _text("computeMetadata/\n")
        if not path.startswith(_ROOT + "/"):
            return _text("The page is not there.\n", 404)
        if request.headers.get(_FLAVOR) != "Google" or "X-Forwarded-For" in request.headers:
            return _text(f"Missing required header: {_FLAVOR}: Google\n", 403)
        if request.method not in {"GET", "HEAD"}:
            return _text("localcloud's metadata server can only be read.\n", 405)
        path = path.removeprefix(_ROOT + "/")
        if _TOKEN.fullmatch(path):
            return self._token(path)
        return self._node(request, path)

    def _token(self, path: str) -> Response:
        identity = self._identity()
        with contextlib.suppress(KeyError):
            account = find(tree(identity), path.removesuffix("/token"))
            text, expires_in = self._iam.token(account["email"], identity.scopes, identity.path)
            body = {"access_token": text, "expires_in": expires_in, "token_type": "Bearer"}
            return Response(json.dumps(body), content_type="application/json")
        return _not_found(path)

    def _node(self, request: Request, path: str) -> Response:
        recursive = request.args.get("recursive", "").lower() == "true"
        as_json = request.args.get("alt") == "json"

        def look() -> Page:
            identity = self._identity()
            pool = f"{identity.project}.svc.id.goog"
            # google-auth then names the account so in its calls.
            node = find(tree(identity), path.replace(f"service-accounts/{pool}", "service-accounts/default"))
            if recursive and _ACCOUNT_PAGE.fullmatch(path):
                node = {**node, "email": pool}
            return page(node, path=path, recursive=recursive, as_json=as_json)

        try:
            shown = look()
            if request.args.get("wait_for_change", "").lower() == "true":
                shown = self._await_change(request, shown, look)
        except KeyError:
            return _not_found(path)
        kind = "application/json" if shown.json else "application/text"
        return Response(shown.text, content_type=kind, headers={"ETag": _etag(shown)})

    def _await_change(self, request: Request, shown: Page, look: Callable[[], Page]) -> Page:
        """Look again until the answer differs from `last_etag` (or from now), or `timeout_sec` has passed."""
        known = request.args.get("last_etag") or _etag(shown)
        limit = request.args.get("timeout_sec", type=float)
        deadline = None if limit is None else time.monotonic() + limit
        while _etag(shown) == known and (deadline is None or time.monotonic() < deadline):
            if self._closed.wait(_POLL_SECONDS):
                break
            shown = look()
        return shown


def _etag(shown: Page) -> str:
    return hashlib.sha256(shown.text.encode()).hexdigest()[:16]


def _not_found(path: str) -> Response:
    return _text(f"{path}: the metadata server has no such entry.\n", 404)


def _text(text: str, status: int = 200) -> Response:
    return Response(text, status=status, content_type="text/html; charset=UTF-8")
