"""The methods on the versions of a secret: add, get, list, access, enable, disable, destroy."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from localcloud.core.caller import Caller
from localcloud.core.clock import Clock
from localcloud.core.iam import Iam
from localcloud.core.service import Call, Handler
from localcloud.services.secretmanager import names, rules
from localcloud.services.secretmanager.calls import listed
from localcloud.services.secretmanager.refusals import (
    bad_resource_id,
    destroyed_already,
    in_state,
    no_such_version,
    nothing_latest,
    other_etag,
)
from localcloud.services.secretmanager.state import Secret, Secrets, State, Version
from localcloud.services.secretmanager.views import version_view

Json = dict[str, Any]


class VersionCalls:
    """Handlers of `projects.secrets.versions` and of `addVersion`, by method id."""

    def __init__(self, secrets: Secrets, clock: Clock) -> None:
        self._secrets = secrets
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
        iam.authorize(caller, "secretmanager.versions.access", text)
        secret, version = self._named(named)
        name = names.version_name(secret.id, version.number)
        if version.payload is None or version.state != "ENABLED":
            raise in_state(name, version.state)
        return name, version.payload

    def _add(self, call: Call) -> Json:
        call.authorize("secretmanager.versions.add", call.params["parent"])
        wanted = call.body.get("payload") or {}
        payload = rules.payload(wanted)
        name = names.parse(call.params["parent"])
        with self._secrets.lock:
            secret = self._secrets.get(name.secret)
            version = Version(
                number=len(secret.versions) + 1,
                state="ENABLED",
                created=self._clock.now(),
                etag=self._secrets.etag(),
                payload=payload,
                checksum_given=wanted.get("dataCrc32c") is not None,
            )
            self._secrets.put(replace(secret, versions=(*secret.versions, version)))
        return version_view(secret, version)

    def _get(self, call: Call) -> Json:
        call.authorize("secretmanager.versions.get", call.params["name"])
        return version_view(*self._named(names.parse(call.params["name"])))

    def _list(self, call: Call) -> Json:
        call.authorize("secretmanager.versions.list", call.params["parent"])
        secret = self._secrets.get(names.parse(call.params["parent"]).secret)
        newest_first = [version_view(secret, version) for version in reversed(secret.versions)]
        return listed(newest_first, call, "versions")

    def _access(self, call: Call) -> Json:
        name, payload = self.payload(call.iam, call.caller, call.params["name"])
        data = base64.b64encode(payload).decode()
        return {"name": name, "payload": {"data": data, "dataCrc32c": str(rules.checksum(payload))}}

    def _enable(self, call: Call) -> Json:
        return self._move(call, "enable", "ENABLED")

    def _disable(self, call: Call) -> Json:
        return self._move(call, "disable", "DISABLED")

    def _destroy(self, call: Call) -> Json:
        return self._move(call, "destroy", "DESTROYED")

    def _move(self, call: Call, verb: str, state: State) -> Json:
        """Set a version's state. Setting the present state again is allowed, except DESTROYED."""
        call.authorize(f"secretmanager.versions.{verb}", call.params["name"])
        name = names.parse(call.params["name"])
        if not name.version.isdecimal():
            raise bad_resource_id(name.of_version)
        with self._secrets.lock:
            secret, version = self._named(name)
            if version.state == "DESTROYED":
                raise destroyed_already() if state == "DESTROYED" else in_state(name.of_version, "DESTROYED")
            etag = call.body.get("etag")
            if etag and etag != version.etag:
                raise other_etag(name.of_version)
            moved = replace(version, state=state, etag=self._secrets.etag())
            if state == "DESTROYED":
                moved = replace(moved, payload=None, destroyed=self._clock.now())
            versions = [moved if one is version else one for one in secret.versions]
            self._secrets.put(replace(secret, versions=tuple(versions)))
        return version_view(secret, moved)

    def _named(self, name: names.Name) -> tuple[Secret, Version]:
        """Return the version of a number or "latest"; raises `ApiError` 404.

        The latest is the one with the highest number, whatever its state.
        """
        secret = self._secrets.find(name.secret)
        if secret is None or (name.version == "latest" and not secret.versions):
            raise nothing_latest(name.of_secret)
        if name.version == "latest":
            return secret, secret.versions[-1]
        for version in secret.versions:
            if name.version == str(version.number):
                return secret, version
        raise no_such_version(name.of_version)
