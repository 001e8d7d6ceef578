"""The three ways to send an object's bytes: media, multipart and resumable.

A request is handled in two steps. `Uploads.request` reads its beginning, up to the object's name, so that a fault can
match by that name. `Uploads.respond` reads the rest and stores the object.
"""

from __future__ import annotations

import re
import secrets
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path

from werkzeug import Request, Response

from localcloud.core.bodies import without_nulls
from localcloud.core.caller import Caller
from localcloud.core.discovery import Method
from localcloud.core.errors import ApiError, invalid
from localcloud.core.faults import Fault
from localcloud.core.service import Json
from localcloud.services.storage.calls_objects import Draft, Objects
from localcloud.services.storage.content import Content, Multipart, announced_in, chunks
from localcloud.services.storage.rules import Conditions, check_params, object_fields

INSERT = "storage.objects.insert"
# The steps of a resumable upload before its last chunk, which is the insert. Faults may act on them too.
START, PART, STATUS, CANCEL = (f"storage.resumable.{step}" for step in ("start", "chunk", "status", "cancel"))

# Google stores whole blocks of this size until it knows where the upload ends.
_BLOCK = 256 << 10
_SESSIONS = 1000
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(?:(\d+)|\*)")
_CLIENT_CLOSED_REQUEST = "499 Client Closed Request"


@dataclass
class Session:
    """A resumable upload. `result` is the object's resource, once the upload is complete."""

    draft: Draft
    content: Content
    lock: threading.Lock = field(default_factory=threading.Lock)
    result: Json | None = None


@dataclass(frozen=True)
class ContentRange:
    """A Content-Range header. `start` is None in a request without bytes, `end` and `total` if they are not given."""

    start: int | None
    end: int | None
    total: int | None

    @classmethod
    def of(cls, header: str | None) -> ContentRange:
        """Return the parsed header; a request without one brings the whole content. Raises a 400."""
        if header is None:
            return cls(0, None, None)
        found = _RANGE.fullmatch(header.strip())
        if found is None:
            raise invalid(f"Failed to parse Content-Range header: '{header}'.")
        start, last, total = (None if text is None else int(text) for text in found.groups())
        return cls(start, None if last is None else last + 1, total)

    def completes(self, received: int) -> bool:
        """True if the upload is complete after this request, when so many bytes were there before it."""
        return self.total == (received if self.start is None else self.end)


@dataclass(frozen=True)
class Upload:
    """One request of an upload. `method` names its step; `rest` are the bytes still to read."""

    method: str
    bucket: str
    name: str
    params: Mapping[str, str]
    metadata: Json
    content_type: str
    rest: Iterable[bytes]
    session: Session | None = None


class Uploads:
    """All uploads of one service, among them the resumable ones that are under way."""

    def __init__(self, objects: Objects, scratch: Path) -> None:
        self._objects = objects
        self._scratch = scratch
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._guard = threading.Lock()

    def close(self) -> None:
        """Drop the resumable uploads that are under way."""
        with self._guard:
            for session in self._sessions.values():
                session.content.close()

    def request(self, request: Request, params: Mapping[str, str], method: Method) -> Upload:
        """Return what a request is; reads metadata that comes before the content. Raises a 400 or 404."""
        if "upload_id" in params:
            return self._continued(request, params)
        if request.method != "POST":
            raise invalid("An upload begins with a POST.")
        kind = params.get("uploadType", "")
        metadata: Json = {}
        rest: Iterator[bytes] = iter(())
        content_type = request.headers.get("Content-Type", "")
        if kind == "multipart":
            multipart = Multipart(request.stream, content_type)
            metadata = without_nulls(method.check_request(b"".join(multipart.part()[1])))
            content_type, rest = multipart.part()
        elif kind == "resumable":
            metadata = without_nulls(method.check_request(request.get_data()))
            content_type = request.headers.get("X-Upload-Content-Type", "")
        elif kind == "media":
            rest = chunks(request.stream)
        else:
            raise invalid(f"Invalid upload type '{kind}': it must be media, multipart or resumable.")
        name = params.get("name") or metadata.get("name", "")
        step = START if kind == "resumable" else INSERT
        return Upload(step, params["bucket"], name, params, metadata, content_type, rest)

    def respond(
        self, upload: Upload, request: Request, caller: Caller, fault: Fault | None
    ) -> Response | Json:
        """Do what a request says; returns the resource of the object if it is now stored."""
        if upload.session is not None:
            with upload.session.lock:
                return self._advance(upload, upload.session, request, fault)
        draft = _draft(upload, request.headers.get("X-Goog-Hash"), caller)
        self._objects.check(draft)
        if upload.method == START:
            return self._started(draft, request)
        with closing(Content(self._scratch)) as content:
            content.append(upload.rest)
            return self._objects.insert(draft, content, fault)

    def _started(self, draft: Draft, request: Request) -> Response:
        upload_id = secrets.token_urlsafe(24)
        with self._guard:
            self._sessions[upload_id] = Session(draft, Content(self._scratch))
            while len(self._sessions) > _SESSIONS:
                _, oldest = self._sessions.popitem(last=False)
                oldest.content.close()
        query = request.query_string.decode()
        location = f"{request.host_url}upload/storage/v1/b/{draft.key[0]}/o?{query}&upload_id={upload_id}"
        return Response(headers={"Location": location, "X-GUploader-UploadID": upload_id})

    def _continued(self, request: Request, params: Mapping[str, str]) -> Upload:
        session = self._sessions.get(params["upload_id"])
        if session is None:
            raise ApiError(404, "notFound", "There is no upload of this upload_id; begin it again.")
        brought = ContentRange.of(request.headers.get("Content-Range"))
        if request.method == "DELETE":
            method = CANCEL
        elif session.result is None and brought.completes(session.content.size):
            method = INSERT
        else:
            method = STATUS if brought.start is None else PART
        return Upload(method, *session.draft.key, params, {}, "", chunks(request.stream), session)

    def _advance(
        self, upload: Upload, session: Session, request: Request, fault: Fault | None
    ) -> Response | Json:
        """Take the next bytes of a resumable upload, and store the object if they were the last."""
        if session.result is not None:
            return session.result
        if upload.method == CANCEL:
            self._end(session)
            return Response(status=_CLIENT_CLOSED_REQUEST)
        brought = ContentRange.of(request.headers.get("Content-Range"))
        if brought.start is not None:
            _take(session.content, brought, upload.rest)
        if upload.method != INSERT:
            return _incomplete(session.content.size)
        if brought.total not in {None, session.content.size}:
            raise invalid(
                f"The upload has {session.content.size} bytes, but its Content-Range says {brought.total}."
            )
        announced = {**session.draft.announced, **announced_in(request.headers.get("X-Goog-Hash"))}
        try:
            session.result = self._objects.insert(
                replace(session.draft, announced=announced), session.content, fault
            )
        except ApiError as error:
            # After these the client must begin again. After any other error it may send the last bytes again.
            if error.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.PRECONDITION_FAILED}:
                self._end(session)
            raise
        session.content.close()
        return session.result

    def _end(self, session: Session) -> None:
        session.content.close()
        with self._guard:
            for upload_id in [key for key, value in self._sessions.items() if value is session]:
                del self._sessions[upload_id]


def _draft(upload: Upload, hashes: str | None, caller: Caller) -> Draft:
    check_params(upload.params)
    metadata = upload.metadata
    fields = {"contentType": upload.content_type or "application/octet-stream"} | object_fields(metadata)
    if upload.params.get("contentEncoding"):
        fields["contentEncoding"] = upload.params["contentEncoding"]
    named = {"crc32c": metadata.get("crc32c"), "md5": metadata.get("md5Hash")}
    announced = {key: value for key, value in named.items() if value} | announced_in(hashes)
    return Draft((upload.bucket, upload.name), fields, Conditions.of(upload.params), announced, caller)


def _take(content: Content, brought: ContentRange, rest: Iterable[bytes]) -> None:
    """Append the bytes that are new: bytes sent again after a lost reply are skipped. Raises a 400 for a gap."""
    skip = content.size - (brought.start or 0)
    if skip < 0:
        raise invalid(
            f"Invalid request.  According to the Content-Range header, the upload offset is {brought.start} "
            f"byte(s), which exceeds already uploaded size of {content.size} byte(s)."
        )
    last = brought.end is None or brought.end == brought.total
    limit = sys.maxsize if last else (brought.end or 0) // _BLOCK * _BLOCK
    content.append(_between(rest, skip, limit - content.size))


def _between(data: Iterable[bytes], skip: int, size: int) -> Iterator[bytes]:
    """Yield at most `size` bytes after the first `skip`, and read `data` to its end."""
    for piece in data:
        new = piece[skip : skip + max(0, size)]
        skip = max(0, skip - len(piece))
        size -= len(new)
        if new:
            yield new


def _incomplete(size: int) -> Response:
    """Return the answer between chunks. It has no Range while nothing has arrived."""
    headers = {"Range": f"bytes=0-{size - 1}"} if size else {}
    return Response(status=HTTPStatus.PERMANENT_REDIRECT, headers=headers)
