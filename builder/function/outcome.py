"""How an event can end other than in a build, and what a refused call means and what to do about it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

_LONGEST = 500  # characters of an API's own words
_FORBIDDEN = 403
_TRANSIENT = frozenset({401, 408, 429})
_FIRST_SERVER_FAULT = 500
_RATE_LIMITED = frozenset({"RATE_LIMIT_EXCEEDED", "rateLimitExceeded", "userRateLimitExceeded"})
# How Cloud Build refuses a build whose archive its account cannot read just now (docs/facts.md 4).
_UNRESOLVED = re.compile(r"could not resolve source: .*?\bError ([0-9]{3})\b", re.DOTALL)


class NotSubmitted(Exception):
    """No build for this delivery of an event. `severity` is Cloud Logging's; the message holds nothing of the event's."""

    def __init__(self, severity: str, message: str) -> None:
        super().__init__(message)
        self.severity = severity
        self.message = message


class Dropped(NotSubmitted):
    """The event ends here: no later delivery would do better."""


class Redeliver(NotSubmitted):
    """Raised out of the function, so that Pub/Sub delivers the event again; who logs it adds that."""


@dataclass(frozen=True)
class Need:
    """What a call needs: a permission on a resource, and the command that grants it to an account."""

    permission: str
    resource: str
    grant: Callable[[str], str]


def reading(bucket: str, address: str) -> Need:
    """To read live.json. Who may not list objects is told 403 of one that is not there."""
    folder = address.removeprefix(f"gs://{bucket}/").rpartition("/")[0]
    return Need(
        "storage.objects.get",
        f"{address} (or there is no such object, and nothing is deployed)",
        lambda account: (
            f"gcloud storage buckets add-iam-policy-binding gs://{bucket} "
            f"--member=serviceAccount:{account} --role=roles/storage.objectViewer "
            f"--condition=\"title=live,expression=resource.name.startsWith('projects/_/buckets/{bucket}/objects/{folder}/')\""
        ),
    )


def building(verb: str, project: str) -> Need:
    """To list or create builds: by the role that docs/accounts.md makes, since Google's own ones may do far more."""
    return Need(
        f"cloudbuild.builds.{verb}",
        f"project {project}",
        lambda account: (
            f"gcloud projects add-iam-policy-binding {project} "
            f"--member=serviceAccount:{account} --role=projects/{project}/roles/notebookFunction"
        ),
    )


def acting(name: str) -> Need:
    """To submit builds that run as another account, named projects/P/serviceAccounts/ADDRESS."""
    address = name.rpartition("/")[2]
    return Need(
        "iam.serviceAccounts.actAs",
        f"service account {address}",
        lambda account: (
            f"gcloud iam service-accounts add-iam-policy-binding {address} "
            f"--member=serviceAccount:{account} --role=roles/iam.serviceAccountUser"
        ),
    )


def resolving(bucket: str) -> Need:
    """For a build's account to read the archive that the build runs."""
    return Need(
        "storage.objects.get",
        f"gs://{bucket}",
        lambda account: (
            f"gcloud storage buckets add-iam-policy-binding gs://{bucket} "
            f"--member=serviceAccount:{account} --role=roles/storage.objectUser"
        ),
    )


def refused(content: bytes, source: Need, account: str) -> NotSubmitted:
    """What it means that Cloud Build takes no such build: the same one will do no better, with two exceptions.

    Its archive could not be read, or the project is in a state in which Cloud Build takes none, such as a limit of the region.
    `source` is what reading the archive needs, `account` the address of the one who reads it: the build's.
    """
    match = _UNRESOLVED.search(_words(content))
    status = int(match[1]) if match else 0
    if status == _FORBIDDEN or _is_passing(status):
        return failure(status, content, source, lambda: account)
    if match is None and _status(content) == "FAILED_PRECONDITION":
        return Redeliver(
            "ERROR", f"Cloud Build takes no build of this project at present ({_words(content)})."
        )
    return Dropped(
        "ERROR",
        f"No build was submitted: Cloud Build takes none such ({_words(content)}). Deploy again, then publish the message again.",
    )


def failure(status: int, content: bytes, need: Need, own_account: Callable[[], str]) -> Redeliver:
    """What an answer other than 200 means: WARNING where it passes by itself, ERROR where somebody has to act."""
    told = f"{need.permission} was answered {status}: {_words(content)}"
    reason, service = _error_info(content)
    if reason == "SERVICE_DISABLED":
        return Redeliver("ERROR", f"An API is not enabled. gcloud services enable {service} ({told})")
    if status == _FORBIDDEN and reason not in _RATE_LIMITED:
        account = own_account()
        return Redeliver(
            "ERROR",
            f"{account or 'The account of the function'} lacks {need.permission} on {need.resource}. "
            f"Grant it: {need.grant(account or 'ACCOUNT')} ({told})",
        )
    return Redeliver("WARNING" if status == _FORBIDDEN or _is_passing(status) else "ERROR", told)


def _is_passing(status: int) -> bool:
    return status in _TRANSIENT or status >= _FIRST_SERVER_FAULT


def _error_info(content: bytes) -> tuple[str, str]:
    """Google's reason for a refusal, as SERVICE_DISABLED, and the service that it is about; "" where it tells none."""
    try:
        error = json.loads(content)["error"]
        told = [*error.get("details", ()), *error.get("errors", ())]
        found = next(item for item in told if item.get("reason"))
        return str(found["reason"]), str(found.get("metadata", {}).get("service", ""))
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return "", ""


def _status(content: bytes) -> str:
    """Google's word for the refusal, as INVALID_ARGUMENT; "" where it tells none."""
    try:
        return str(json.loads(content)["error"]["status"])
    except (ValueError, KeyError, TypeError):
        return ""


def _words(content: bytes) -> str:
    """An API's own words, left out where they repeat what the event asked for, which may be private."""
    try:
        words = str(json.loads(content)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        words = content.decode(errors="replace")
    if "NB_EVENT" in words:
        return "its words repeat the event's message and are left out."
    return " ".join(words.split())[:_LONGEST]
