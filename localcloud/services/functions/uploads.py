"""Source archives: the URLs for uploads without a token, and the archives' places."""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from werkzeug import Request, Response

from localcloud.core.caller import Caller
from localcloud.core.errors import ApiError, forbidden, invalid, not_found
from localcloud.core.faults import Fault
from localcloud.core.iam import PROJECT_NUMBER
from localcloud.core.service import Part

Json = dict[str, Any]

UPLOAD = "cloudfunctions.upload"
"""The method name of the upload of an archive in fault plans. No API has it."""

_PREFIX = "/_functions/upload/"
_VALID_SECONDS = 1800.0
_KEPT_SECONDS = 86_400.0
_CONTENT_TYPE = "application/zip"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class _Allowed:
    """The target of an upload URL; `until` is a time on the virtual clock."""

    secret: str
    until: float


class Uploads(Part):
    """Makes upload URLs, and answers at them. `url` is localcloud's address, `now` its time."""

    service = ""
    prefixes = (_PREFIX,)

    def __init__(self, folder: Path, url: Callable[[], str], now: Callable[[], float]) -> None:
        self._folder = folder
        self._url = url
        self._now = now
        self._lock = threading.Lock()
        self._allowed: dict[tuple[str, str], _Allowed] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            if old.stat().st_mtime < time.time() - _KEPT_SECONDS:
                old.unlink()

    def offer(self, location: str) -> Json:
        """Return a `GenerateUploadUrlResponse`: a secret URL, and the place of its archive."""
        bucket = f"gcf-v2-uploads-{PROJECT_NUMBER}.{location}.cloudfunctions.appspot.com"
        name, allowed = f"{uuid.uuid4()}.zip", _Allowed(secrets.token_hex(32), self._now() + _VALID_SECONDS)
        with self._lock:
            self._allowed[bucket, name] = allowed
        return {
            "uploadUrl": f"{self._url()}{_PREFIX}{bucket}/{name}?X-Goog-Signature={allowed.secret}",
            "storageSource": {"bucket": bucket, "object": name},
        }

    def find(self, bucket: str, name: str) -> Path | None:
        """Return the path of an uploaded archive; None if it is missing or in another bucket."""
        file = self._folder / name
        ours = bucket.startswith(f"gcf-v2-uploads-{PROJECT_NUMBER}.") and "/" not in name
        return file if ours and file.is_file() else None

    def identify(self, request: Request) -> tuple[str, Mapping[str, Any]] | None:
        """Return an upload's method for the fault plan."""
        return (UPLOAD, {}) if request.method == "PUT" else None

    def respond(self, request: Request, _caller: Caller, _fault: Fault | None) -> Response:
        """Take an archive; raises `ApiError` 400, 403 or 404 as signed URLs of Cloud Storage do."""
        bucket, _, name = request.path.removeprefix(_PREFIX).partition("/")
        with self._lock:
            allowed = self._allowed.get((bucket, name))
        if allowed is None:
            raise not_found("The specified key does not exist: no upload URL of localcloud's has this path.")
        _check(request, allowed, self._now())
        self._write(request, name)
        return Response(status=200)

    def _write(self, request: Request, name: str) -> None:
        fresh = self._folder / f"{name}.{secrets.token_hex(4)}.new"
        try:
            with fresh.open("wb") as file:
                while chunk := request.stream.read(_CHUNK):
                    file.write(chunk)
            length = request.content_length
            if length is not None and fresh.stat().st_size != length:
                raise invalid("The upload ended before its Content-Length.")
            fresh.replace(self._folder / name)
        finally:
            fresh.unlink(missing_ok=True)


def _check(request: Request, allowed: _Allowed, now: float) -> None:
    if request.method != "PUT":
        raise ApiError(405, "methodNotAllowed", "An upload URL takes a PUT only.")
    if "Authorization" in request.headers:
        raise invalid("An upload URL is signed: send no Authorization header with it.")
    if not secrets.compare_digest(request.args.get("X-Goog-Signature", ""), allowed.secret):
        raise forbidden("SignatureDoesNotMatch: The request signature does not match the upload URL.")
    if request.headers.get("Content-Type", "") != _CONTENT_TYPE:
        raise forbidden(
            f"SignatureDoesNotMatch: The upload URL is signed for the header content-type: {_CONTENT_TYPE}."
        )
    if now > allowed.until:
        raise invalid("ExpiredToken: The upload URL has expired; ask for another.")
