"""Google's APIs over plain REST, for the services of which the builder uses a few calls."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Mapping

import requests
from google.api_core.exceptions import from_http_response
from google.auth.transport.requests import AuthorizedSession

from builder.gcp.calls import Calls
from builder.gcp.clients import CALL_BUDGET, CALL_TIMEOUT, Access
from builder.model import JsonObject
from builder.ports import Clock

_VERB = re.compile(r":[A-Za-z]+$")


class Rest:
    """JSON over HTTPS with an access token. `service` is an API's host name without `.googleapis.com`."""

    def __init__(
        self, access: Access, clock: Clock, *, timeout: float = CALL_TIMEOUT, budget: float = CALL_BUDGET
    ) -> None:
        self.project = access.project
        self._access = access
        self._calls = Calls(clock, budget, timeout)

    def url(self, service: str, path: str) -> str:
        """The address of a service's path, which begins with the version: `v1/projects/P`."""
        return f"{self._access.endpoint(service)}/{path}"

    def fetch(
        self,
        call: str,
        verb: str,
        url: str,
        body: JsonObject | None = None,
        params: Mapping[str, str] | None = None,
    ) -> JsonObject:
        """The answer to one call. Raises CallFailed."""
        return self._calls.make(
            call, _resource(url), lambda: dict(self._accepted(verb, url, body, params).json())
        )

    def find(
        self, call: str, verb: str, url: str, params: Mapping[str, str] | None = None
    ) -> JsonObject | None:
        """Like `fetch`, but returns None if Google answers 404."""
        return self._calls.unless_missing(
            call, _resource(url), lambda: dict(self._accepted(verb, url, None, params).json())
        )

    def delete(self, call: str, url: str) -> bool:
        """Delete a resource.

        False if there was none; True also if an earlier try, whose reply was lost, may have deleted it.
        """
        return self._calls.delete(call, _resource(url), lambda: self._accepted("DELETE", url, None, None))

    def fetch_dated(self, call: str, url: str) -> tuple[JsonObject, float]:
        """The answer to a GET, and its Date in seconds since the epoch. Raises CallFailed."""

        def send() -> tuple[JsonObject, float]:
            answer = self._accepted("GET", url, None, None)
            return dict(answer.json()), _date(answer)

        return self._calls.make(call, _resource(url), send)

    def now(self, call: str, url: str) -> float:
        """Seconds since the epoch by the Date header of the answer to a GET. An error answer has the header too."""
        return self._calls.make(call, _resource(url), lambda: _date(self._send("GET", url, None, None)))

    def _accepted(
        self, verb: str, url: str, body: JsonObject | None, params: Mapping[str, str] | None
    ) -> requests.Response:
        answer = self._send(verb, url, body, params)
        if not answer.ok:
            raise from_http_response(answer)
        return answer

    def _send(
        self, verb: str, url: str, body: JsonObject | None, params: Mapping[str, str] | None
    ) -> requests.Response:
        with AuthorizedSession(self._access.credentials) as session:
            answer: requests.Response = session.request(
                verb, url, json=body, params=params, timeout=self._calls.timeout
            )
        return answer


def _date(answer: requests.Response) -> float:
    try:
        return email.utils.parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (KeyError, ValueError) as error:
        raise ConnectionError(f"the answer has no readable Date: {error}") from error


def _resource(url: str) -> str:
    """The resource in a URL, as `projects/P/topics/T`, without a verb such as `:publish`."""
    return "projects/" + _VERB.sub("", url.partition("/projects/")[2])
