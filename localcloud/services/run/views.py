"""A Cloud Run service as its API prints it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from localcloud.core.iam import PROJECT_NUMBER
from localcloud.core.times import timestamp
from localcloud.engines.function.revision import Revision

Json = dict[str, Any]

_INGRESS = {
    "ALLOW_ALL": "INGRESS_TRAFFIC_ALL",
    "ALLOW_INTERNAL_ONLY": "INGRESS_TRAFFIC_INTERNAL_ONLY",
    "ALLOW_INTERNAL_AND_GCLB": "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER",
}


@dataclass(frozen=True)
class History:
    """The values of a service that outlive a revision. Times are seconds since the epoch."""

    uid: str
    creator: str
    created: float
    modifier: str
    updated: float
    generation: int


def service(revision: Revision, history: History, uri: str) -> Json:
    """Return a `Service`. It names no image, because no registry has one."""
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


def knative_service(revision: Revision, history: History, uri: str) -> Json:
    """Return a `Service` of the API v1."""
    _, _, _, location, _, name = revision.service.split("/")
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": PROJECT_NUMBER,
            "uid": history.uid,
            "generation": history.generation,
            "creationTimestamp": timestamp(history.created),
            "labels": {"cloud.googleapis.com/location": location, "goog-managed-by": "cloudfunctions"},
            "annotations": {
                "serving.knative.dev/creator": history.creator,
                "serving.knative.dev/lastModifier": history.modifier,
            },
        },
        "status": {
            "observedGeneration": history.generation,
            "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": timestamp(history.updated)}
            ],
            "latestReadyRevisionName": revision.name,
            "latestCreatedRevisionName": revision.name,
            "url": uri,
        },
    }


def _template(revision: Revision) -> Json:
    variables = {**revision.variables, "FUNCTION_TARGET": revision.target}
    return {
        "revision": revision.name,
        "scaling": {"maxInstanceCount": revision.most_instances},
        "timeout": f"{revision.timeout}s",
        "serviceAccount": revision.account,
        "containers": [
            {
                "name": "worker",
                "env": [{"name": name, "value": value} for name, value in sorted(variables.items())],
            }
        ],
        "maxInstanceRequestConcurrency": 1,
    }
