"""What a call that failed says in a row. Pure."""

from __future__ import annotations

import re

from builder.check import gcloud
from builder.check.row import Row, fail, unknown
from builder.ports import CallFailed

_DISABLED = frozenset({"accessNotConfigured", "SERVICE_DISABLED"})
_FORBIDDEN = 403
_REQUIRED = re.compile(r"Required '(compute\.[A-Za-z.]+)' permission")


def is_disabled(failure: CallFailed) -> bool:
    """Whether the API is not enabled in the project."""
    return failure.code in _DISABLED


def said(failure: CallFailed) -> str:
    """The failure in a few words: the API's own, where they say more than its row does."""
    if is_disabled(failure):
        return f"cannot be told: {failure.call.partition('.')[0]}.googleapis.com is not enabled"
    if failure.transient:
        return f"cannot be told: no answer ({failure.code})"
    return failure.message.splitlines()[0] if failure.message else failure.code


def refused(what: str, where: str, failure: CallFailed, project: str) -> Row:
    """The row of a call to Compute Engine that told nothing; a refusal that a run would meet too is a FAIL."""
    if failure.http_status != _FORBIDDEN or is_disabled(failure) or failure.transient:
        return unknown(what, where, said(failure))
    required = _REQUIRED.search(failure.message)
    ours = required is not None and f"projects/{project}" in failure.message
    if required is not None and ours:
        return fail(what, where, said(failure), gcloud.extend_role(project, [required[1]]))
    return fail(what, where, said(failure), gcloud.show_roles(project, ""))
