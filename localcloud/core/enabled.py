"""The services that a project has enabled, and the refusal of a call to any other."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from localcloud.core.discovery import title
from localcloud.core.errors import ApiError
from localcloud.core.iam.project import PROJECT_NUMBER
from localcloud.core.kept import Kept

CONSUMER = f"projects/{PROJECT_NUMBER}"

# The services that are enabled in a new project (https://cloud.google.com/service-usage/docs/enabled-service).
ENABLED_BY_DEFAULT = frozenset(
    f"{name}.googleapis.com"
    for name in (
        "analyticshub",
        "bigquery",
        "bigqueryconnection",
        "bigquerydatapolicy",
        "bigquerydatatransfer",
        "bigquerymigration",
        "bigqueryreservation",
        "bigquerystorage",
        "cloudapis",
        "cloudtrace",
        "dataform",
        "dataplex",
        "datastore",
        "logging",
        "monitoring",
        "servicemanagement",
        "serviceusage",
        "sql-component",
        "storage",
        "storage-api",
        "storage-component",
    )
)


class EnabledServices:
    """Names such as "compute.googleapis.com", kept in a file; `initial` counts only while there is no file."""

    def __init__(self, file: Path, initial: Iterable[str]) -> None:
        fresh = not file.exists()
        self._kept = Kept(file)
        if fresh:
            for name in initial:
                self._kept.put(name, {})

    def names(self) -> list[str]:
        """Return the names, in order."""
        return self._kept.names()

    def enable(self, name: str) -> None:
        """Enable a service; no effect if it is enabled."""
        if name not in self:
            self._kept.put(name, {})

    def disable(self, name: str) -> None:
        """Disable a service; no effect if it is not enabled."""
        self._kept.remove(name)

    def __contains__(self, name: object) -> bool:
        """True if a service is enabled."""
        return isinstance(name, str) and self._kept.find(name) is not None

    def require(self, service: str) -> None:
        """Raise Google's 403 (`ApiError`) unless a service is enabled."""
        if service not in self:
            raise _disabled(service, title(service))


def _disabled(service: str, title: str) -> ApiError:
    """403: the project has not enabled the service. `title` is its name in Google's sentence."""
    url = f"https://console.developers.google.com/apis/api/{service}/overview?project={PROJECT_NUMBER}"
    message = (
        f"{title} has not been used in project {PROJECT_NUMBER} before or it is disabled. Enable it by visiting {url} "
        "then retry. If you enabled this API recently, wait a few minutes for the action to propagate to our systems "
        "and retry."
    )
    metadata = {
        "service": service,
        "serviceTitle": title,
        "consumer": CONSUMER,
        "containerInfo": PROJECT_NUMBER,
        "activationUrl": url,
    }
    details = [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "SERVICE_DISABLED",
            "domain": "googleapis.com",
            "metadata": metadata,
        },
        {"@type": "type.googleapis.com/google.rpc.LocalizedMessage", "locale": "en-US", "message": message},
        {
            "@type": "type.googleapis.com/google.rpc.Help",
            "links": [{"description": "Google developers console API activation", "url": url}],
        },
    ]
    return ApiError(403, "accessNotConfigured", message, {"details": details})
