"""The calls that the function makes, and the meaning of their answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import quote

from builder.function.google import Google, Response, own_account
from builder.function.live import Live
from builder.function.outcome import Need, acting, building, failure, reading, refused, resolving
from builder.model import JsonObject

_PAGE = 100
_ACTING = b"act as service account"  # Cloud Build's message if the caller may create builds, but not as that account


def fetch(google: Google, address: str) -> Response:
    """The answer, of any status, to a request for the object at a gs:// address.

    Raises Redeliver without an answer.
    """
    bucket, name = _parts(address)
    return google.call("storage", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}", params={"alt": "media"})


def content(fetched: Response, address: str) -> bytes:
    """The bytes of a fetched object. Raises Redeliver for any status other than 200."""
    return _accepted(fetched, reading(_parts(address)[0], address))


def builds(google: Google, live: Live, expression: str) -> Iterator[JsonObject]:
    """The builds that a filter selects, newest first. A page may be empty and not the last. Raises Redeliver."""
    params = {"filter": expression, "pageSize": str(_PAGE)}
    while True:
        got = google.call("cloudbuild", _builds_path(live), params=params)
        page = json.loads(_accepted(got, building("list", live.project)))
        yield from page.get("builds", ())
        if not page.get("nextPageToken"):
            return
        params["pageToken"] = page["nextPageToken"]


def create(google: Google, live: Live, build: JsonObject) -> JsonObject:
    """Create a build and return Cloud Build's representation of it.

    Raises Dropped or Redeliver if Cloud Build refuses it.
    """
    got = google.call("cloudbuild", _builds_path(live), body=build)
    if got.status == HTTPStatus.BAD_REQUEST:
        source = resolving(build["source"]["storageSource"]["bucket"])
        raise refused(got.content, source, live.account.rpartition("/")[2])
    need = acting(live.account) if _ACTING in got.content else building("create", live.project)
    return dict(json.loads(_accepted(got, need))["metadata"]["build"])


def _accepted(got: Response, need: Need) -> bytes:
    if got.status != HTTPStatus.OK:
        raise failure(got.status, got.content, need, own_account)
    return got.content


def _builds_path(live: Live) -> str:
    return f"/v1/projects/{live.project}/locations/{live.region}/builds"


def _parts(address: str) -> tuple[str, str]:
    bucket, _, name = address.removeprefix("gs://").partition("/")
    return bucket, name
