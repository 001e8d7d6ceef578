"""A Cloud Run service as its API prints it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from localcloud.run.revision import Revision
from localcloud.timestamps import timestamp

Json = dict[str, Any]

_INGRESS = {
    "ALLOW_ALL": "INGRESS_TRAFFIC_ALL",
    "ALLOW_INTERNAL_ONLY": "INGRESS_TRAFFIC_INTERNAL_ONLY",
    "ALLOW_INTERNAL_AND_GCLB": "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER",
}


@dataclass(frozen=True)
class History:
    """What a service keeps over its revisions; times in seconds since the epoch."""

    uid: str
    creator: str
    created: float
    modifier: str
    updated: float
    generation: int


def service(revision: Revision, history: History, uri: str) -> Json:
    """Return a `Service`. It has no image: nothing is put into a registry."""
    current = f"{revision.service}/revisions/{revision.name}"
    traffic: Json = {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}
    return {
        "name": revision.service,
        "uid": history.uid,
        "generation": str(history.generation),
        "observedGeneration": str(history.generation),
        "labels": {"goog-managed-by": "cloudfunctions"},
        "createTime": timestamp(history.created),
        "updateTime": timestamp(history.updated),
        "creator": history.creator,
        "lastModifier": history.modifier,
        "ingress": _INGRESS[revision.ingress],
        "launchStage": "GA",
        "template": _template(revision),
        "traffic": [traffic],
        "trafficStatuses": [traffic],
        "latestReadyRevision": current,
        "latestCreatedRevision": current,
        "terminalCondition": {
            "type": "Ready",
            "state": "CONDITION_SUCCEEDED",
            "lastTransitionTime": timestamp(history.updated),
        },
        "uri": uri,
        "urls": [uri],
        "etag": f'"{history.uid[:8]}-{history.generation}"',
    }


def _template(revision: Revision) -> Json:
    scaling = {"minInstanceCount": revision.least_instances, "maxInstanceCount": revision.most_instances}
    variables = {**revision.variables, "FUNCTION_TARGET": revision.target}
    return {
        "revision": revision.name,
        "scaling": {name: count for name, count in scaling.items() if count},
        "timeout": f"{revision.timeout}s",
        "serviceAccount": revision.account,
        "containers": [
            {
                "name": "worker",
                "env": [{"name": name, "value": value} for name, value in sorted(variables.items())],
            }
        ],
        "maxInstanceRequestConcurrency": revision.concurrency,
    }
