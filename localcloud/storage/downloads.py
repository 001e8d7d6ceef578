"""The answer that carries an object's bytes: headers, ranges, and unpacking for callers that do not take gzip."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

from werkzeug import Request, Response

from localcloud.errors import ApiError
from localcloud.service import Json
from localcloud.storage.content import CHUNK

if TYPE_CHECKING:
    import urllib3

_UNSATISFIABLE = 416
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


def unpacked(current: Json, request: Request) -> bool:
    """Tell whether the bytes are to be unpacked on the way: stored with gzip, for a caller that does not accept it."""
    accepted = request.headers.get("Accept-Encoding", "")
    return current.get("contentEncoding") == "gzip" and "gzip" not in accepted


def download(current: Json, stored: urllib3.BaseHTTPResponse, request: Request) -> Response:
    """Return an object's bytes, or the part that was asked for; raises a 416 for a part that is not there."""
    if stored.status == _UNSATISFIABLE:
        stored.close()
        raise ApiError(_UNSATISFIABLE, "requestedRangeNotSatisfiable", "Request range not satisfiable")
    headers = _headers(current)
    if unpacked(current, request):
        # The length is not known beforehand, and Google ignores ranges here.
        del headers["Content-Encoding"]
        headers["Warning"] = "214 UploadServer gunzipped"
        return _closing(Response(_unzipped(stored), 200, headers), stored)
    for name in ("Content-Length", "Content-Range"):
        if name in stored.headers:
            headers[name] = stored.headers[name]
    return _closing(Response(_bytes(stored), stored.status, headers), stored)


def _headers(current: Json) -> dict[str, str]:
    encoding = current.get("contentEncoding", "")
    hashes = [f"crc32c={current['crc32c']}"]
    if "md5Hash" in current:
        hashes.append(f"md5={current['md5Hash']}")
    optional = {
        "Content-Encoding": encoding,
        "Content-Language": current.get("contentLanguage", ""),
        "Content-Disposition": current.get("contentDisposition", ""),
    }
    custom = {
        f"X-Goog-Meta-{quote(key)}": quote(text, safe=" !#$&'()*+,/:;=?@[]\"<>{}|^`~")
        for key, text in current.get("metadata", {}).items()
    }
    return {
        "Content-Type": current.get("contentType", "application/octet-stream"),
        "Cache-Control": current.get("cacheControl", "no-cache, no-store, max-age=0, must-revalidate"),
        "Accept-Ranges": "bytes",
        "ETag": current["etag"],
        "X-Goog-Generation": current["generation"],
        "X-Goog-Metageneration": current["metageneration"],
        "X-Goog-Storage-Class": current["storageClass"],
        "X-Goog-Hash": ",".join(hashes),
        "X-Goog-Stored-Content-Encoding": encoding or "identity",
        "X-Goog-Stored-Content-Length": current["size"],
        **{name: value for name, value in optional.items() if value},
        **custom,
    }


def _closing(response: Response, stored: urllib3.BaseHTTPResponse) -> Response:
    """Have the backend's answer closed with ours, even if nobody begins to read it."""
    response.call_on_close(stored.close)
    return response


def _bytes(stored: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    return stored.stream(CHUNK, decode_content=False)


def _unzipped(stored: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    for data in _bytes(stored):
        yield unpacker.decompress(data)
    yield unpacker.flush()
