"""The bucket methods, as far as tools need them."""

from __future__ import annotations

from collections.abc import Mapping

from localcloud.errors import unimplemented
from localcloud.iam.policy import PROJECT, PROJECT_NUMBER
from localcloud.service import Call, Handler, Json
from localcloud.storage.access import bucket_resource
from localcloud.storage.listing import Query, select
from localcloud.storage.names import check_bucket
from localcloud.storage.objects import granted
from localcloud.storage.preconditions import Conditions
from localcloud.storage.refusals import bucket_exists
from localcloud.storage.resource import etag
from localcloud.storage.store import Store

# What a caller may set. The rest of the resource is refused rather than remembered without effect.
_SETTABLE = ("labels", "location", "storageClass", "iamConfiguration")
_HARMLESS = frozenset({"name", "kind", "softDeletePolicy", *_SETTABLE})


class Buckets:
    """Handlers by method id."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def handlers(self) -> Mapping[str, Handler]:
        """Return all bucket methods that there are."""
        return {
            "storage.buckets.insert": self.insert,
            "storage.buckets.get": self.get,
            "storage.buckets.list": self.list,
            "storage.buckets.delete": self.delete,
            "storage.buckets.patch": self.patch,
            "storage.buckets.getIamPolicy": self.policy,
            "storage.buckets.testIamPermissions": self.test_permissions,
        }

    def make(self, name: str, settings: Json) -> Json:
        """Make a bucket; raises a 400 for a bad name, a 409 when there is one of this name."""
        check_bucket(name)
        with self._store.locks.hold((name, "")):
            if self._store.has_bucket(name):
                raise bucket_exists()
            self._store.make_bucket(name, {key: settings[key] for key in _SETTABLE if settings.get(key)})
            return self._described(name)

    def insert(self, call: Call) -> Json:
        """Make a bucket."""
        call.require("storage.buckets.create", f"projects/{call.params.get('project', PROJECT)}")
        _check_settings(call.body)
        return self.make(call.body["name"], call.body)

    def get(self, call: Call) -> Json:
        """Describe a bucket."""
        return self._existing(call, "storage.buckets.get", reading=True)

    def list(self, call: Call) -> Json:
        """List the project's buckets."""
        call.require("storage.buckets.list", f"projects/{call.params.get('project', PROJECT)}")
        page = select(self._store.buckets(), Query.of(call.params))
        answer: Json = {"kind": "storage#buckets"}
        if page.token:
            answer["nextPageToken"] = page.token
        if page.names:
            answer["items"] = [self._described(name) for name in page.names]
        return answer

    def delete(self, call: Call) -> Json:
        """Delete an empty bucket."""
        with self._store.locks.hold((call.params["bucket"], "")):
            self._existing(call, "storage.buckets.delete", reading=False)
            self._store.remove_bucket(call.params["bucket"])
        return {}

    def patch(self, call: Call) -> Json:
        """Change labels, location or class; a label of null is removed."""
        name = call.params["bucket"]
        _check_settings(call.body)
        with self._store.locks.hold((name, "")):
            current = self._existing(call, "storage.buckets.update", reading=False)
            settings = {key: current[key] for key in _SETTABLE if key in current}
            settings |= {key: call.body[key] for key in _SETTABLE if key in call.body}
            labels = {**current.get("labels", {}), **(call.body.get("labels") or {})}
            settings["labels"] = {key: value for key, value in labels.items() if value is not None}
            self._store.amend_bucket(name, {key: value for key, value in settings.items() if value})
            return self._described(name)

    def policy(self, call: Call) -> Json:
        """Return an empty policy: the grants of localcloud are the project's."""
        name = call.params["bucket"]
        self._existing(call, "storage.buckets.getIamPolicy", reading=True)
        return {
            "kind": "storage#policy",
            "resourceId": bucket_resource(name),
            "version": 1,
            "etag": "CAE=",
            "bindings": [],
        }

    def test_permissions(self, call: Call) -> Json:
        """Tell which of some permissions the caller has on a bucket."""
        self._store.check_bucket(call.params["bucket"])
        return granted(call, bucket_resource(call.params["bucket"]))

    def _existing(self, call: Call, permission: str, *, reading: bool) -> Json:
        name = call.params["bucket"]
        self._store.check_bucket(name)
        call.require(permission, bucket_resource(name))
        current = self._described(name)
        conditions = Conditions.of(
            {key: value for key, value in call.params.items() if key.startswith("ifMetageneration")}
        )
        checked = current | {"generation": "1"}
        if reading:
            conditions.check_read(checked)
        else:
            conditions.check_write(checked)
        return current

    def _described(self, name: str) -> Json:
        record = self._store.bucket(name)
        metageneration = str(record["metageneration"])
        fixed: Json = {
            "kind": "storage#bucket",
            "id": name,
            "name": name,
            "projectNumber": PROJECT_NUMBER,
            "locationType": "region",
            "metageneration": metageneration,
            "etag": etag(name, int(metageneration)),
            "timeCreated": record["timeCreated"],
            "updated": record["updated"],
        }
        access = {"uniformBucketLevelAccess": {"enabled": True}, "publicAccessPrevention": "enforced"}
        settings = {"location": "US-CENTRAL1", "storageClass": "STANDARD"} | record["settings"]
        settings["iamConfiguration"] = access | record["settings"].get("iamConfiguration", {})
        return {**fixed, **settings, "location": settings["location"].upper()}


def _check_settings(body: Json) -> None:
    for key, value in body.items():
        if value and key not in _HARMLESS:
            raise unimplemented(f"localcloud's buckets have no {key}; see localcloud/README.md")
