"""The Cloud Build that a schedule submits: all of it but the event. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from builder.deploy.live import ArchiveRef
from builder.model import LIVE_TAG, GcsLocation, JsonObject
from builder.plan.deployed import CONFIG
from builder.plan.make import LONGEST_BUILD

# Seconds beside the plan's worst case: to start the step, to wait for a run that may hold the event, to tell the result.
ALLOWANCE = 600
# Seconds that a build may wait for its turn: an hour by default, after which it would be gone without having said a word.
LONGEST_QUEUE = 6 * 3600
_OVERRIDE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_"


def scheduled_build(
    *,
    function: str,
    project: str,
    location: GcsLocation,
    archive: ArchiveRef,
    image: str,
    account: str,
    endpoints: Mapping[str, str],
    worst_case_seconds: int,
) -> JsonObject:
    """The build as Cloud Build's REST API takes it. `image` is named by digest, `endpoints` are the builder's own overrides."""
    env = [
        f"NB_CONFIG={CONFIG}",
        f"NB_GCS_LOCATION={location.url().rstrip('/')}",
        f"PROJECT_ID={project}",
        *overrides(endpoints),
    ]
    return {
        "source": {
            "storageSource": {
                "bucket": location.bucket,
                "object": archive.object,
                "generation": archive.generation,
            }
        },
        "steps": [{"id": "notebooks", "name": image, "args": ["run"], "env": env}],
        "timeout": f"{min(worst_case_seconds + ALLOWANCE, LONGEST_BUILD)}s",
        "queueTtl": f"{LONGEST_QUEUE}s",
        "serviceAccount": f"projects/{project}/serviceAccounts/{account}",
        "tags": ["notebook-builder", LIVE_TAG + function],
        "options": {"logging": "CLOUD_LOGGING_ONLY", "automapSubstitutions": True},
    }


def overrides(endpoints: Mapping[str, str]) -> list[str]:
    """The endpoints as variables of a process, sorted: whoever the builder starts finds Google where the builder does."""
    return [f"{_OVERRIDE}{service.upper()}={url}" for service, url in sorted(endpoints.items())]
