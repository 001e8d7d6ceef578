"""What every object method begins with: is there such a bucket and object, and may the caller do this to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from localcloud.iam import Iam
from localcloud.service import Caller, Json
from localcloud.storage import refusals
from localcloud.storage.locks import Key
from localcloud.storage.names import check_object
from localcloud.storage.pace import Pace
from localcloud.storage.preconditions import Conditions, whole_number
from localcloud.storage.store import Store


def object_resource(bucket: str, name: str) -> str:
    """Return an object's name in IAM."""
    return f"projects/_/buckets/{bucket}/objects/{name}"


def bucket_resource(bucket: str) -> str:
    """Return a bucket's name in IAM."""
    return f"projects/_/buckets/{bucket}"


class Access:
    """Finds objects for callers. What it yields stays true until its block ends: the object's lock is held."""

    def __init__(self, store: Store, iam: Iam, pace: Pace) -> None:
        self._store = store
        self._iam = iam
        self._pace = pace

    @contextmanager
    def existing(
        self, caller: Caller, permission: str, key: Key, params: Mapping[str, str]
    ) -> Iterator[Json]:
        """Yield an object's resource for reading or changing it."""
        bucket, name = key
        check_object(name)
        self._store.check_bucket(bucket)
        self._iam.require(caller, permission, object_resource(bucket, name))
        with self._store.locks.hold(key):
            yield self.present(caller, permission, key, whole_number(params, "generation"))

    @contextmanager
    def writing(
        self, caller: Caller, key: Key, conditions: Conditions, others: Iterable[Key] = ()
    ) -> Iterator[Json | None]:
        """Yield what a write will replace, None for nothing, with `others` locked too. Overwriting is deleting as well."""
        self.admit(caller, key)
        with self._store.locks.hold(key, *others):
            current = self._store.current(*key)
            if current is not None:
                self._iam.require(caller, "storage.objects.delete", object_resource(*key))
            conditions.check_write(current)
            yield current

    def admit(self, caller: Caller, key: Key) -> None:
        """Raise what speaks against a write whatever there is now: name, bucket, permission."""
        bucket, name = key
        check_object(name)
        self._store.check_bucket(bucket)
        self._iam.require(caller, "storage.objects.create", object_resource(bucket, name))

    def present(self, caller: Caller, permission: str, key: Key, generation: int | None) -> Json:
        """Return an object's resource, its lock held.

        Raises a 404 where it does not exist in the generation asked for. A caller who may not list objects is not told
        that, but gets a 403: so does Google, and a poller that waits for a 404 to end would stumble over it.
        """
        current = self._store.current(*key)
        if current is not None and generation in {None, int(current["generation"])}:
            return current
        if not self._iam.allowed(caller, "storage.objects.list", bucket_resource(key[0])):
            raise refusals.perhaps_not_there(caller, permission)
        raise refusals.no_such_object(*key)

    def spend(self, key: Key) -> None:
        """Count a change of an object, just before it is made; raises a 429."""
        self._pace.spend(*key)
