"""Turns the exceptions of Google's libraries into CallFailed, with status and reason, and marks transient faults."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import requests
from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError, TransportError
from google.cloud.storage.exceptions import DataCorruption
from google.protobuf.json_format import ParseError

from builder.ports import TRANSIENT_STATUS, CallFailed

# Compute Engine answers 403 for some of these, not 429 (docs/facts.md 1.7).
_TRANSIENT_CODES = frozenset(
    {
        "rateLimitExceeded",
        "userRateLimitExceeded",
        "RATE_LIMIT_EXCEEDED",
        "CONCURRENT_OPERATIONS_QUOTA_EXCEEDED",
        "operationInProgress",
        "resourceNotReady",
        "RESOURCE_NOT_READY",
        "operationRateExceeded",
        "RESOURCE_OPERATION_RATE_EXCEEDED",
    }
)
# A zone without capacity answers 503 too, and repeating the request does not help.
_CAPACITY_CODES = frozenset(
    {
        "insufficientCapacity",
        "stockout",
        "ZONE_RESOURCE_POOL_EXHAUSTED",
        "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS",
    }
)


# The libraries begin their messages with the request; CallFailed names it already.
_REQUEST = re.compile(r"^[A-Z]+ https?://\S+: ")
# The query of an address. In a signed address it is the permission to upload, so it is never logged.
_QUERY = re.compile(r"\?[^\s'\"]*")


@contextmanager
def google_call(call: str, resource: str) -> Iterator[None]:
    """Run a call to Google. What the libraries raise becomes a CallFailed with the cause chained."""
    try:
        yield
    except GoogleAPICallError as error:
        raise _refusal(error, call, resource) from error
    except ParseError as error:
        raise _lost(call, resource, "unreadable", _first_line(error)) from error
    except DataCorruption as error:
        raise _lost(call, resource, "checksumMismatch", str(error)) from error
    except (requests.RequestException, TransportError, ConnectionError, TimeoutError) as error:
        raise _lost(call, resource, "unreachable", _first_line(error)) from error
    except GoogleAuthError as error:
        # There is no token. The fault is transient if the token's server could not be reached.
        if error.retryable or isinstance(error.__cause__, TransportError):
            raise _lost(call, resource, "unreachable", _first_line(error)) from error
        raise CallFailed(
            call=call,
            resource=resource,
            code="authError",
            message=_first_line(error),
            http_status=HTTPStatus.UNAUTHORIZED,
        ) from error


def _refusal(error: GoogleAPICallError, call: str, resource: str) -> CallFailed:
    status = int(error.code) if error.code is not None else None
    code = reason_of(error) or (f"http{status}" if status else type(error).__name__)
    message = _own_words(_REQUEST.sub("", str(error.message or error)))
    return CallFailed(
        call=call,
        resource=resource,
        code=code,
        message=message,
        http_status=status,
        transient=_is_transient(status, code, message),
    )


def _own_words(message: str) -> str:
    """Google's sentence alone. For uploads the library passes on the whole JSON answer."""
    if not message.startswith("{"):
        return message
    try:
        answer, _ = json.JSONDecoder().raw_decode(message)
        return str(answer["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return message


def reason_of(error: GoogleAPICallError) -> str:
    """The reason code of ErrorInfo, else `errors[].reason` of the older format (docs/facts.md 2); "" without one."""
    if error.reason:
        return str(error.reason)
    for entry in error.errors or ():
        reason = entry.get("reason") if isinstance(entry, dict) else None
        if reason:
            return str(reason)
    return ""


def _is_transient(status: int | None, code: str, message: str) -> bool:
    if code in _CAPACITY_CODES:
        return False
    if code in _TRANSIENT_CODES or status in TRANSIENT_STATUS:
        return True
    return (
        status == HTTPStatus.FORBIDDEN
        and "Quota exceeded for quota metric" in message
        and "per minute" in message
    )


def _lost(call: str, resource: str, code: str, message: str) -> CallFailed:
    return CallFailed(call=call, resource=resource, code=code, message=message, transient=True)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return _QUERY.sub(_without_query, lines[0]) if lines else type(error).__name__


def _without_query(found: re.Match[str]) -> str:
    """The replacement for a query: without names and values, but with the bracket that may follow it."""
    named, _, value = found.group().rpartition("=")
    _, bracket, after = value.partition(")")
    return f"?…{bracket}{after}" if named else found.group()
