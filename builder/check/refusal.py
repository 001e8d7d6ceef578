"""The text and the row of a failed call. Pure."""

from __future__ import annotations

import re
from http import HTTPStatus

from builder import gcloud
from builder.check.permissions import ROLE_ID
from builder.check.row import Row, fail, unknown
from builder.ports import CallFailed
from builder.refusals import is_api_disabled, service_of

_REQUIRED = re.compile(r"Required '(compute\.[A-Za-z.]+)' permission")


def words_of(failure: CallFailed) -> str:
    """The failure in a few words: that the API is not enabled or did not answer, else the first line of its message."""
    if is_api_disabled(failure):
        return f"not checked: {service_of(failure)}.googleapis.com is not enabled"
    if failure.transient:
        return f"not checked: no answer ({failure.code})"
    return failure.message.splitlines()[0] if failure.message else failure.code


def refused(what: str, where: str, failure: CallFailed, project: str) -> Row:
    """The row of a failed call to Compute Engine: FAIL if a run would be refused too, else unknown."""
    if is_api_disabled(failure) or failure.http_status != HTTPStatus.FORBIDDEN or failure.transient:
        return unknown(what, where, words_of(failure))
    required = _REQUIRED.search(failure.message)
    ours = required is not None and f"projects/{project}" in failure.message
    if required is not None and ours:
        return fail(what, where, words_of(failure), gcloud.extend_role(project, ROLE_ID, [required[1]]))
    return fail(what, where, words_of(failure), gcloud.show_roles(project, ""))
