"""The API's view of builds: times, names, and operations around a build's JSON. Pure."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from localcloud.core.iam import PROJECT, PROJECT_NUMBER
from localcloud.core.times import timestamp
from localcloud.services.cloudbuild.names import FINISHED
from localcloud.services.cloudbuild.problem import Json

GLOBAL = "global"
"""The location of builds that were made without one."""

_TYPE = "type.googleapis.com/google.devtools.cloudbuild.v1."

# The error of an operation whose build did not succeed: google.rpc.Code and message. Users report those of FAILURE;
# for the others Google's page says only that there is an error.
_ERRORS = {
    "FAILURE": (2, "Build failed; check build logs for details"),
    "TIMEOUT": (4, "Build timed out; check build logs for details"),
    "EXPIRED": (4, "Build expired in the queue"),
    "CANCELLED": (1, "Build was cancelled"),
    "INTERNAL_ERROR": (13, "Build failed with an internal error; check build logs for details"),
}


def span(start: float, end: float) -> Json:
    """Return a TimeSpan."""
    return {"startTime": timestamp(start), "endTime": timestamp(end)}


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


def operation_build(name: str) -> tuple[str, str] | None:
    """Return location and id of the build in an operation's name; None for another name."""
    parts = name.split("/")
    try:
        build_id = base64.urlsafe_b64decode(parts[-1]).decode()
    except (ValueError, binascii.Error):
        return None
    if parts[:-1] == ["operations", "build", PROJECT]:
        return GLOBAL, build_id
    if len(parts) == 6 and parts[0::2] == ["projects", "locations", "operations"]:  # noqa: PLR2004  three pairs
        return (parts[3], build_id) if parts[1] in {PROJECT, PROJECT_NUMBER} else None
    return None


def operation(build: Json) -> Json:
    """Return the operation that a build is."""
    shown: Json = {
        "name": operation_name(location_of(build), build["id"]),
        "metadata": {"@type": _TYPE + "BuildOperationMetadata", "build": build},
    }
    if build["status"] not in FINISHED:
        return shown
    return shown | {"done": True} | _result(build)


def _result(build: Json) -> dict[str, Any]:
    if build["status"] == "SUCCESS":
        return {"response": {"@type": _TYPE + "Build", **build}}
    code, message = _ERRORS[build["status"]]
    return {"error": {"code": code, "message": message}}
