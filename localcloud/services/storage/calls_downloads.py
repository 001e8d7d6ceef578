"""The answer that carries an object's bytes: ranges, and unpacking for callers that do not accept gzip."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from werkzeug import Request, Response
from werkzeug.datastructures import Range

from localcloud.core.http import json_response
from localcloud.services.storage.content import chunks, part_of
from localcloud.services.storage.refusals import range_not_satisfiable
from localcloud.services.storage.state_index import Version
from localcloud.services.storage.views import download_headers

_GZIP_WINDOW = 16 + zlib.MAX_WBITS


def download(version: Version, file: BinaryIO, request: Request) -> Response:
    """Return an object's bytes, or the requested part. The answer closes the file."""
    response = _response(version, file, request)
    response.call_on_close(file.close)
    return response


def _response(version: Version, file: BinaryIO, request: Request) -> Response:
    headers = download_headers(version)
    if headers.get("Content-Encoding") == "gzip" and "gzip" not in request.headers.get("Accept-Encoding", ""):
        # The length is unknown until the end, and Google ignores ranges here.
        del headers["Content-Encoding"]
        headers["Warning"] = "214 UploadServer gunzipped"
        return Response(_unpacked(file), 200, headers)
    size = os.fstat(file.fileno()).st_size
    wanted = request.range
    if wanted is None or wanted.units != "bytes" or len(wanted.ranges) != 1:
        return Response(part_of(file, 0, size), 200, headers | {"Content-Length": str(size)})
    first, end = wanted.ranges[0]
    # Of a suffix that is longer than the object, the whole object is meant.
    part = Range("bytes", [(max(first, -size), end)]).range_for_length(size)
    if part is None:
        error = range_not_satisfiable()
        refusal = json_response(error.response_json("storage"), error.status)
        # Google's client takes an object for empty by this header.
        refusal.headers["Content-Range"] = f"bytes */{size}"
        return refusal
    start, stop = part
    headers["Content-Length"] = str(stop - start)
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return Response(part_of(file, start, stop), 206, headers)


def _unpacked(file: BinaryIO) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    for data in chunks(file):
        yield unpacker.decompress(data)
    yield unpacker.flush()
