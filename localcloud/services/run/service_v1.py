"""Cloud Run's older API, which `gcloud run services list` calls: the same services in Knative's form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localcloud.core.errors import unimplemented
from localcloud.core.iam import by_id
from localcloud.core.service import Call, Handler, Part
from localcloud.services.run import views
from localcloud.services.run.service import RunService

Json = dict[str, Any]

_EVERYWHERE = "-"
_NO_EFFECT = frozenset({"limit", "parent"})


class RunServiceV1(Part):
    """The list of the services of `run`, and their policies."""

    api = "run.v1"

    def __init__(self, run: RunService) -> None:
        self._run = run

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id of this service."""
        return {"run.projects.locations.services.list": self._list, **self._run.policies()}

    def _list(self, call: Call) -> Json:
        parent = by_id(call.params["parent"])
        if parent.endswith(f"/{_EVERYWHERE}"):
            parent = parent.partition("/locations/")[0]
        call.require("run.services.list", parent)
        if given := sorted(call.params.keys() - _NO_EFFECT):
            raise unimplemented(f"localcloud does not implement the parameter {given[0]!r} of {call.method}.")
        items = [
            views.knative_service(revision, history, self._run.uri(revision.service))
            for revision, history in self._run.services()
            if revision.service.startswith(f"{parent}/")
        ]
        return {"apiVersion": "serving.knative.dev/v1", "kind": "ServiceList", "items": items}
