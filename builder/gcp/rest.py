"""Google's APIs over plain REST, for services of which we use a call or two: one request, its answer, and its Date."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import requests
from google.api_core.exceptions import from_http_response
from google.auth.transport.requests import AuthorizedSession

from builder.act.waiting import retry_transient
from builder.gcp.clients import CALL_BUDGET, CALL_TIMEOUT, Access
from builder.gcp.failures import google_call
from builder.model import JsonObject
from builder.ports import CallFailed, Clock

T = TypeVar("T")

NOT_FOUND = 404
_VERB = re.compile(r":[A-Za-z]+$")


@dataclass(frozen=True)
class Calls:
    """How a door calls: every call ends as an answer or as CallFailed, its passing faults repeated within the budget."""

    clock: Clock
    budget: float = CALL_BUDGET

    def make(self, call: str, resource: str, action: Callable[[], T]) -> T:
        """Carry out the call named so, on this resource."""

        def once() -> T:
            with google_call(call, resource):
                return action()

        return retry_transient(once, budget=self.budget, clock=self.clock)

    def unless_missing(self, call: str, resource: str, action: Callable[[], T]) -> T | None:
        """The same; None where Google says 404."""
        try:
            return self.make(call, resource, action)
        except CallFailed as failure:
            if failure.http_status == NOT_FOUND:
                return None
            raise


class Rest:
    """JSON over HTTPS with our token; `service` is an API's host without `.googleapis.com`."""

    def __init__(
        self, access: Access, clock: Clock, *, timeout: float = CALL_TIMEOUT, budget: float = CALL_BUDGET
    ) -> None:
        self._access = access
        self._timeout = timeout
        self._calls = Calls(clock, budget)

    def url(self, service: str, path: str) -> str:
        """The address of a path of the service, with its version: `v1/projects/P`."""
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

        def send() -> JsonObject:
            answer = self._send(verb, url, body, params)
            if not answer.ok:
                raise from_http_response(answer)
            return dict(answer.json())

        return self._calls.make(call, _resource(url), send)

    def find(
        self, call: str, verb: str, url: str, params: Mapping[str, str] | None = None
    ) -> JsonObject | None:
        """The same; None where Google says 404."""
        try:
            return self.fetch(call, verb, url, params=params)
        except CallFailed as failure:
            if failure.http_status == NOT_FOUND:
                return None
            raise

    def fetch_dated(self, call: str, url: str) -> tuple[JsonObject, float]:
        """The answer to a GET, and its Date in seconds since the epoch. Raises CallFailed."""

        def send() -> tuple[JsonObject, float]:
            answer = self._send("GET", url, None, None)
            if not answer.ok:
                raise from_http_response(answer)
            return dict(answer.json()), _date(answer)

        return self._calls.make(call, _resource(url), send)

    def now(self, call: str, url: str) -> float:
        """Seconds since the epoch by the Date header of the answer to a GET; an error has one, too."""
        return self._calls.make(call, _resource(url), lambda: _date(self._send("GET", url, None, None)))

    def call(self, call: str, resource: str, action: Callable[[], T]) -> T:
        """Something else than a request with our token, repeated and told in the same way."""
        return self._calls.make(call, resource, action)

    def _send(
        self, verb: str, url: str, body: JsonObject | None, params: Mapping[str, str] | None
    ) -> requests.Response:
        with AuthorizedSession(self._access.credentials) as session:
            answer: requests.Response = session.request(
                verb, url, json=body, params=params, timeout=self._timeout
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
