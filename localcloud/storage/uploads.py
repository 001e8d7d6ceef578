"""The three ways in which an object's bytes arrive: media, multipart and resumable; up to the moment when they are whole.

A request is looked at in two steps. `Uploads.request` reads as much of it as says what it is, so that a fault can be chosen by
the object's name; `Uploads.answer` does the rest.
"""

from __future__ import annotations

import re
import secrets
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from werkzeug import Request, Response

from localcloud.errors import ApiError, invalid
from localcloud.service import Caller, Json
from localcloud.storage.content import CHUNK, Content, Multipart, announced_in
from localcloud.storage.preconditions import Conditions
from localcloud.storage.resource import check_params, editable
from localcloud.storage.writing import Draft, Writing

if TYPE_CHECKING:
    from localcloud.discovery import Method
    from localcloud.faults import Fault

INSERT = "storage.objects.insert"
# The steps of a resumable upload before its last chunk, which is the insert; faults may act on them too.
START, PART, STATUS, CANCEL = (f"storage.resumable.{step}" for step in ("start", "chunk", "status", "cancel"))

# Google stores whole blocks of this size until the end is known.
_BLOCK = 256 << 10
_SESSIONS = 1000
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(?:(\d+)|\*)")
_CLOSED_REQUEST = 499


@dataclass
class Session:
    """A resumable upload under way, or done (`result`)."""

    draft: Draft
    content: Content
    lock: threading.Lock = field(default_factory=threading.Lock)
    result: Json | None = None


@dataclass(frozen=True)
class Range:
    """A Content-Range header. `start` is None when the request brings no bytes, `total` when it does not tell."""

    start: int | None
    total: int | None
    end: int | None = None

    @classmethod
    def of(cls, header: str | None) -> Range:
        """Read the header; without one, the request brings everything. Raises a 400."""
        if header is None:
            return cls(0, None, None)
        found = _RANGE.fullmatch(header.strip())
        if found is None:
            raise invalid(f"Failed to parse Content-Range header: '{header}'.")
        start, end, total = (None if text is None else int(text) for text in found.groups())
        return cls(start, total, None if end is None else end + 1)

    def completes(self, received: int) -> bool:
        """Tell whether the upload is whole after this request, if that many bytes are there already."""
        if self.start is None:
            return self.total == received
        return self.end == self.total


@dataclass(frozen=True)
class Upload:
    """One request of an upload, as far as it has been read: `method` says which step it is."""

    method: str
    bucket: str
    name: str
    params: Mapping[str, str]
    metadata: Json
    content_type: str
    rest: Iterable[bytes]
    session: Session | None = None
    range: Range | None = None


class Uploads:
    """Uploads of one store, with the resumable ones under way. Those end with the process, unlike Google's."""

    def __init__(self, writing: Writing, scratch: Path) -> None:
        self._writing = writing
        self._scratch = scratch
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._guard = threading.Lock()

    def close(self) -> None:
        """Drop what has arrived of uploads that did not end."""
        for session in self._sessions.values():
            session.content.close()

    def request(self, request: Request, params: Mapping[str, str], method: Method) -> Upload:
        """Read what a request is about; raises Google's 4xx."""
        kind = params.get("uploadType", "")
        if "upload_id" in params:
            return self._continued(request, params)
        if request.method != "POST":
            raise invalid("An upload begins with a POST.")
        kind_of_body = request.headers.get("Content-Type", "")
        rest: Iterable[bytes] = ()
        metadata: Json = {}
        if kind == "multipart":
            multipart = Multipart(request.stream, kind_of_body)
            metadata = method.check_request(b"".join(multipart.part()[1]))
            kind_of_body, rest = multipart.part()
        elif kind == "resumable":
            metadata = method.check_request(request.get_data())
            kind_of_body = request.headers.get("X-Upload-Content-Type", "")
        elif kind == "media":
            rest = iter(lambda: request.stream.read(CHUNK), b"")
        else:
            raise invalid(f"Invalid upload type '{kind}': it must be media, multipart or resumable.")
        return Upload(
            method=START if kind == "resumable" else INSERT,
            bucket=params["bucket"],
            name=params.get("name") or metadata.get("name", ""),
            params=params,
            metadata=metadata,
            content_type=kind_of_body,
            rest=rest,
        )

    def answer(
        self, upload: Upload, request: Request, caller: Caller, fault: Fault | None
    ) -> Response | Json:
        """Carry a request out; a JSON is the resource of the object that is now stored."""
        if upload.session is not None:
            with upload.session.lock:
                return self._advance(upload, upload.session, request, fault)
        draft = _draft(upload, request.headers.get("X-Goog-Hash"), caller)
        self._writing.begin(draft)
        if upload.method == START:
            return self._started(draft, request)
        content = Content(self._scratch)
        try:
            for data in upload.rest:
                content.append(data)
            return self._writing.insert(draft, content, fault)
        finally:
            content.close()

    def _started(self, draft: Draft, request: Request) -> Response:
        upload_id = secrets.token_urlsafe(24)
        with self._guard:
            self._sessions[upload_id] = Session(draft, Content(self._scratch))
            while len(self._sessions) > _SESSIONS:
                _, oldest = self._sessions.popitem(last=False)
                oldest.content.close()
        query = request.query_string.decode()
        location = f"{request.host_url}upload/storage/v1/b/{draft.bucket}/o?{query}&upload_id={upload_id}"
        return Response(headers={"Location": location, "X-GUploader-UploadID": upload_id})

    def _continued(self, request: Request, params: Mapping[str, str]) -> Upload:
        session = self._sessions.get(params["upload_id"])
        if session is None:
            raise ApiError(404, "notFound", "There is no upload of this upload_id; begin it again.")
        brought = Range.of(request.headers.get("Content-Range"))
        if request.method == "DELETE":
            method = CANCEL
        elif session.result is None and brought.completes(session.content.size):
            method = INSERT
        else:
            method = STATUS if brought.start is None else PART
        return Upload(
            method=method,
            bucket=session.draft.bucket,
            name=session.draft.name,
            params=params,
            metadata={},
            content_type="",
            rest=iter(lambda: request.stream.read(CHUNK), b""),
            session=session,
            range=brought,
        )

    def _advance(
        self, upload: Upload, session: Session, request: Request, fault: Fault | None
    ) -> Response | Json:
        """Take the next bytes of a resumable upload; store the object when they were the last."""
        if session.result is not None:
            return session.result
        if upload.method == CANCEL:
            self._end(session)
            return Response(status=f"{_CLOSED_REQUEST} Client Closed Request")
        brought = upload.range or Range(None, None)
        if brought.start is not None:
            self._take(session, brought, upload.rest)
        if upload.method != INSERT:
            return _incomplete(session.content.size)
        if brought.total not in {None, session.content.size}:
            raise invalid(
                f"The upload has {session.content.size} bytes, but its Content-Range says {brought.total}."
            )
        draft = _with_hashes(session.draft, request.headers.get("X-Goog-Hash"))
        try:
            session.result = self._writing.insert(draft, session.content, fault)
        except ApiError as error:
            # What would fail again must begin again; after anything else the same bytes may be sent once more.
            if error.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.PRECONDITION_FAILED}:
                self._end(session)
            raise
        session.content.close()
        return session.result

    def _take(self, session: Session, brought: Range, rest: Iterable[bytes]) -> None:
        """Append the bytes that are new. Those of a lost answer come twice; those of a gap are refused.

        When the connection breaks, what has come so far stays, and the client asks from where to go on.
        """
        known = session.content.size - (brought.start or 0)
        if known < 0:
            raise invalid(
                f"Invalid request.  According to the Content-Range header, the upload offset is {brought.start} "
                f"byte(s), which exceeds already uploaded size of {session.content.size} byte(s)."
            )
        limit = sys.maxsize
        if brought.end != brought.total and brought.end is not None:
            limit = brought.end // _BLOCK * _BLOCK
        for data in rest:
            session.content.append(data[known : known + max(0, limit - session.content.size)])
            known = max(0, known - len(data))

    def _end(self, session: Session) -> None:
        session.content.close()
        with self._guard:
            for upload_id in [key for key, value in self._sessions.items() if value is session]:
                del self._sessions[upload_id]


def _draft(upload: Upload, hashes: str | None, caller: Caller) -> Draft:
    check_params(upload.params)
    metadata = upload.metadata
    fields = editable(metadata)
    fields.setdefault("contentType", upload.content_type or "application/octet-stream")
    if upload.params.get("contentEncoding"):
        fields["contentEncoding"] = upload.params["contentEncoding"]
    if metadata.get("storageClass"):
        fields["storageClass"] = metadata["storageClass"]
    named = {"crc32c": metadata.get("crc32c"), "md5": metadata.get("md5Hash")}
    announced = {key: value for key, value in named.items() if value} | announced_in(hashes)
    conditions = Conditions.of(upload.params)
    return Draft(upload.bucket, upload.name, fields, conditions, announced, caller)


def _with_hashes(draft: Draft, header: str | None) -> Draft:
    announced = {**draft.announced, **announced_in(header)}
    return Draft(draft.bucket, draft.name, draft.fields, draft.conditions, announced, draft.caller)


def _incomplete(size: int) -> Response:
    """Return the answer between chunks; without a Range while nothing has arrived."""
    headers = {"Range": f"bytes=0-{size - 1}"} if size else {}
    return Response(status=HTTPStatus.PERMANENT_REDIRECT, headers=headers)
