"""The Cloud Build that a schedule submits, complete except for the event. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from builder.deploy.live import ArchiveRef
from builder.model import LIVE_TAG, GcsLocation, JsonObject
from builder.plan.build_plan import MAX_BUILD_SECONDS
from builder.plan.deployed import CONFIG

# Seconds beside the plan's worst case: to start the step, to wait for a run that may hold the event, to report the
# result.
ALLOWANCE = 600
# Seconds that a build may wait in the queue. After the default of one hour it would end without a message.
MAX_QUEUE_SECONDS = 6 * 3600
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
    """The build in the form of Cloud Build's REST API.

    `image` has a digest; `endpoints` are the builder's own overrides.
    """
    env = [
        f"NB_CONFIG={CONFIG}",
        f"NB_GCS_LOCATION={location.url()}",
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
        "timeout": f"{min(worst_case_seconds + ALLOWANCE, MAX_BUILD_SECONDS)}s",
        "queueTtl": f"{MAX_QUEUE_SECONDS}s",
        "serviceAccount": f"projects/{project}/serviceAccounts/{account}",
        "tags": ["notebook-builder", LIVE_TAG + function],
        "options": {"logging": "CLOUD_LOGGING_ONLY", "automapSubstitutions": True},
    }


def overrides(endpoints: Mapping[str, str]) -> list[str]:
    """The endpoints as sorted environment variables, for processes that must use the same ones as the builder."""
    return [f"{_OVERRIDE}{service.upper()}={url}" for service, url in sorted(endpoints.items())]
