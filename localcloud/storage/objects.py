"""The methods that read, list, change or delete an object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from localcloud.errors import unimplemented
from localcloud.service import Call, Handler, Json
from localcloud.storage.access import Access, bucket_resource, object_resource
from localcloud.storage.listing import Query, select
from localcloud.storage.preconditions import Conditions
from localcloud.storage.resource import check_params, own_fields, patched, replaced
from localcloud.storage.store import Store

if TYPE_CHECKING:
    import urllib3


class Objects:
    """Handlers by method id, and the download."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    def handlers(self) -> Mapping[str, Handler]:
        """Return the methods whose content is JSON both ways."""
        return {
            "storage.objects.get": self.get,
            "storage.objects.list": self.list,
            "storage.objects.delete": self.delete,
            "storage.objects.patch": lambda call: self._amend(call, patched),
            "storage.objects.update": lambda call: self._amend(call, replaced),
            "storage.objects.testIamPermissions": self.test_permissions,
        }

    def get(self, call: Call) -> Json:
        """Describe an object."""
        with self._access.existing(call.caller, "storage.objects.get", _key(call), call.params) as current:
            Conditions.of(call.params).check_read(current)
            return current

    def download(
        self, call: Call, byte_range: Callable[[Json], str | None]
    ) -> tuple[Json, urllib3.BaseHTTPResponse]:
        """Open an object's stored bytes, of the very version that is described; the caller closes the answer.

        `byte_range` says from the description which part is wanted, as a Range header; None is all.
        """
        with self._access.existing(call.caller, "storage.objects.get", _key(call), call.params) as current:
            Conditions.of(call.params).check_read(current)
            return current, self._store.open(current["bucket"], current["name"], byte_range(current))

    def list(self, call: Call) -> Json:
        """List a bucket's objects. It is the bucket that is listed: a condition on objects' names does not allow it."""
        bucket, query = call.params["bucket"], Query.of(call.params)
        self._store.check_bucket(bucket)
        call.require("storage.objects.list", bucket_resource(bucket))
        if call.params.get("softDeleted") == "true" or call.params.get("filter"):
            raise unimplemented("localcloud's storage has no softDeleted and no filter in listings.")
        found = self._store.objects(bucket, query.prefix)
        page = select(found, query)
        answer: Json = {"kind": "storage#objects"}
        if page.token:
            answer["nextPageToken"] = page.token
        if page.prefixes:
            answer["prefixes"] = list(page.prefixes)
        if page.names:
            answer["items"] = [found[name] for name in page.names]
        return answer

    def delete(self, call: Call) -> Json:
        """Delete an object."""
        key = _key(call)
        with self._access.existing(call.caller, "storage.objects.delete", key, call.params) as current:
            Conditions.of(call.params).check_write(current)
            self._access.spend(key)
            self._store.remove(current)
        return {}

    def test_permissions(self, call: Call) -> Json:
        """Tell which of some permissions the caller has on an object."""
        resource = object_resource(*_key(call))
        return granted(call, resource)

    def _amend(self, call: Call, change: Callable[[Json, Json], Json]) -> Json:
        key = _key(call)
        check_params(call.params)
        with self._access.existing(call.caller, "storage.objects.update", key, call.params) as current:
            Conditions.of(call.params).check_write(current)
            fields = change(own_fields(current), call.body)
            self._access.spend(key)
            return self._store.amend(current, fields)


def granted(call: Call, resource: str) -> Json:
    """Return the answer of a testIamPermissions; its `permissions` parameter holds them joined by commas."""
    asked = call.params["permissions"].split(",")
    have = [permission for permission in asked if call.iam.allowed(call.caller, permission, resource)]
    return {"kind": "storage#testIamPermissionsResponse"} | ({"permissions": have} if have else {})


def _key(call: Call) -> tuple[str, str]:
    return call.params["bucket"], call.params["object"]
