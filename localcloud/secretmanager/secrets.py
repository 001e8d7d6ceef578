"""The methods on secrets themselves: create, get, list, patch, delete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from localcloud.clock import Clock
from localcloud.secretmanager import names, rules
from localcloud.secretmanager.access import authorize
from localcloud.secretmanager.listing import page
from localcloud.secretmanager.model import Secret, Settings
from localcloud.secretmanager.refusals import bad_secret_id, other_etag, secret_exists
from localcloud.secretmanager.store import Store
from localcloud.secretmanager.views import secret_view
from localcloud.service import Call, Handler

Json = dict[str, Any]

_CHANGEABLE = ("labels", "annotations", "versionAliases", "expireTime", "ttl")


class Secrets:
    """Handlers of `projects.secrets`, by method id."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id."""
        return {
            "secretmanager.projects.secrets.create": self._create,
            "secretmanager.projects.secrets.get": self._get,
            "secretmanager.projects.secrets.list": self._list,
            "secretmanager.projects.secrets.patch": self._patch,
            "secretmanager.projects.secrets.delete": self._delete,
        }

    def _create(self, call: Call) -> Json:
        authorize(call.iam, call.caller, "secretmanager.secrets.create", call.params["parent"])
        secret_id = call.params.get("secretId", "")
        if not names.SECRET_ID.fullmatch(secret_id):
            raise bad_secret_id(secret_id)
        rules.check_fields(call.body)
        now = self._clock.now()
        settings = Settings(
            replication=rules.replication(call.body),
            labels=call.body.get("labels") or {},
            annotations=call.body.get("annotations") or {},
            aliases=_aliases(call.body),
            expires=rules.expiry(call.body.get("expireTime"), call.body.get("ttl"), now),
        )
        rules.check_metadata(settings.labels, settings.annotations, settings.aliases, ())
        with self._store.lock:
            if self._store.find(secret_id) is not None:
                raise secret_exists(names.secret_name(secret_id))
            secret = Secret(secret_id, now, self._store.etag(), settings)
            self._store.put(secret)
        return secret_view(secret)

    def _get(self, call: Call) -> Json:
        authorize(call.iam, call.caller, "secretmanager.secrets.get", call.params["name"])
        return secret_view(self._store.get(names.parse(call.params["name"]).secret))

    def _list(self, call: Call) -> Json:
        authorize(call.iam, call.caller, "secretmanager.secrets.list", call.params["parent"])
        return page([secret_view(secret) for secret in self._store.all()], call.params, "secrets")

    def _patch(self, call: Call) -> Json:
        authorize(call.iam, call.caller, "secretmanager.secrets.update", call.params["name"])
        fields = rules.mask(call.params.get("updateMask", ""), _CHANGEABLE)
        rules.check_fields(call.body)
        name = names.parse(call.params["name"])
        with self._store.lock:
            secret = self._store.get(name.secret)
            _check_etag(call.body.get("etag"), secret)
            settings = self._changed(secret.settings, fields, call.body)
            numbers = [str(version.number) for version in secret.versions]
            rules.check_metadata(settings.labels, settings.annotations, settings.aliases, numbers)
            secret = replace(secret, settings=settings, etag=self._store.etag())
            self._store.put(secret)
        return secret_view(secret)

    def _changed(self, settings: Settings, fields: set[str], body: Json) -> Settings:
        """Return the settings with the fields named taken from the body; one that the body lacks is emptied."""
        if "labels" in fields:
            settings = replace(settings, labels=body.get("labels") or {})
        if "annotations" in fields:
            settings = replace(settings, annotations=body.get("annotations") or {})
        if "versionAliases" in fields:
            settings = replace(settings, aliases=_aliases(body))
        if fields & {"expireTime", "ttl"}:
            time, ttl = (body.get(key) if key in fields else None for key in ("expireTime", "ttl"))
            settings = replace(settings, expires=rules.expiry(time, ttl, self._clock.now()))
        return settings

    def _delete(self, call: Call) -> Json:
        authorize(call.iam, call.caller, "secretmanager.secrets.delete", call.params["name"])
        name = names.parse(call.params["name"])
        with self._store.lock:
            _check_etag(call.params.get("etag"), self._store.get(name.secret))
            self._store.remove(name.secret)
        return {}


def _check_etag(etag: str | None, secret: Secret) -> None:
    if etag and etag != secret.etag:
        raise other_etag(names.secret_name(secret.id))


def _aliases(body: Json) -> dict[str, str]:
    """Return the version by alias; a number in the request counts as its text."""
    return {alias: str(version) for alias, version in (body.get("versionAliases") or {}).items()}
