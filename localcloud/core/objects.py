"""Cloud Storage for builds: calls to localcloud's own port with a token of the build's account, so that IAM counts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote, urlencode

import urllib3

from localcloud.core.iam import Iam

_OK = range(200, 300)
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
_TRIES = 5
_PAUSE_SECONDS = 0.3
_CHUNK = 1 << 20


class ObjectError(Exception):
    """Storage refused a call; str() is as Google's own tools print it: `googleapi: Error 404: …, notFound`."""


@dataclass(frozen=True)
class Place:
    """An object, or with generation "" the newest of its generations."""

    bucket: str
    name: str
    generation: str = ""

    def __str__(self) -> str:
        return f"gs://{self.bucket}/{self.name}" + (f"#{self.generation}" if self.generation else "")


class Objects:
    """Reads objects as an account. `url` is localcloud's address. Every method raises `ObjectError`."""

    def __init__(self, url: Callable[[], str], iam: Iam) -> None:
        self._url = url
        self._iam = iam
        self._http = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(60.0))

    def resolve(self, account: str, place: Place) -> Place:
        """Return the object with the generation that it has now."""
        found = json.loads(self._call(account, place, {}))
        return Place(place.bucket, place.name, found["generation"])

    def download(self, account: str, place: Place, target: Path) -> None:
        """Write an object's content to a file."""
        with target.open("wb") as file:
            self._call(account, place, {"alt": "media"}, file)

    def _call(
        self, account: str, place: Place, query: Mapping[str, str], into: IO[bytes] | None = None
    ) -> bytes:
        """Get an object, with retries where they may help; return the answer, or nothing if it went `into` a file."""
        headers = {"Authorization": f"Bearer {self._iam.token(account)[0]}"}
        path = f"/storage/v1/b/{quote(place.bucket, safe='')}/o/{quote(place.name, safe='')}"
        generation = {"generation": place.generation} if place.generation else {}
        url = f"{self._url()}{path}?{urlencode({**query, **generation})}"
        trouble = ""
        for attempt in range(_TRIES):
            time.sleep(_PAUSE_SECONDS * attempt)
            try:
                answer = self._http.request("GET", url, headers=headers, preload_content=False)
                with answer:
                    if answer.status in _OK:
                        return _taken(answer, into)
                    trouble = _printed_error(answer.status, answer.read())
                    if answer.status not in _TRANSIENT:
                        break
            except urllib3.exceptions.HTTPError as error:
                trouble = f"GET {path}: {error}"
        raise ObjectError(trouble)


def _taken(answer: urllib3.BaseHTTPResponse, into: IO[bytes] | None) -> bytes:
    if into is None:
        return answer.read()
    into.seek(0)
    into.truncate()
    for chunk in answer.stream(_CHUNK):
        into.write(chunk)
    return b""


def _printed_error(status: int, body: bytes) -> str:
    """Return an error as Google's libraries for Go print it."""
    try:
        error = json.loads(body)["error"]
        return f"googleapi: Error {status}: {error['message']}, {error['errors'][0]['reason']}"
    except (ValueError, KeyError, TypeError, IndexError):
        return (
            f"googleapi: got HTTP response code {status} with body: {body.decode(errors='replace').strip()}"
        )
