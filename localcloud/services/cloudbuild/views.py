"""The API's view of builds: names, and the operation around a build's JSON. Pure."""

from __future__ import annotations

import base64

from localcloud.core.iam import PROJECT, PROJECT_NUMBER
from localcloud.services.cloudbuild.problem import Json

GLOBAL = "global"
"""The location of builds that were made without one."""

_TYPE = "type.googleapis.com/google.devtools.cloudbuild.v1.BuildOperationMetadata"


def build_name(location: str, build_id: str) -> str:
    """Return a build's full name, which has the project's number."""
    return f"projects/{PROJECT_NUMBER}/locations/{location}/builds/{build_id}"


def location_of(build: Json) -> str:
    """Return a build's location: "global" or a region."""
    name: str = build["name"]
    return name.split("/")[3]


def log_url(location: str, build_id: str) -> str:
    """Return the Cloud Console's URL of the log."""
    place = "" if location == GLOBAL else f";region={location}"
    return f"https://console.cloud.google.com/cloud-build/builds{place}/{build_id}?project={PROJECT_NUMBER}"


def operation_name(location: str, build_id: str) -> str:
    """Return the name of the operation that a build is; it holds the build's id, and for a region the region."""
    code = base64.urlsafe_b64encode(build_id.encode()).decode()
    if location == GLOBAL:
        return f"operations/build/{PROJECT}/{code}"
    return f"projects/{PROJECT}/locations/{location}/operations/{code}"


def operation(build: Json) -> Json:
    """Return the operation that a new build is."""
    return {
        "name": operation_name(location_of(build), build["id"]),
        "metadata": {"@type": _TYPE, "build": build},
    }
