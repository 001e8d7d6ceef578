"""The service of Cloud Storage's JSON API: finds a request's method, calls it and prints its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote_to_bytes

from werkzeug import Request, Response
from werkzeug.exceptions import ClientDisconnected

from localcloud.core.bodies import without_nulls
from localcloud.core.caller import Caller
from localcloud.core.discovery import Match, load
from localcloud.core.errors import invalid
from localcloud.core.fields import partial
from localcloud.core.http import json_response
from localcloud.core.service import Call, Handler, Json, Part
from localcloud.services.storage.calls_buckets import Buckets
from localcloud.services.storage.calls_downloads import download
from localcloud.services.storage.calls_objects import Objects
from localcloud.services.storage.calls_uploads import Upload, Uploads
from localcloud.services.storage.pace import Pace
from localcloud.services.storage.refusals import NotModified, cut_off, not_covered
from localcloud.services.storage.state import UNIFORM, Store
from localcloud.services.storage.views import with_links

if TYPE_CHECKING:
    from localcloud.core.clock import Clock
    from localcloud.core.faults import Fault, FaultPlan
    from localcloud.core.iam import Iam

_TASK = "localcloud.services.storage"
_OWN_KEY = "X-Goog-Encryption-Key"
# The one method here for which null has a meaning: it removes a field.
_PATCH = "storage.buckets.patch"
_EMPTY = frozenset({"storage.objects.delete", "storage.buckets.delete"})
# Parameters of every method of the API, which Google's document lists nowhere.
_GENERAL = frozenset({"fields", "uploadType", "upload_id", "oauth_token", "userIp"})

Kind = Literal["json", "upload", "download"]
# Uploads and downloads have the addresses of their methods below other prefixes.
_PLAIN = "/storage/v1/"
_KINDS: Mapping[str, Kind] = {
    _PLAIN: "json",
    "/upload/storage/v1/": "upload",
    "/resumable/upload/storage/v1/": "upload",
    "/download/storage/v1/": "download",
}
_BATCH = "/batch/storage/v1"


@dataclass(frozen=True)
class _Task:
    """A parsed request. `upload` is None for all but an upload."""

    match: Match
    kind: Kind
    params: Mapping[str, str]
    body: Json
    upload: Upload | None

    @property
    def method(self) -> str:
        return self.upload.method if self.upload else self.match.method.id


class StorageService(Part):
    """A `RawService`. It has the objects that another one left in the same state directory."""

    service = "storage.googleapis.com"
    prefixes = (*_KINDS, _BATCH)

    def __init__(self, state_dir: Path, clock: Clock, iam: Iam, faults: FaultPlan) -> None:  # noqa: ARG002  the shape of all services
        self._iam = iam
        self._store = Store(state_dir, clock)
        self._objects = Objects(self._store, iam, Pace())
        self._buckets = Buckets(self._store)
        self._uploads = Uploads(self._objects, self._store.scratch)
        self._handlers: dict[str, Handler] = {**self._objects.handlers(), **self._buckets.handlers()}

    def close(self) -> None:
        """Drop unfinished uploads and close the store."""
        self._uploads.close()
        self._store.close()

    def inventory(self) -> Mapping[str, list[Json]]:
        """Return all objects of all buckets."""
        return {
            "storage.objects": [
                {"bucket": bucket, "name": name, "size": int(version.fields["size"])}
                for bucket in self._store.buckets()
                for name, version in sorted(self._store.objects(bucket, "").items())
            ]
        }

    def create_bucket(self, name: str) -> None:
        """Make a bucket with uniform access, unless it exists.

        Raise `ApiError` for a name that no bucket may have.
        """
        if not self._store.has_bucket(name):
            self._buckets.make(name, UNIFORM)

    def identify(self, request: Request) -> tuple[str, Mapping[str, Any]] | None:
        """Return the method, and the facts that a fault may match: parameters, scalars of the body, object, bucket."""
        task = self._task(request)
        facts: dict[str, Any] = {
            key: value for key, value in task.body.items() if isinstance(value, str | int | float | bool)
        }
        facts |= task.params
        if task.upload is not None:
            facts |= {"bucket": task.upload.bucket, "name": task.upload.name, "object": task.upload.name}
        return task.method, facts

    def respond(self, request: Request, caller: Caller, fault: Fault | None) -> Response:
        """Answer a request; an `ApiError` raised is Google's answer."""
        task = self._task(request)
        try:
            if task.upload is not None:
                answer = self._uploads.respond(task.upload, request, caller, fault)
                return answer if isinstance(answer, Response) else _printed(task, answer, request)
            headers = {name.lower(): value for name, value in request.headers.items()}
            call = Call(task.method, task.params, task.body, caller, fault, self._iam, headers)
            if task.kind == "download":
                return download(*self._objects.open(call), request)
            return _printed(task, self._handlers[task.method](call), request)
        except NotModified:
            return Response(status=304)
        except ClientDisconnected as error:
            raise cut_off() from error

    def _task(self, request: Request) -> _Task:
        """Parse a request, once: its beginning can be read only once."""
        if _TASK not in request.environ:
            try:
                request.environ[_TASK] = self._parsed(request)
            except ClientDisconnected as error:
                raise cut_off() from error
        task: _Task = request.environ[_TASK]
        return task

    def _parsed(self, request: Request) -> _Task:
        match, kind = _match(request.method, request.environ["RAW_URI"].partition("?")[0])
        if _OWN_KEY in request.headers:
            raise not_covered("encryption with customers' keys")
        if kind == "upload" and {"If-Match", "If-None-Match"} & set(request.headers.keys()):
            raise not_covered("etags as conditions of an upload: use ifGenerationMatch")
        if kind == "upload":
            # Google's clients repeat the parameters of a resumable upload in its later requests.
            params = (
                {**match.params, **request.args} if "upload_id" in request.args else _params(match, request)
            )
            return _Task(match, kind, params, {}, self._uploads.request(request, params, match.method))
        if match.method.id not in self._handlers:
            raise not_covered(match.method.id)
        params = _params(match, request) | {key: request.args[key] for key in ("alt",) if key in request.args}
        if match.method.id == "storage.objects.get" and params.get("alt") == "media":
            kind = "download"
        body = match.method.check_request(request.get_data())
        if match.method.id != _PATCH:
            body = without_nulls(body)
        return _Task(match, kind, params, body, None)


def _match(verb: str, path: str) -> tuple[Match, Kind]:
    """Return a request's method; `path` is not yet unquoted. Raises a 400, or a 501 for a method that is not here."""
    try:
        unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        raise invalid(f"The path '{path}' is not UTF-8.") from None
    if path.startswith(_BATCH):
        raise not_covered("batch requests: make the calls one by one, without client.batch()")
    for prefix, kind in _KINDS.items():
        if path.startswith(prefix):
            # All requests of an upload belong to the insert.
            effective = "POST" if kind == "upload" else verb
            found = load("storage.v1").match(effective, _PLAIN + path.removeprefix(prefix))
            if found is not None and _fits(found.method.id, kind):
                return found, kind
    raise not_covered(f"{verb} {path}")


def _fits(method: str, kind: Kind) -> bool:
    if kind == "json":
        return True
    return method == ("storage.objects.insert" if kind == "upload" else "storage.objects.get")


def _params(match: Match, request: Request) -> dict[str, str]:
    """Return all parameters; raises Google's 400 for one that the method does not have."""
    query = dict(request.args.lists())
    own = {name: values for name, values in query.items() if name not in _GENERAL}
    general = {name: values[-1] for name, values in query.items() if name in _GENERAL}
    return general | match.method.check_params(match.params, own)


def _printed(task: _Task, answer: Json, request: Request) -> Response:
    """Return an answer with links, checked against Google's schema, with only the fields asked for."""
    if task.match.method.id in _EMPTY:
        return Response(status=204)
    full = with_links(answer, request.host_url.rstrip("/"))
    problems = task.match.method.response_problems(full)
    if problems:
        message = f"the answer to {task.method} does not fit Google's schema: {problems[0]}"
        raise RuntimeError(message)
    return json_response(partial(full, task.params.get("fields")))
