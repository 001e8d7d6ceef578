"""The Secret Manager service: secrets and their versions."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from localcloud.core.caller import Caller
from localcloud.core.clock import Clock
from localcloud.core.iam import Iam
from localcloud.core.iam.calls import Resources, policy_handlers
from localcloud.core.listing import page
from localcloud.core.service import Call, Handler, Part
from localcloud.core.times import timestamp
from localcloud.services.secretmanager import names, rules
from localcloud.services.secretmanager.refusals import (
    bad_resource_id,
    destroyed_already,
    in_state,
    no_such_secret,
    no_such_version,
    nothing_latest,
    parameter_not_covered,
    secret_exists,
)
from localcloud.services.secretmanager.state import Secret, Secrets, State, Version

Json = dict[str, Any]

_MAX_PAGE = 25_000


class SecretManagerService(Part):
    """Secret Manager of one project, without regional secrets. Its secrets stay in `state_dir` over a restart."""

    api = "secretmanager.v1"

    def __init__(self, state_dir: Path, clock: Clock, iam: Iam) -> None:
        self._clock = clock
        self._iam = iam
        self._secrets = Secrets(state_dir / "secretmanager" / "secrets.json")

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id of this service."""
        resources = Resources(
            {"secretmanager.projects.secrets": "secretmanager.secrets"},
            exists=lambda name: self._secrets.find(names.parse(name).secret) is not None,
            missing=lambda name: no_such_secret(names.parse(name).of_secret),
        )
        methods: Mapping[str, Handler] = {
            "create": self._create,
            "get": self._get,
            "list": self._list,
            "delete": self._delete,
            "addVersion": self._add_version,
            "versions.get": self._get_version,
            "versions.list": self._list_versions,
            "versions.access": self._access,
            "versions.enable": lambda call: self._move(call, "enable", "ENABLED"),
            "versions.disable": lambda call: self._move(call, "disable", "DISABLED"),
            "versions.destroy": lambda call: self._move(call, "destroy", "DESTROYED"),
        }
        own = {f"secretmanager.projects.secrets.{name}": method for name, method in methods.items()}
        return {**own, **policy_handlers(resources)}

    def access_secret(self, caller_email: str, version_name: str) -> bytes:
        """Return the payload of "projects/P/secrets/S/versions/V" for an account; V may be "latest".

        Raises `ApiError` as a call of that account would: 403, 404, or 400 for a version that is not enabled.
        """
        return self._payload(Caller(caller_email), version_name)[1]

    def inventory(self) -> Mapping[str, list[Json]]:
        """Return the secrets, and the states of their versions; never a payload."""
        return {
            "secrets": [
                {
                    "name": secret.id,
                    "versions": [
                        {"version": str(version.number), "state": version.state}
                        for version in secret.versions
                    ],
                }
                for secret in self._secrets.all()
            ]
        }

    def _create(self, call: Call) -> Json:
        call.authorize("secretmanager.secrets.create", call.params["parent"])
        secret_id = call.params.get("secretId", "")
        rules.check_id(secret_id)
        rules.check_new(call.body)
        with self._secrets.lock:
            if self._secrets.find(secret_id) is not None:
                raise secret_exists(names.secret_name(secret_id))
            secret = Secret(secret_id, self._clock.now())
            self._secrets.put(secret)
        return _secret(secret)

    def _get(self, call: Call) -> Json:
        call.authorize("secretmanager.secrets.get", call.params["name"])
        return _secret(self._secrets.get(names.parse(call.params["name"]).secret))

    def _list(self, call: Call) -> Json:
        call.authorize("secretmanager.secrets.list", call.params["parent"])
        return _listed([_secret(secret) for secret in self._secrets.all()], call, "secrets")

    def _delete(self, call: Call) -> Json:
        resource = call.authorize("secretmanager.secrets.delete", call.params["name"])
        _refuse(call, "etag")
        secret_id = names.parse(resource).secret
        with self._secrets.lock:
            self._secrets.get(secret_id)
            self._secrets.remove(secret_id)
            call.iam.policies.remove(resource)
        return {}

    def _add_version(self, call: Call) -> Json:
        call.authorize("secretmanager.versions.add", call.params["parent"])
        given = call.body.get("payload") or {}
        payload = rules.payload(given)
        name = names.parse(call.params["parent"])
        with self._secrets.lock:
            secret = self._secrets.get(name.secret)
            version = Version(len(secret.versions) + 1, "ENABLED", self._clock.now(), payload)
            self._secrets.put(replace(secret, versions=(*secret.versions, version)))
        # gcloud takes a version without this answer for a failure.
        checked = {"clientSpecifiedPayloadChecksum": True} if given.get("dataCrc32c") is not None else {}
        return _version(secret, version) | checked

    def _get_version(self, call: Call) -> Json:
        call.authorize("secretmanager.versions.get", call.params["name"])
        return _version(*self._named(names.parse(call.params["name"])))

    def _list_versions(self, call: Call) -> Json:
        call.authorize("secretmanager.versions.list", call.params["parent"])
        secret = self._secrets.get(names.parse(call.params["parent"]).secret)
        return _listed([_version(secret, version) for version in reversed(secret.versions)], call, "versions")

    def _access(self, call: Call) -> Json:
        name, payload = self._payload(call.caller, call.params["name"])
        data = base64.b64encode(payload).decode()
        return {"name": name, "payload": {"data": data, "dataCrc32c": str(rules.checksum(payload))}}

    def _move(self, call: Call, verb: str, state: State) -> Json:
        """Set a version's state. Setting the present state again is allowed, except DESTROYED."""
        call.authorize(f"secretmanager.versions.{verb}", call.params["name"])
        rules.check_move(call.body)
        name = names.parse(call.params["name"])
        if not name.version.isdecimal():
            raise bad_resource_id(name.of_version)
        with self._secrets.lock:
            secret, version = self._named(name)
            if version.state == "DESTROYED":
                raise destroyed_already() if state == "DESTROYED" else in_state(name.of_version, "DESTROYED")
            moved = replace(version, state=state)
            if state == "DESTROYED":
                moved = replace(moved, payload=None, destroyed=self._clock.now())
            versions = [moved if one is version else one for one in secret.versions]
            self._secrets.put(replace(secret, versions=tuple(versions)))
        return _version(secret, moved)

    def _payload(self, caller: Caller, text: str) -> tuple[str, bytes]:
        """Return the full name and the bytes of an enabled version; raises `ApiError` 400, 403 or 404."""
        named = names.parse(text)
        self._iam.authorize(caller, "secretmanager.versions.access", text)
        secret, version = self._named(named)
        name = names.version_name(secret.id, version.number)
        if version.payload is None or version.state != "ENABLED":
            raise in_state(name, version.state)
        return name, version.payload

    def _named(self, name: names.Name) -> tuple[Secret, Version]:
        """Return the version of a number or "latest"; raises `ApiError` 404.

        The latest version has the highest number, in any state.
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


def _listed(resources: Sequence[Json], call: Call, key: str) -> Json:
    """Return one page of a list call, with the total; raises `ApiError` 400, or 501 for a filter."""
    _refuse(call, "filter")
    answer = page(resources, call.params, key, _MAX_PAGE)
    return answer | ({"totalSize": len(resources)} if resources else {})


def _refuse(call: Call, parameter: str) -> None:
    if call.params.get(parameter):
        raise parameter_not_covered(parameter, call.method)


def _secret(secret: Secret) -> Json:
    return {
        "name": names.secret_name(secret.id),
        "replication": {"automatic": {}},
        "createTime": timestamp(secret.created),
    }


def _version(secret: Secret, version: Version) -> Json:
    """Return the JSON of a `SecretVersion`, which never has the payload."""
    view: Json = {
        "name": names.version_name(secret.id, version.number),
        "createTime": timestamp(version.created),
        "state": version.state,
        "replicationStatus": {"automatic": {}},
    }
    return view | ({} if version.destroyed is None else {"destroyTime": timestamp(version.destroyed)})
