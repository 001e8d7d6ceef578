"""The three calls that the function makes, each with what its answers mean."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

from builder.function.google import Answer, Google, own_account
from builder.function.live import Live
from builder.function.outcome import Need, acting, building, failure, reading, refused, resolving
from builder.model import JsonObject

_OK, _BAD_REQUEST = 200, 400
_PAGE = 100
_ACTING = b"act as service account"  # Cloud Build's words where the caller may create builds, but none as that account


def fetch(google: Google, address: str) -> Answer:
    """The object at a gs:// address, whatever the answer. Raises Redeliver where there is none."""
    bucket, name = _parts(address)
    return google.call("storage", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}", params={"alt": "media"})


def content(fetched: Answer, address: str) -> bytes:
    """The bytes of a fetched object. Raises Redeliver for any status but 200."""
    return _accepted(fetched, reading(_parts(address)[0], address))


def builds(google: Google, live: Live, expression: str) -> Iterator[JsonObject]:
    """The builds that a filter selects, newest first, page by page; a page may be empty and not the last. Raises Redeliver."""
    params = {"filter": expression, "pageSize": str(_PAGE)}
    while True:
        got = google.call("cloudbuild", _place(live), params=params)
        page = json.loads(_accepted(got, building("list", live.project)))
        yield from page.get("builds", ())
        if not page.get("nextPageToken"):
            return
        params["pageToken"] = page["nextPageToken"]


def create(google: Google, live: Live, build: JsonObject) -> JsonObject:
    """Create a build; returns it as Cloud Build has it. Raises Dropped where it takes no such build, else Redeliver."""
    got = google.call("cloudbuild", _place(live), body=build)
    if got.status == _BAD_REQUEST:
        source = resolving(build["source"]["storageSource"]["bucket"])
        raise refused(got.content, source, live.account.rpartition("/")[2])
    need = acting(live.account) if _ACTING in got.content else building("create", live.project)
    return dict(json.loads(_accepted(got, need))["metadata"]["build"])


def _accepted(got: Answer, need: Need) -> bytes:
    if got.status != _OK:
        raise failure(got.status, got.content, need, own_account)
    return got.content


def _place(live: Live) -> str:
    return f"/v1/projects/{live.project}/locations/{live.region}/builds"


def _parts(address: str) -> tuple[str, str]:
    bucket, _, name = address.removeprefix("gs://").partition("/")
    return bucket, name
