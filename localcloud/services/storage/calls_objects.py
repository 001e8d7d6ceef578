"""The object methods: each checks permission and preconditions, then reads or changes the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from localcloud.core.caller import Caller
from localcloud.core.errors import invalid
from localcloud.core.faults import Fault
from localcloud.core.iam import Iam
from localcloud.core.service import Call, Handler, Json
from localcloud.services.storage import refusals
from localcloud.services.storage.content import Content, chunks
from localcloud.services.storage.pace import Pace
from localcloud.services.storage.rules import (
    OBJECT_FIELDS,
    Conditions,
    check_etag,
    check_headers,
    check_object_name,
    check_params,
    object_fields,
    whole_number,
)
from localcloud.services.storage.state import Store
from localcloud.services.storage.state_index import METAGENERATION, Version
from localcloud.services.storage.views import bucket_name, object_etag, object_name, object_view
from localcloud.services.storage.views_listing import Query, answer, select

# Google's limit.
_MAX_SOURCES = 32

# The bucket and the name of an object.
Key = tuple[str, str]


@dataclass(frozen=True)
class Draft:
    """An upload without its bytes. `announced` are the hashes that the bytes have, as far as the caller says."""

    key: Key
    fields: Json
    conditions: Conditions
    announced: Mapping[str, str]
    caller: Caller


class Objects:
    """Handlers of the object methods, the download, and the two steps of an upload: `check` and `insert`."""

    def __init__(self, store: Store, iam: Iam, pace: Pace) -> None:
        self._store = store
        self._iam = iam
        self._pace = pace

    def handlers(self) -> Mapping[str, Handler]:
        """Return the handlers by method id, of methods whose content is JSON both ways."""
        return {
            "storage.objects.get": self.get,
            "storage.objects.list": self.list,
            "storage.objects.delete": self.delete,
            "storage.objects.compose": self.compose,
            "storage.objects.rewrite": self.rewrite,
        }

    def get(self, call: Call) -> Json:
        """Describe an object."""
        with self._existing(call.caller, "storage.objects.get", _key(call), call.params) as current:
            Conditions.of(call.params).check_read(*_numbers(current))
            check_etag(call.headers, object_etag(current), reading=True)
            return object_view(current)

    def open(self, call: Call) -> tuple[Version, BinaryIO]:
        """Return an object's version and its open file, which the caller closes."""
        with self._existing(call.caller, "storage.objects.get", _key(call), call.params) as current:
            Conditions.of(call.params).check_read(*_numbers(current))
            check_etag(call.headers, object_etag(current), reading=True)
            return current, self._store.open(current)

    def list(self, call: Call) -> Json:
        """List a bucket's objects. The permission is on the bucket: a condition on object names does not grant it."""
        bucket, query = call.params["bucket"], Query.of(call.params)
        self._store.check_bucket(bucket)
        call.require("storage.objects.list", bucket_name(bucket))
        check_params(call.params)
        found = self._store.objects(bucket, query.prefix)
        page = select(found, query)
        items = [object_view(found[name]) for name in page.names]
        return answer("storage#objects", page.token, items=items, prefixes=list(page.prefixes))

    def delete(self, call: Call) -> Json:
        """Delete an object."""
        with self._existing(call.caller, "storage.objects.delete", _key(call), call.params) as current:
            Conditions.of(call.params).check_write(*_numbers(current))
            check_etag(call.headers, object_etag(current), reading=False)
            self._pace.spend(current.bucket, current.name)
            self._store.remove(current)
        return {}

    def compose(self, call: Call) -> Json:
        """Join objects of one bucket, as gcloud does after it has uploaded the parts of a large file."""
        parts, bucket = call.body.get("sourceObjects") or [], call.params["destinationBucket"]
        if not 1 <= len(parts) <= _MAX_SOURCES:
            message = f"The number of source components provided ({len(parts)}) must be 1 to {_MAX_SOURCES}."
            raise invalid(message)
        if call.body.get("deleteSourceObjects"):
            raise refusals.not_covered("deleteSourceObjects")
        fields = object_fields(call.body.get("destination") or {})
        draft = _draft(call, fields)
        self.check(draft)
        with closing(Content(self._store.scratch)) as content:
            sources = [
                self._append(
                    content, call.caller, (bucket, part.get("name", "")), part, _part_conditions(part)
                )
                for part in parts
            ]
            count = sum(source.fields.get("componentCount", 1) for source in sources)
            # Google has no MD5 hash of a composite object.
            hashes = {key: value for key, value in content.fields().items() if key != "md5Hash"}
            return object_view(self._put(draft, content, fields | hashes | {"componentCount": count}))

    def rewrite(self, call: Call) -> Json:
        """Copy an object of any size in one call."""
        params = call.params
        key = params["sourceBucket"], params["sourceObject"]
        chosen = object_fields(call.body)
        draft = _draft(call, chosen)
        self.check(draft)
        with closing(Content(self._store.scratch)) as content:
            generation = {"generation": params.get("sourceGeneration")}
            source = self._append(content, call.caller, key, generation, Conditions.of(params, "ifSource"))
            # The request's fields replace those of the source: Google does not merge them.
            kept = {"crc32c", "md5Hash", "componentCount", *(() if chosen else OBJECT_FIELDS)}
            fields = {key: value for key, value in source.fields.items() if key in kept}
            made = self._put(draft, content, {"size": str(content.size)} | chosen | fields)
        return {
            "kind": "storage#rewriteResponse",
            "totalBytesRewritten": made.fields["size"],
            "objectSize": made.fields["size"],
            "done": True,
            "resource": object_view(made),
        }

    def check(self, draft: Draft) -> None:
        """Raise what `insert` would raise if the bytes were here."""
        with self._replacing(draft):
            pass

    def insert(self, draft: Draft, content: Content, fault: Fault | None) -> Json:
        """Store an upload whose bytes have arrived. Its conditions count as of now."""
        content.verify(draft.announced)
        announced = stored = draft.fields | content.fields()
        action = fault.action if fault else ""
        with self._replacing(draft):
            self._pace.spend(*draft.key)
            if action == "lose":
                return object_view(self._store.new_version(*draft.key, "", announced))
            if action == "corrupt":
                content.spoil()
            if fault and action == "truncate":
                stored = announced | content.truncate(int(fault.args["bytes"]))
            return object_view(self._store.put(*draft.key, content.path, stored)) | announced

    @contextmanager
    def _existing(
        self, caller: Caller, permission: str, key: Key, params: Mapping[str, object]
    ) -> Iterator[Version]:
        """Yield the live version of an object. It stays live until the block ends.

        Raises a 404 if the object does not exist in the generation that `params` name. A caller who may not list
        objects gets a 403 instead, as from Google.
        """
        bucket, name = key
        check_object_name(name)
        self._store.check_bucket(bucket)
        self._iam.require(caller, permission, object_name(bucket, name))
        generation = whole_number(params, "generation")
        with self._store.lock:
            current = self._store.current(bucket, name)
            if current is None or generation not in {None, current.generation}:
                if not self._iam.allowed(caller, "storage.objects.list", bucket_name(bucket)):
                    raise refusals.denied(caller, permission, object_name(bucket, name))
                raise refusals.no_such_object(bucket, name)
            yield current

    @contextmanager
    def _replacing(self, draft: Draft) -> Iterator[None]:
        """Keep everything as it is while the block replaces an object; raises what forbids it.

        To overwrite an object takes the permission to delete it.
        """
        bucket, name = draft.key
        check_object_name(name)
        check_headers(draft.fields)
        self._store.check_bucket(bucket)
        self._iam.require(draft.caller, "storage.objects.create", object_name(bucket, name))
        with self._store.lock:
            self._store.check_bucket(bucket)
            current = self._store.current(bucket, name)
            if current is not None:
                self._iam.require(draft.caller, "storage.objects.delete", object_name(bucket, name))
            draft.conditions.check_write(*_numbers(current))
            yield

    def _append(
        self, content: Content, caller: Caller, key: Key, params: Mapping[str, object], conditions: Conditions
    ) -> Version:
        """Add an object's bytes to `content` and return its version."""
        with self._existing(caller, "storage.objects.get", key, params) as source:
            conditions.check_write(*_numbers(source))
            file = self._store.open(source)
        with file:
            content.append(chunks(file))
        return source

    def _put(self, draft: Draft, content: Content, fields: Json) -> Version:
        with self._replacing(draft):
            self._pace.spend(*draft.key)
            return self._store.put(*draft.key, content.path, fields)


def _key(call: Call) -> Key:
    return call.params["bucket"], call.params["object"]


def _part_conditions(part: Json) -> Conditions:
    """Return the conditions on one source of a compose."""
    return Conditions.of(part.get("objectPreconditions") or {})


def _draft(call: Call, fields: Json) -> Draft:
    """Return the draft of the object that a compose or a rewrite makes."""
    check_params(call.params)
    key = call.params["destinationBucket"], call.params["destinationObject"]
    return Draft(key, fields, Conditions.of(call.params), {}, call.caller)


def _numbers(current: Version | None) -> tuple[int, int]:
    """Return generation and metageneration; those of an object that does not exist are 0, as Google documents."""
    return (current.generation, METAGENERATION) if current else (0, 0)
