"""Cloud Functions' first API.

`gcloud functions list` asks it for functions of the first generation, and there are none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localcloud.core.iam import by_id
from localcloud.core.service import Call, Handler, Part

Json = dict[str, Any]


class FunctionsServiceV1(Part):
    """An empty list of functions."""

    api = "cloudfunctions.v1"

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id of this service."""
        return {"cloudfunctions.projects.locations.functions.list": self._list}

    def _list(self, call: Call) -> Json:
        call.require(
            "cloudfunctions.functions.list", by_id(call.params["parent"]).partition("/locations/")[0]
        )
        return {}
