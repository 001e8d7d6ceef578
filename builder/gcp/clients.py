"""The credentials, the project and the endpoints that all clients share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import google.auth
from google.auth.credentials import Credentials
from google.auth.exceptions import DefaultCredentialsError

from builder.errors import ProjectSetup

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
# Seconds for one request and its answer. Google's default of 600 is longer than every budget.
CALL_TIMEOUT = 30.0
CALL_BUDGET = 120.0  # seconds for a call with all its repetitions
# The same for a call after one that used its budget up.
OUTAGE_TIMEOUT, OUTAGE_BUDGET = 5.0, 10.0


@dataclass(frozen=True)
class Access:
    """The arguments that every client needs: credentials, project and endpoints."""

    credentials: Credentials
    project: str
    endpoints: Mapping[str, str]

    def endpoint(self, service: str) -> str:
        """The service's base URL without a version path: an override, else Google's."""
        return self.endpoints.get(service) or f"https://{service}.googleapis.com"


def open_access(project: str | None, endpoints: Mapping[str, str]) -> Access:
    """Find the credentials of this environment. Raises ProjectSetup if there are none, or if no project is named."""
    try:
        credentials, own_project = google.auth.default(scopes=_SCOPES)
    except DefaultCredentialsError as error:
        raise ProjectSetup(
            f"No Google credentials were found: {str(error).splitlines()[0]}",
            reason="no_credentials",
            advice="In Cloud Build give the build a serviceAccount; elsewhere: gcloud auth application-default login.",
        ) from error
    chosen = project or own_project
    if not chosen:
        raise ProjectSetup(
            "The credentials name no project, and PROJECT_ID is not set.",
            reason="no_project",
            advice="Add PROJECT_ID=$PROJECT_ID to the step's env.",
        )
    return Access(credentials=credentials, project=chosen, endpoints=endpoints)
