"""Names of topics and subscriptions, and the check that comes before everything else in a call."""

from __future__ import annotations

import re

from localcloud.iam import PROJECT, by_id
from localcloud.pubsub.refusals import bad_name, denied
from localcloud.service import Call

_ID = re.compile(r"[A-Za-z][A-Za-z0-9._~+%-]{2,254}")
_TOPIC = re.compile(r"projects/[^/]+/topics/[^/]+")
DELETED_TOPIC = "_deleted-topic_"


def authorize(call: Call, permission: str, resource: str) -> str:
    """Return the resource's name with the project's id; raises `ApiError` 403 without the permission."""
    name = by_id(resource)
    call.require(permission, name)
    if name.split("/")[1] != PROJECT:
        raise denied()
    return name


def authorize_new(call: Call, permission: str) -> str:
    """Return the name of what a call creates; raises `ApiError` 403, which is asked of the project, or 400."""
    parent, _, short = call.params["name"].rpartition("/")
    authorize(call, permission, parent.rpartition("/")[0])
    if not _ID.fullmatch(short) or short.startswith("goog"):
        raise bad_name(call.params["name"])
    return by_id(call.params["name"])


def check_topic(name: str) -> None:
    """Raise `ApiError` 400 for what is no topic's name."""
    if not _TOPIC.fullmatch(name):
        raise bad_name(name)


def short_name(name: str) -> str:
    """Return the last part of a name."""
    return name.rpartition("/")[2]
