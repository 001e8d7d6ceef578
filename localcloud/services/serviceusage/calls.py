"""The Service Usage API: services of the project, enabled or not, and the operations that change them."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from localcloud.core.discovery import services, title
from localcloud.core.enabled import ENABLED_BY_DEFAULT
from localcloud.core.errors import forbidden, invalid, not_found
from localcloud.core.iam import PROJECT_NUMBER
from localcloud.core.listing import page
from localcloud.core.service import Part

if TYPE_CHECKING:
    from localcloud.core.enabled import EnabledServices
    from localcloud.core.service import Call, Handler

Json = dict[str, Any]

_TYPES = "type.googleapis.com/google.api.serviceusage."
_MAX_ENABLED = 20
_DEFAULT_PAGE, _MAX_PAGE = 50, 200
_FILTERS = {"": None, "state:ENABLED": True, "state:DISABLED": False}


class ServiceUsage(Part):
    """Version 1 of the API. An operation is done when a later call asks for it, and lives in memory."""

    api = "serviceusage.v1"

    def __init__(self, enabled: EnabledServices) -> None:
        self._enabled = enabled
        self._lock = threading.Lock()
        self._operations: dict[str, Json] = {}

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id."""
        return {
            "serviceusage.services.get": self._get,
            "serviceusage.services.batchGet": self._batch_get,
            "serviceusage.services.list": self._list,
            "serviceusage.services.enable": self._enable,
            "serviceusage.services.batchEnable": self._batch_enable,
            "serviceusage.services.disable": self._disable,
            "serviceusage.operations.get": self._operation,
        }

    def inventory(self) -> Mapping[str, list[Json]]:
        """Return the enabled services."""
        return {"serviceusage.services": [{"name": name} for name in self._enabled.names()]}

    def _begun(self, response: Json) -> Json:
        """Return a new operation, which later calls find done with this response."""
        name = f"operations/acat.p2-{PROJECT_NUMBER}-{uuid.uuid4()}"
        with self._lock:
            self._operations[name] = {"name": name, "done": True, "response": response}
        return {"name": name}

    def _get(self, call: Call) -> Json:
        name = _authorized(call, "get", call.params["name"])
        return self._view(name)

    def _batch_get(self, call: Call) -> Json:
        call.authorize("serviceusage.services.get", call.params["parent"])
        names = [name for name in call.params.get("names", "").split(",") if name]
        if not names:
            raise invalid("At least one service name must be specified.")
        return {"services": [self._view(name) for name in _known(names)]}

    def _list(self, call: Call) -> Json:
        call.authorize("serviceusage.services.list", call.params["parent"])
        wanted = call.params.get("filter", "")
        if wanted not in _FILTERS:
            raise invalid(f"Invalid filter {wanted}: only state:ENABLED and state:DISABLED are supported.")
        state = _FILTERS[wanted]
        names = [name for name in sorted(_all()) if state in {None, name in self._enabled}]
        answer = page(names, call.params, "services", _MAX_PAGE, default=_DEFAULT_PAGE)
        return answer | {"services": [self._view(name) for name in answer.get("services", ())]}

    def _enable(self, call: Call) -> Json:
        name = _authorized(call, "enable", call.params["name"])
        self._enabled.enable(name)
        response = {"@type": f"{_TYPES}v1.EnableServiceResponse", "service": self._view(name)}
        return self._begun(response)

    def _batch_enable(self, call: Call) -> Json:
        call.authorize("serviceusage.services.enable", call.params["parent"])
        names = call.body.get("serviceIds") or []
        if not 1 <= len(names) <= _MAX_ENABLED:
            raise invalid(
                f"From 1 to {_MAX_ENABLED} services can be enabled in one call; given {len(names)}."
            )
        for name in _known(names):
            self._enabled.enable(name)
        views = [self._view(name) for name in names]
        return self._begun({"@type": f"{_TYPES}v1.BatchEnableServicesResponse", "services": views})

    def _disable(self, call: Call) -> Json:
        name = _authorized(call, "disable", call.params["name"])
        self._enabled.disable(name)
        response = {"@type": f"{_TYPES}v1.DisableServiceResponse", "service": self._view(name)}
        return self._begun(response)

    def _operation(self, call: Call) -> Json:
        """Return an operation; its random name is what a caller needs to know."""
        with self._lock:
            found = self._operations.get(call.params["name"])
        if found is None:
            raise not_found(f"Operation not found: {call.params['name']}")
        return found

    def _view(self, name: str) -> Json:
        return {
            "name": f"projects/{PROJECT_NUMBER}/services/{name}",
            "config": {"name": name, "title": title(name)},
            "state": "ENABLED" if name in self._enabled else "DISABLED",
            "parent": f"projects/{PROJECT_NUMBER}",
        }


class ServiceUsageBeta(Part):
    """The one method that only version 1beta1 has: it makes the account of Google's that a service acts as."""

    api = "serviceusage.v1beta1"

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id."""
        return {"serviceusage.services.generateServiceIdentity": self._generate}

    def _generate(self, call: Call) -> Json:
        name = _authorized(call, "enable", call.params["parent"])
        short = name.partition(".")[0]
        agent = "gcf-admin-robot" if short == "cloudfunctions" else f"gcp-sa-{short}"
        address = f"service-{PROJECT_NUMBER}@{agent}.iam.gserviceaccount.com"
        call.iam.make_agent(address)
        identity = {"@type": f"{_TYPES}v1beta1.ServiceIdentity", "email": address, "uniqueId": PROJECT_NUMBER}
        return {"name": "operations/finished.DONE_OPERATION", "done": True, "response": identity}


def _all() -> set[str]:
    """Return the names of all services: those that Google describes, and those without a description."""
    return {*services(), *ENABLED_BY_DEFAULT}


def _authorized(call: Call, verb: str, resource: str) -> str:
    """Return the service of a resource name; raises `ApiError` 403 without the permission, or if Google has none."""
    parent, _, name = resource.rpartition("/services/")
    call.authorize(f"serviceusage.services.{verb}", parent)
    return _known([name])[0]


def _known(names: Sequence[str]) -> Sequence[str]:
    """Return the names of services without their parent; raises Google's 403 for those that do not exist."""
    short = [name.rpartition("/")[2] for name in names]
    unknown = [name for name in short if name not in _all()]
    if unknown:
        listed = ", ".join(unknown)
        raise forbidden(f"Not found or permission denied for service(s): {listed}.")
    return short
