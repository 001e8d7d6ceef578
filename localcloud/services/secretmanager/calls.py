"""The methods on secrets: create, get, list, delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from localcloud.core.clock import Clock
from localcloud.core.listing import page
from localcloud.core.service import Call, Handler
from localcloud.services.secretmanager import names, rules
from localcloud.services.secretmanager.refusals import filter_not_covered, other_etag, secret_exists
from localcloud.services.secretmanager.state import Secret, Secrets
from localcloud.services.secretmanager.views import secret_view

Json = dict[str, Any]

_LARGEST_PAGE = 25_000


class SecretCalls:
    """Handlers of `projects.secrets`."""

    def __init__(self, secrets: Secrets, clock: Clock) -> None:
        self._secrets = secrets
        self._clock = clock

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id."""
        return {
            "secretmanager.projects.secrets.create": self._create,
            "secretmanager.projects.secrets.get": self._get,
            "secretmanager.projects.secrets.list": self._list,
            "secretmanager.projects.secrets.delete": self._delete,
        }

    def _create(self, call: Call) -> Json:
        call.authorize("secretmanager.secrets.create", call.params["parent"])
        secret_id = call.params.get("secretId", "")
        rules.check_id(secret_id)
        labels = rules.new_labels(call.body)
        with self._secrets.lock:
            if self._secrets.find(secret_id) is not None:
                raise secret_exists(names.secret_name(secret_id))
            secret = Secret(secret_id, self._clock.now(), self._secrets.etag(), labels)
            self._secrets.put(secret)
        return secret_view(secret)

    def _get(self, call: Call) -> Json:
        call.authorize("secretmanager.secrets.get", call.params["name"])
        return secret_view(self._secrets.get(names.parse(call.params["name"]).secret))

    def _list(self, call: Call) -> Json:
        call.authorize("secretmanager.secrets.list", call.params["parent"])
        return listed([secret_view(secret) for secret in self._secrets.all()], call, "secrets")

    def _delete(self, call: Call) -> Json:
        resource = call.authorize("secretmanager.secrets.delete", call.params["name"])
        secret_id = names.parse(resource).secret
        with self._secrets.lock:
            secret = self._secrets.get(secret_id)
            etag = call.params.get("etag")
            if etag and etag != secret.etag:
                raise other_etag(names.secret_name(secret_id))
            self._secrets.remove(secret_id)
            call.iam.policies.remove(resource)
        return {}


def listed(resources: Sequence[Json], call: Call, key: str) -> Json:
    """Return one page of a list call, with the total; raises `ApiError` 400, or 501 for a filter."""
    if call.params.get("filter", "").strip():
        raise filter_not_covered(call.method)
    answer = page(resources, call.params, key, _LARGEST_PAGE)
    return answer | ({"totalSize": len(resources)} if resources else {})
