"""The methods on the versions of a secret: add, get, list, access, enable, disable, destroy."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from localcloud.clock import Clock
from localcloud.iam import Iam
from localcloud.secretmanager import names
from localcloud.secretmanager.access import authorize
from localcloud.secretmanager.listing import page
from localcloud.secretmanager.model import Secret, State, Version
from localcloud.secretmanager.refusals import (
    bad_resource_id,
    destroyed_already,
    empty_payload,
    in_state,
    large_payload,
    no_such_version,
    nothing_latest,
    other_checksum,
    other_etag,
)
from localcloud.secretmanager.store import Store
from localcloud.secretmanager.views import checksum, version_view
from localcloud.service import Call, Caller, Handler

Json = dict[str, Any]

_PAYLOAD_LIMIT = 64 * 1024


class Versions:
    """Handlers of `projects.secrets.versions` and of `addVersion`, by method id."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id."""
        return {
            "secretmanager.projects.secrets.addVersion": self._add,
            "secretmanager.projects.secrets.versions.get": self._get,
            "secretmanager.projects.secrets.versions.list": self._list,
            "secretmanager.projects.secrets.versions.access": self._access,
            "secretmanager.projects.secrets.versions.enable": self._enable,
            "secretmanager.projects.secrets.versions.disable": self._disable,
            "secretmanager.projects.secrets.versions.destroy": self._destroy,
        }

    def payload(self, iam: Iam, caller: Caller, text: str) -> tuple[str, bytes]:
        """Return the full name and the bytes of an enabled version; raises `ApiError` 400, 403 or 404."""
        named = names.parse(text)
        authorize(iam, caller, "secretmanager.versions.access", text)
        secret, version = self._named(named)
        name = names.version_name(secret.id, version.number)
        if version.payload is None or version.state != "ENABLED":
            raise in_state(name, version.state)
        return name, version.payload

    def _add(self, call: Call) -> Json:
        authorize(call.iam, call.caller, "secretmanager.versions.add", call.params["parent"])
        wanted = call.body.get("payload") or {}
        payload = _checked(wanted)
        name = names.parse(call.params["parent"])
        with self._store.lock:
            secret = self._store.get(name.secret)
            version = Version(
                number=len(secret.versions) + 1,
                state="ENABLED",
                created=self._clock.now(),
                etag=self._store.etag(),
                payload=payload,
                checksum_given=wanted.get("dataCrc32c") is not None,
            )
            self._store.put(replace(secret, versions=(*secret.versions, version)))
        return version_view(secret, version)

    def _get(self, call: Call) -> Json:
        authorize(call.iam, call.caller, "secretmanager.versions.get", call.params["name"])
        return version_view(*self._named(names.parse(call.params["name"])))

    def _list(self, call: Call) -> Json:
        authorize(call.iam, call.caller, "secretmanager.versions.list", call.params["parent"])
        secret = self._store.get(names.parse(call.params["parent"]).secret)
        newest_first = [version_view(secret, version) for version in reversed(secret.versions)]
        return page(newest_first, call.params, "versions")

    def _access(self, call: Call) -> Json:
        name, payload = self.payload(call.iam, call.caller, call.params["name"])
        data = base64.b64encode(payload).decode()
        return {"name": name, "payload": {"data": data, "dataCrc32c": str(checksum(payload))}}

    def _enable(self, call: Call) -> Json:
        return self._move(call, "enable", "ENABLED")

    def _disable(self, call: Call) -> Json:
        return self._move(call, "disable", "DISABLED")

    def _destroy(self, call: Call) -> Json:
        return self._move(call, "destroy", "DESTROYED")

    def _move(self, call: Call, verb: str, state: State) -> Json:
        """Bring a version into a state; to be in it already is no mistake, except for destroyed ones."""
        authorize(call.iam, call.caller, f"secretmanager.versions.{verb}", call.params["name"])
        name = names.parse(call.params["name"])
        if not name.version.isdecimal():
            raise bad_resource_id(name.of_version)  # aliases are for reading
        with self._store.lock:
            secret, version = self._named(name)
            if version.state == "DESTROYED":
                raise destroyed_already() if state == "DESTROYED" else in_state(name.of_version, "DESTROYED")
            etag = call.body.get("etag")
            if etag and etag != version.etag:
                raise other_etag(name.of_version)
            moved = replace(version, state=state, etag=self._store.etag())
            if state == "DESTROYED":
                moved = replace(moved, payload=None, destroyed=self._clock.now())
            versions = [moved if one is version else one for one in secret.versions]
            self._store.put(replace(secret, versions=tuple(versions)))
        return version_view(secret, moved)

    def _named(self, name: names.Name) -> tuple[Secret, Version]:
        """Return the version that a number, an alias or "latest" means; raises `ApiError` 404.

        The latest is the one with the highest number, whatever its state.
        """
        secret = self._store.find(name.secret)
        if secret is None or (name.version == "latest" and not secret.versions):
            raise nothing_latest(name.of_secret)
        number = secret.settings.aliases.get(name.version, name.version)
        if number == "latest":
            return secret, secret.versions[-1]
        for version in secret.versions:
            if number == str(version.number):
                return secret, version
        raise no_such_version(name.of_version)


def _checked(wanted: Json) -> bytes:
    """Return the bytes of a `SecretPayload`; raises `ApiError` 400."""
    text = (wanted.get("data") or "").replace("-", "+").replace("_", "/").rstrip("=")
    payload = base64.b64decode(text + "=" * (-len(text) % 4))
    if not payload:
        raise empty_payload()
    if len(payload) > _PAYLOAD_LIMIT:
        raise large_payload(len(payload), _PAYLOAD_LIMIT)
    given = wanted.get("dataCrc32c")
    if given is not None and int(given) != checksum(payload):
        raise other_checksum()
    return payload
