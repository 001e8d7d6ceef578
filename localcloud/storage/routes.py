"""Which API method a request is, by Google's discovery document: uploads and downloads are methods at other addresses. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import unquote_to_bytes

from localcloud.discovery import Method, load
from localcloud.errors import invalid, unimplemented
from localcloud.service import Json

Kind = Literal["json", "upload", "download"]

_PLAIN = "/storage/v1/"
_PLACES: Mapping[str, Kind] = {
    _PLAIN: "json",
    "/upload/storage/v1/": "upload",
    "/resumable/upload/storage/v1/": "upload",
    "/download/storage/v1/": "download",
}
_BATCH = "/batch/storage/v1"
PREFIXES = (*_PLACES, _BATCH)

# Parameters of every method of the API, whose values the document does not tie to any.
_GENERAL = frozenset({"fields", "uploadType", "upload_id", "oauth_token", "userIp"})


@dataclass(frozen=True)
class Route:
    """The method, its path parameters, and how its content travels."""

    method: Method
    path: Mapping[str, str]
    kind: Kind

    def params(self, query: Mapping[str, Sequence[str]]) -> dict[str, str]:
        """Return all parameters; raises Google's 400 for one that the method does not have."""
        own = {name: values for name, values in query.items() if name not in _GENERAL}
        general = {name: values[-1] for name, values in query.items() if name in _GENERAL}
        return general | self.method.check_params(self.path, own)

    def body(self, data: bytes) -> Json:
        """Return the request's JSON; raises Google's 400."""
        checker = self.method
        if checker.id == "storage.objects.update":
            # By the document an update needs an ACL; with uniform bucket-level access there is none.
            checker = replace(checker, id="storage.objects.patch")
        return checker.check_request(data)


def route(verb: str, path: str) -> Route:
    """Return what a request is; `path` as it was sent, not yet unescaped. Raises a 400, or a 501 for what is not here."""
    _check_text(path)
    for prefix, kind in _PLACES.items():
        if path.startswith(prefix):
            # The later requests of a resumable upload belong to its insert.
            effective = "POST" if kind == "upload" else verb
            found = load("storage.v1").match(effective, _PLAIN + path.removeprefix(prefix))
            if found is not None and _fits(found.method.id, kind):
                return Route(found.method, found.params, kind)
    if path.startswith(_BATCH):
        raise unimplemented(
            "localcloud's storage has no batch requests: make the calls one by one, without client.batch()."
        )
    raise unimplemented(f"localcloud's storage has no {verb} {path}; localcloud/README.md says what it has.")


def _fits(method: str, kind: Kind) -> bool:
    return {"json": True, "upload": method.endswith(".insert"), "download": method == "storage.objects.get"}[
        kind
    ]


def _check_text(path: str) -> None:
    try:
        unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        raise invalid(f"The path '{path}' is not UTF-8.") from None
