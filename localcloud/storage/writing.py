"""The methods that make a new version of an object: upload, compose, copy."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from localcloud.errors import ApiError, invalid
from localcloud.faults import Fault
from localcloud.service import Call, Caller, Handler, Json
from localcloud.storage.access import Access, object_resource
from localcloud.storage.content import Content
from localcloud.storage.locks import Key
from localcloud.storage.names import check_object
from localcloud.storage.preconditions import Conditions, whole_number
from localcloud.storage.refusals import condition_not_met
from localcloud.storage.resource import EDITABLE, check_params, editable, resource
from localcloud.storage.store import Store

# Google's limit.
_MOST_SOURCES = 32


@dataclass(frozen=True)
class Draft:
    """An upload: everything about the object that is to be, but its bytes. `announced` are its hashes, as far as given."""

    bucket: str
    name: str
    fields: Json
    conditions: Conditions
    announced: Mapping[str, str]
    caller: Caller

    @property
    def key(self) -> Key:
        """The object's bucket and name."""
        return self.bucket, self.name


class Writing:
    """Handlers by method id, and the two steps of an upload: `begin` before its bytes, `insert` with them."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    def handlers(self) -> Mapping[str, Handler]:
        """Return the methods whose content is JSON both ways."""
        return {
            "storage.objects.compose": self.compose,
            "storage.objects.copy": self.copy,
            "storage.objects.rewrite": self.rewrite,
        }

    def begin(self, draft: Draft) -> None:
        """Raise what speaks against an upload already now, before its bytes have come."""
        if draft.conditions == Conditions():
            self._access.admit(draft.caller, draft.key)
            return
        with self._access.writing(draft.caller, draft.key, draft.conditions):
            pass

    def insert(self, draft: Draft, content: Content, fault: Fault | None) -> Json:
        """Store an upload whose bytes have come; conditions count as of now."""
        content.verify(draft.announced)
        with self._access.writing(draft.caller, draft.key, draft.conditions):
            self._access.spend(draft.key)
            action = fault.action if fault else ""
            if fault and action == "truncate":
                return self._truncate(draft, content, int(fault.args["bytes"]))
            if action == "corrupt":
                described = _hashes(content)
                size = max(1, content.size)
                return self._store.put(*draft.key, size, _spoiled(content), draft.fields | described)
            if action == "lose":
                return _phantom(draft, content, self._store.now())
            return self._store.put(*draft.key, content.size, content.chunks(), draft.fields)

    def compose(self, call: Call) -> Json:
        """Join objects of one bucket."""
        bucket, name = call.params["destinationBucket"], call.params["destinationObject"]
        check_params(call.params)
        parts = call.body["sourceObjects"]
        if not 1 <= len(parts) <= _MOST_SOURCES:
            message = f"The number of source components provided ({len(parts)}) must be 1 to {_MOST_SOURCES}."
            raise invalid(message)
        if call.body.get("deleteSourceObjects"):
            raise ApiError(
                501, "notImplemented", "localcloud's storage has no deleteSourceObjects in compose."
            )
        keys = [(bucket, part["name"]) for part in parts]
        for _, part_name in keys:
            check_object(part_name)
        fields = editable(call.body.get("destination") or {})
        with self._access.writing(call.caller, (bucket, name), Conditions.of(call.params), keys):
            sources = [self._component(call, key, part) for key, part in zip(keys, parts, strict=True)]
            self._access.spend((bucket, name))
            return self._store.compose(sources, bucket, name, fields)

    def copy(self, call: Call) -> Json:
        """Copy an object."""
        made: Json = self.rewrite(call)["resource"]
        return made

    def rewrite(self, call: Call) -> Json:
        """Copy an object; always done in one call, whatever its size."""
        source = (call.params["sourceBucket"], call.params["sourceObject"])
        target = (call.params["destinationBucket"], call.params["destinationObject"])
        check_object(source[1])
        check_params(call.params)
        self._store.check_bucket(source[0])
        call.require("storage.objects.get", object_resource(*source))
        generation = whole_number(call.params, "sourceGeneration")
        with self._access.writing(call.caller, target, Conditions.of(call.params), [source]):
            current = self._access.present(call.caller, "storage.objects.get", source, generation)
            Conditions.of(call.params, "ifSource").check_write(current)
            self._access.spend(target)
            made = self._store.copy(current, *target, _copied(call.body, current))
        return {
            "kind": "storage#rewriteResponse",
            "totalBytesRewritten": made["size"],
            "objectSize": made["size"],
            "done": True,
            "resource": made,
        }

    def _component(self, call: Call, key: Key, part: Json) -> Json:
        """Return one source of a compose."""
        call.require("storage.objects.get", object_resource(*key))
        generation = whole_number(part, "generation")
        current = self._access.present(call.caller, "storage.objects.get", key, generation)
        wanted = whole_number(part.get("objectPreconditions") or {}, "ifGenerationMatch")
        if wanted not in {None, int(current["generation"])}:
            raise condition_not_met()
        return current

    def _truncate(self, draft: Draft, content: Content, limit: int) -> Json:
        """Store the beginning only, and answer as if it were all."""
        size = min(limit, content.size)
        made = self._store.put(*draft.key, size, content.chunks(size), draft.fields)
        return made | _hashes(content)


def _copied(body: Json, source: Json) -> Json:
    """Return the fields of a copy: those of the request if it sets any, else the source's. Google does not merge."""
    chosen = editable(body) or {key: source[key] for key in EDITABLE if key in source}
    return chosen | {"storageClass": body.get("storageClass") or source["storageClass"]}


def _hashes(content: Content) -> Json:
    return {"size": str(content.size), "crc32c": content.crc32c(), "md5Hash": content.md5()}


def _spoiled(content: Content) -> Iterator[bytes]:
    """Give the bytes with the first one changed; a NUL where there are none."""
    chunks = content.chunks()
    first = next(chunks, b"")
    yield bytes([first[0] ^ 0xFF]) + first[1:] if first else b"\0"
    yield from chunks


def _phantom(draft: Draft, content: Content, now: str) -> Json:
    """Describe the object that was not stored."""
    kind = {"contentType": "application/octet-stream", "storageClass": "STANDARD"}
    described = kind | draft.fields | _hashes(content) | {"timeCreated": now, "updated": now}
    described["generation"] = str(time.time_ns() // 1000)
    return resource(draft.bucket, draft.name, described, None)
