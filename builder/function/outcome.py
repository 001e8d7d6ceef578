"""The ways in which an event ends without a build, and the meaning of refused calls. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from builder import gcloud

_MAX_MESSAGE = 500  # characters of an API's message
_TRANSIENT = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_RATE_LIMITED = frozenset({"RATE_LIMIT_EXCEEDED", "rateLimitExceeded", "userRateLimitExceeded"})
# The message of Cloud Build if the build's account cannot read the archive (docs/facts.md 4).
_UNRESOLVED = re.compile(r"could not resolve source: .*?\bError ([0-9]{3})\b", re.DOTALL)


class NotSubmitted(Exception):
    """A delivery of an event that submitted no build.

    `severity` is Cloud Logging's; the message repeats nothing of the event.
    """

    def __init__(self, severity: str, message: str) -> None:
        super().__init__(message)
        self.severity = severity
        self.message = message


class Dropped(NotSubmitted):
    """The event ends here, because a later delivery would fail in the same way."""


class Redeliver(NotSubmitted):
    """Pub/Sub delivers the event again, because the function raises this error."""


@dataclass(frozen=True)
class Need:
    """The permission that a call needs on a resource, and the command that grants it to a member."""

    permission: str
    resource: str
    grant: Callable[[str], str]


def reading(bucket: str, address: str) -> Need:
    """The permission to read live.json. Without the permission to list, a missing object is also a 403."""
    folder = address.removeprefix(f"gs://{bucket}/").rpartition("/")[0]
    return Need(
        "storage.objects.get",
        f"{address} (or there is no such object, and nothing is deployed)",
        lambda member: gcloud.grant_on_folder(bucket, folder, member, "roles/storage.objectViewer"),
    )


def building(verb: str, project: str) -> Need:
    """The permission to list or create builds, in the role of docs/setup.md: Google's own roles permit far more."""
    return Need(
        f"cloudbuild.builds.{verb}",
        f"project {project}",
        lambda member: gcloud.grant_on_project(project, member, f"projects/{project}/roles/notebookFunction"),
    )


def acting(name: str) -> Need:
    """The permission to submit builds that run as another account, projects/P/serviceAccounts/ADDRESS."""
    address = name.rpartition("/")[2]
    return Need(
        "iam.serviceAccounts.actAs",
        f"service account {address}",
        lambda member: gcloud.grant_act_as(address, member),
    )


def resolving(bucket: str) -> Need:
    """The permission that a build's account needs to read the archive of the build."""
    return Need(
        "storage.objects.get",
        f"gs://{bucket}",
        lambda member: gcloud.grant_on_bucket(bucket, member, "roles/storage.objectViewer"),
    )


def refused(content: bytes, source: Need, account: str) -> NotSubmitted:
    """The error for a build that Cloud Build refuses.

    The event is dropped, with two exceptions: a later delivery may succeed if the archive could not be read, or if
    the project is in a state in which it gets no builds, such as a limit of the region. `source` is the permission to
    read the archive, and `account` the address of the build's account, which reads it.
    """
    match = _UNRESOLVED.search(_message(content))
    status = int(match[1]) if match else 0
    if status == HTTPStatus.FORBIDDEN or _is_transient(status):
        return failure(status, content, source, lambda: account)
    if match is None and _error(content).get("status") == "FAILED_PRECONDITION":
        return Redeliver(
            "ERROR", f"Cloud Build accepts no build of this project at present ({_message(content)})."
        )
    return Dropped(
        "ERROR",
        f"No build was submitted: Cloud Build refused it ({_message(content)}). Deploy again, then publish the message again.",
    )


def failure(status: int, content: bytes, need: Need, own_account: Callable[[], str]) -> Redeliver:
    """The meaning of an answer other than 200: WARNING if it passes by itself, ERROR if somebody has to act."""
    answer = f"The call that needs {need.permission} returned {status}: {_message(content)}"
    reason, service = _reason(content)
    if reason == "SERVICE_DISABLED":
        return Redeliver(
            "ERROR",
            f"The API {service}.googleapis.com is not enabled. Enable it: {gcloud.enable(service)} ({answer})",
        )
    if status == HTTPStatus.FORBIDDEN and reason not in _RATE_LIMITED:
        account = own_account()
        return Redeliver(
            "ERROR",
            f"{account or 'The account of the function'} lacks {need.permission} on {need.resource}. "
            f"Grant it: {need.grant(gcloud.member(account, unknown='ACCOUNT'))} ({answer})",
        )
    return Redeliver(
        "WARNING" if status == HTTPStatus.FORBIDDEN or _is_transient(status) else "ERROR", answer
    )


def _is_transient(status: int) -> bool:
    return status in _TRANSIENT or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _error(content: bytes) -> dict[str, Any]:
    """Google's description of a refusal; empty if the answer has none."""
    try:
        error = json.loads(content)["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}


def _reason(content: bytes) -> tuple[str, str]:
    """Google's reason for a refusal, such as SERVICE_DISABLED, and the service that it concerns; "" if unknown."""
    error = _error(content)
    try:
        details = [*error.get("details", ()), *error.get("errors", ())]
        found = next(item for item in details if item.get("reason"))
        service = str(found.get("metadata", {}).get("service", ""))
    except (TypeError, AttributeError, StopIteration):
        return "", ""
    return str(found["reason"]), service.removesuffix(".googleapis.com")


def _message(content: bytes) -> str:
    """The API's message, without one that repeats the event, which may be private."""
    text = str(_error(content).get("message", content.decode(errors="replace")))
    if "NB_EVENT" in text:
        return "the API's message repeats the event and is left out"
    return " ".join(text.split())[:_MAX_MESSAGE]
