"""Cloud Storage, JSON API: whole requests in, whole answers out. Finds the method, calls it, prints what it returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from werkzeug import Request, Response
from werkzeug.exceptions import ClientDisconnected

from localcloud.errors import ApiError, invalid, unimplemented
from localcloud.listener import json_response
from localcloud.service import Call, Caller, Handler, Json, fault_of
from localcloud.storage.access import Access
from localcloud.storage.buckets import Buckets
from localcloud.storage.downloads import download, unpacked
from localcloud.storage.fields import partial
from localcloud.storage.objects import Objects
from localcloud.storage.pace import Pace
from localcloud.storage.refusals import NotModified
from localcloud.storage.resource import with_links
from localcloud.storage.routes import PREFIXES, Route, route
from localcloud.storage.store import Store
from localcloud.storage.uploads import Upload, Uploads
from localcloud.storage.writing import Writing

if TYPE_CHECKING:
    from localcloud.clock import Clock
    from localcloud.faults import FaultPlan
    from localcloud.iam import Iam

_TASK = "localcloud.storage"
_OWN_KEY = "X-Goog-Encryption-Key"
_EMPTY = frozenset({"storage.objects.delete", "storage.buckets.delete"})


@dataclass(frozen=True)
class _Task:
    """A request, understood."""

    route: Route
    params: Mapping[str, str]
    body: Json
    upload: Upload | None

    @property
    def method(self) -> str:
        return self.upload.method if self.upload else self.route.method.id

    @property
    def download(self) -> bool:
        return self.route.kind == "download" or (
            self.params.get("alt") == "media" and self.route.method.id == "storage.objects.get"
        )


class StorageService:
    """A `RawService`. Objects outlive it: another one on the same state directory has them all.

    gs://BUCKET/OBJECT is the plain file `storage/BUCKET/OBJECT` below the state directory.
    """

    prefixes = PREFIXES

    def __init__(self, state_dir: Path, clock: Clock, iam: Iam, faults: FaultPlan) -> None:  # noqa: ARG002  the shape of all services
        self._iam = iam
        self._store = Store(state_dir, clock)
        access = Access(self._store, iam, Pace())
        self._objects = Objects(self._store, access)
        self._writing = Writing(self._store, access)
        self._buckets = Buckets(self._store)
        self._uploads = Uploads(self._writing, self._store.scratch)
        self._handlers: dict[str, Handler] = {
            **self._objects.handlers(),
            **self._writing.handlers(),
            **self._buckets.handlers(),
        }

    def close(self) -> None:
        """End fake-gcs-server."""
        self._uploads.close()
        self._store.close()

    def inventory(self) -> Mapping[str, list[Json]]:
        """Return all objects of all buckets."""
        return {
            "storage.objects": [
                {"bucket": bucket, "name": name, "size": int(item["size"])}
                for bucket in self._store.buckets()
                for name, item in sorted(self._store.objects(bucket, "").items())
            ]
        }

    def create_bucket(self, name: str) -> None:
        """Make a bucket unless it exists; raises `ApiError` for a name that no bucket may have."""
        if not self._store.has_bucket(name):
            self._buckets.make(name, {})

    def identify(self, request: Request) -> tuple[str, Mapping[str, Any]] | None:
        """Name the method and the facts by which a fault may match: parameters, scalars of the body, object and bucket."""
        task = self._task(request)
        facts: dict[str, Any] = {
            key: value for key, value in task.body.items() if isinstance(value, str | int | float | bool)
        }
        facts |= task.params
        if task.upload is not None:
            facts |= {"bucket": task.upload.bucket, "name": task.upload.name, "object": task.upload.name}
        return task.method, facts

    def respond(self, request: Request, caller: Caller) -> Response:
        """Answer a request; an `ApiError` raised is Google's answer."""
        task = self._task(request)
        try:
            if task.upload is not None:
                answer = self._uploads.answer(task.upload, request, caller, fault_of(request))
                return answer if isinstance(answer, Response) else self._printed(task, answer, request)
            call = Call(task.method, task.params, task.body, caller, fault_of(request), self._iam)
            if task.download:
                return self._downloaded(call, request)
            return self._printed(task, self._handlers[task.method](call), request)
        except NotModified:
            return Response(status=304)
        except ClientDisconnected as error:
            raise _cut_off() from error

    def _task(self, request: Request) -> _Task:
        """Understand a request, once: its beginning can be read only once."""
        if _TASK not in request.environ:
            try:
                request.environ[_TASK] = self._understood(request)
            except ClientDisconnected as error:
                raise _cut_off() from error
        task: _Task = request.environ[_TASK]
        return task

    def _understood(self, request: Request) -> _Task:
        found = route(request.method, request.environ["RAW_URI"].partition("?")[0])
        if _OWN_KEY in request.headers:
            raise unimplemented("localcloud's storage has no encryption with customers' keys.")
        query = dict(request.args.lists())
        if found.kind == "upload":
            # The later requests of a resumable upload repeat the parameters of the first, which were checked then.
            repeated = "upload_id" in request.args
            params = {**found.path, **request.args} if repeated else found.params(query)
            return _Task(found, params, {}, self._uploads.request(request, params, found.method))
        if found.method.id not in self._handlers:
            raise unimplemented(
                f"localcloud's storage has no {found.method.id}; localcloud/README.md says what it has."
            )
        params = found.params(query) | {key: request.args[key] for key in ("alt",) if key in request.args}
        return _Task(found, params, found.body(request.get_data()), None)

    def _printed(self, task: _Task, answer: Json, request: Request) -> Response:
        """Print an answer: with its links, checked against Google's schema, cut down to the fields asked for."""
        if task.route.method.id in _EMPTY:
            return Response(status=204)
        full = with_links(answer, request.host_url.rstrip("/"))
        problems = task.route.method.response_problems(full)
        if problems:
            message = f"the answer to {task.method} does not fit Google's schema: {problems[0]}"
            raise RuntimeError(message)
        return json_response(partial(full, task.params.get("fields")))

    def _downloaded(self, call: Call, request: Request) -> Response:
        def byte_range(current: Json) -> str | None:
            return None if unpacked(current, request) else request.headers.get("Range")

        current, stored = self._objects.download(call, byte_range)
        return download(current, stored, request)


def _cut_off() -> ApiError:
    """Nobody may be there to read it; but a VM that dies while it uploads is no bug of ours."""
    return invalid("The connection ended before the whole body had come.", "badContent")
