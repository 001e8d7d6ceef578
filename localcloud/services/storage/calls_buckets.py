"""The bucket methods: each checks permission and preconditions, then reads or changes the store."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from localcloud.core.errors import ApiError
from localcloud.core.iam import PROJECT
from localcloud.core.iam.calls import check_supported
from localcloud.core.service import Call, Handler, Json
from localcloud.services.storage import refusals
from localcloud.services.storage.rules import (
    BUCKET_CHANGES,
    BUCKET_FIELDS,
    Conditions,
    bucket_fields,
    check_bucket_name,
    merged,
)
from localcloud.services.storage.state import Store
from localcloud.services.storage.views import bucket_name, bucket_view, layout_view, uniform_access
from localcloud.services.storage.views_listing import Query, answer, select


class Buckets:
    """Handlers of the bucket methods."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def handlers(self) -> Mapping[str, Handler]:
        """Return the handlers by method id."""
        return {
            "storage.buckets.insert": self.insert,
            "storage.buckets.get": self.get,
            "storage.buckets.getStorageLayout": self.layout,
            "storage.buckets.list": self.list,
            "storage.buckets.delete": self.delete,
            "storage.buckets.patch": self.patch,
            "storage.buckets.getIamPolicy": self.policy,
            "storage.buckets.setIamPolicy": self.set_policy,
            "storage.buckets.testIamPermissions": self.test_permissions,
            "storage.managedFolders.list": self.managed_folders,
        }

    def make(self, name: str, settings: Json) -> Json:
        """Make a bucket and return its record; raises a 400 for a bad name, a 409 if it exists."""
        check_bucket_name(name)
        with self._store.lock:
            if self._store.has_bucket(name):
                raise refusals.bucket_exists()
            return self._store.set_bucket(name, settings)

    def insert(self, call: Call) -> Json:
        """Make a bucket."""
        call.require("storage.buckets.create", f"projects/{call.params.get('project', PROJECT)}")
        name = call.body["name"]
        settings = {key: value for key, value in bucket_fields(call.body, BUCKET_FIELDS).items() if value}
        return bucket_view(name, self.make(name, settings))

    def get(self, call: Call) -> Json:
        """Describe a bucket."""
        record = self._existing(call, "storage.buckets.get")
        _conditions(call).check_read(0, record["metageneration"])
        return bucket_view(call.params["bucket"], record)

    def layout(self, call: Call) -> Json:
        """Describe a bucket's layout."""
        return layout_view(call.params["bucket"], self._existing(call, "storage.objects.list"))

    def managed_folders(self, call: Call) -> Json:
        """List a bucket's managed folders: none, as no call makes one. gcloud asks before it deletes a bucket."""
        self._existing(call, "storage.managedFolders.list")
        return answer("storage#managedFolders", None, items=[])

    def list(self, call: Call) -> Json:
        """List the project's buckets."""
        call.require("storage.buckets.list", f"projects/{call.params.get('project', PROJECT)}")
        page = select(self._store.buckets(), Query.of(call.params))
        items = [bucket_view(name, self._store.bucket(name)) for name in page.names]
        return answer("storage#buckets", page.token, items=items)

    def delete(self, call: Call) -> Json:
        """Delete an empty bucket."""
        with self._store.lock:
            record = self._existing(call, "storage.buckets.delete")
            _conditions(call).check_write(0, record["metageneration"])
            self._store.remove_bucket(call.params["bucket"])
            call.iam.policies.remove(bucket_name(call.params["bucket"]))
        return {}

    def patch(self, call: Call) -> Json:
        """Change a bucket's labels or access settings."""
        name, change = call.params["bucket"], bucket_fields(call.body, BUCKET_CHANGES)
        with self._store.lock:
            record = self._existing(call, "storage.buckets.update")
            _conditions(call).check_write(0, record["metageneration"])
            return bucket_view(name, self._store.set_bucket(name, merged(record["settings"], change)))

    def policy(self, call: Call) -> Json:
        """Return a bucket's policy; below version 3, without conditions."""
        self._existing(call, "storage.buckets.getIamPolicy")
        version = int(call.params.get("optionsRequestedPolicyVersion", "1"))
        return _policy_view(call, version)

    def set_policy(self, call: Call) -> Json:
        """Replace a bucket's policy; raises a 412 for conditions without uniform access, and for an old etag."""
        record = self._existing(call, "storage.buckets.setIamPolicy")
        conditional = any(binding.get("condition") for binding in call.body.get("bindings", ()))
        if conditional and not uniform_access(record["settings"]):
            raise refusals.conditions_need_uniform_access()
        check_supported(call, call.body, "storage.buckets")
        try:
            call.iam.policies.set(bucket_name(call.params["bucket"]), call.body)
        except ApiError as error:
            if error.status == HTTPStatus.CONFLICT:  # other services' answer to the etag of an older policy
                raise refusals.condition_not_met() from error
            raise
        return _policy_view(call, 3)

    def test_permissions(self, call: Call) -> Json:
        """Return which of some permissions the caller has on a bucket."""
        self._store.check_bucket(call.params["bucket"])
        resource = bucket_name(call.params["bucket"])
        asked = call.params["permissions"].split(",")
        granted = [permission for permission in asked if call.iam.allowed(call.caller, permission, resource)]
        return {"kind": "storage#testIamPermissionsResponse"} | ({"permissions": granted} if granted else {})

    def _existing(self, call: Call, permission: str) -> Json:
        name = call.params["bucket"]
        self._store.check_bucket(name)
        call.require(permission, bucket_name(name))
        return self._store.bucket(name)


def _conditions(call: Call) -> Conditions:
    """Return the conditions on a bucket, which has no generation."""
    return Conditions.of({key: value for key, value in call.params.items() if "Metageneration" in key})


def _policy_view(call: Call, version: int) -> Json:
    resource = bucket_name(call.params["bucket"])
    policy = call.iam.policies.get(resource, version)
    return {"kind": "storage#policy", "resourceId": resource, "version": 1, "bindings": [], **policy}
