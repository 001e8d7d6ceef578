"""Names of topics and subscriptions."""

from __future__ import annotations

import re

from localcloud.core.iam import by_id
from localcloud.core.service import Call
from localcloud.services.pubsub.refusals import bad_name

_ID = re.compile(r"[A-Za-z][A-Za-z0-9._~+%-]{2,254}")
_TOPIC = re.compile(r"projects/[^/]+/topics/[^/]+")
DELETED_TOPIC = "_deleted-topic_"


def authorize_new(call: Call, permission: str) -> str:
    """Return the name of a new resource; raises `ApiError` 400, or 403 without the permission on the project."""
    parent, _, short = call.params["name"].rpartition("/")
    call.authorize(permission, parent.rpartition("/")[0])
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
