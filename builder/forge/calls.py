"""One call to a forge's API with a token. No redirect is followed. Size and time of an answer are bounded."""

from __future__ import annotations

import email.utils
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import requests
import urllib3

from builder import __version__
from builder.plain_text import one_line
from builder.ports import TRANSIENT_STATUS, CallFailed, Clock
from builder.strict_json import UnreadableJson, read_value

MAX_BYTES = 64 * 2**20  # of an answer; a page has 50 comments
_TIMEOUT = 20.0  # seconds to connect, and for each piece of an answer
_MAX_SECONDS = 60.0  # seconds for a whole answer
_PIECE = 1 << 16
_SECONDARY = (
    "secondary rate limit"  # GitHub's words, with or without headers; it asks for a minute's pause then
)
_PAUSE = 60.0
CERTIFICATE = "certificate"  # the code of a CallFailed whose forge shows a certificate that is not trusted


class ForgeCalls:
    """Calls of one API. `headers` are those that every call has. No error contains the token."""

    def __init__(self, api: str, token: str, clock: Clock, headers: Mapping[str, str]) -> None:
        self._api = api
        self._token = token
        self._clock = clock
        # Without compression, the size of an answer is what is read.
        own = {"User-Agent": f"notebook-builder/{__version__}", "Accept-Encoding": "identity"}
        self._headers = {**own, **headers}

    def send(
        self,
        verb: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the JSON value of the answer. Raises CallFailed."""
        try:
            with requests.request(
                verb,
                f"{self._api}/{path}",
                json=body,
                params=params,
                headers=self._headers,
                auth=self._sign,  # else requests takes a password for this host from ~/.netrc
                timeout=_TIMEOUT,
                allow_redirects=False,
                stream=True,
            ) as answer:
                content = self._read(answer)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            untrusted = "CERTIFICATE_VERIFY_FAILED" in str(error)
            code = CERTIFICATE if untrusted else "unreachable"
            raise self._failed(verb, path, code, str(error), transient=not untrusted) from None
        except OSError as error:  # the file that REQUESTS_CA_BUNDLE names cannot be read
            raise self._failed(verb, path, CERTIFICATE, str(error), transient=False) from None
        if not HTTPStatus.OK <= answer.status_code < HTTPStatus.MULTIPLE_CHOICES:
            raise self._refused(verb, path, answer, content)
        try:
            return read_value(content)
        except UnreadableJson as error:
            raise self._failed(verb, path, "unreadable", f"the answer is {error}", transient=True) from None

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def _read(self, answer: requests.Response) -> bytes:
        """Return the body. Raises requests.ConnectionError if it is too long, or takes too long."""
        deadline = self._clock.monotonic() + _MAX_SECONDS
        content = bytearray()
        while piece := answer.raw.read1(_PIECE):
            content += piece
            if len(content) > MAX_BYTES:
                raise requests.ConnectionError(f"the answer is longer than {MAX_BYTES} bytes")
            if self._clock.monotonic() > deadline:
                raise requests.ConnectionError(f"the answer takes longer than {_MAX_SECONDS:.0f} s")
        return bytes(content)

    def _refused(self, verb: str, path: str, answer: requests.Response, content: bytes) -> CallFailed:
        status, headers = answer.status_code, answer.headers
        message = _message(content) or answer.reason or "no reason given"
        secondary = _SECONDARY in message.lower()
        limited = status == HTTPStatus.FORBIDDEN and (
            secondary or "Retry-After" in headers or headers.get("X-RateLimit-Remaining") == "0"
        )
        code = "rateLimited" if limited or status == HTTPStatus.TOO_MANY_REQUESTS else f"http{status}"
        return self._failed(
            verb,
            path,
            code,
            message,
            status=status,
            transient=limited or status in TRANSIENT_STATUS,
            retry_after=_pause(headers, secondary=secondary)
            if code == "rateLimited" or status in TRANSIENT_STATUS
            else 0.0,
        )

    def _failed(
        self,
        verb: str,
        path: str,
        code: str,
        message: str,
        *,
        transient: bool,
        status: int | None = None,
        retry_after: float = 0.0,
    ) -> CallFailed:
        return CallFailed(
            call=f"{verb} {path}",
            resource=self._api,
            code=code,
            message=one_line(message.replace(self._token, "[token]")),
            http_status=status,
            transient=transient,
            retry_after=retry_after,
        )


def _message(content: bytes) -> str:
    """Return the error's text in an answer: `message` or `error`, which GitLab can give as an object."""
    try:
        found = read_value(content)
    except UnreadableJson:
        return ""
    text = found.get("message") or found.get("error") if isinstance(found, dict) else None
    details = found.get("errors") if isinstance(found, dict) else None
    shown = text if isinstance(text, str) else json.dumps(text) if text else ""
    return f"{shown}: {json.dumps(details)}" if details else shown


def _pause(headers: Mapping[str, str], *, secondary: bool) -> float:
    """Return the seconds to wait: `Retry-After`, else a minute, or the time of GitHub's rate limit; 0 for none."""
    asked, reset = headers.get("Retry-After", ""), headers.get("X-RateLimit-Reset", "")
    if asked.isdecimal():
        return float(asked)
    if headers.get("X-RateLimit-Remaining") != "0" or not reset.isdecimal():
        return _PAUSE if secondary else 0.0
    try:
        now = email.utils.parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return 0.0
    return max(0.0, float(reset) - now)
