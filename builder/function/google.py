"""The function's client of Google's APIs: plain REST, because a client library would take most of the cold start."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

import google.auth
import requests
from google.auth.compute_engine import _metadata
from google.auth.credentials import Credentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession, Request

from builder.function.outcome import Redeliver
from builder.model import JsonObject
from builder.options.environment import read_environment

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
_TIMEOUT = 20.0  # seconds for one call; an event needs about four calls and has 120 seconds


@dataclass(frozen=True)
class Response:
    """An API's response: its status, the time by the API's clock, and its bytes."""

    status: int
    now: datetime
    content: bytes


class Google:
    """Makes calls as the function's account, over one session."""

    def __init__(self, session: AuthorizedSession, endpoints: Mapping[str, str]) -> None:
        self._session = session
        self._endpoints = endpoints

    def call(
        self,
        service: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: JsonObject | None = None,
    ) -> Response:
        """Send a GET, or a POST if there is a body, and return the answer of any status.

        Raises Redeliver without an answer.
        """
        url = self._endpoints.get(service, f"https://{service}.googleapis.com") + path
        verb = "GET" if body is None else "POST"
        try:
            got = self._session.request(verb, url, params=params, json=body, timeout=_TIMEOUT)
            return Response(got.status_code, parsedate_to_datetime(got.headers["Date"]), got.content)
        except (requests.RequestException, GoogleAuthError) as error:
            raise _transient(f"{service} gave no answer ({type(error).__name__}).") from error
        except (KeyError, ValueError) as error:
            raise _transient(f"{service} gave an answer without a date.") from error


@contextmanager
def connected() -> Iterator[Google]:
    """A client for one event, at the endpoints of this environment.

    Raises Redeliver if there are no credentials at present.

    Each event has a session of its own: Google freezes idle instances, and their connections may be dead.
    """
    endpoints, credentials = _environment()
    with AuthorizedSession(credentials) as session:
        yield Google(session, endpoints)


def own_account() -> str:
    """The address of the function's account; "" if the metadata server does not answer."""
    try:
        # The credentials' own field is "default" until their first refresh.
        return str(_metadata.get(Request(), "instance/service-accounts/default/email"))
    except GoogleAuthError:
        return ""


@functools.cache
def _environment() -> tuple[Mapping[str, str], Credentials]:
    environment = read_environment(os.environ, with_options=False)
    if environment.problems:  # never send a token to a wrong endpoint
        raise Redeliver("ERROR", f"{'; '.join(map(str, environment.problems))}. Deploy again.")
    try:
        credentials, _ = google.auth.default(scopes=_SCOPES)
    except GoogleAuthError as error:
        raise _transient(f"There are no credentials ({type(error).__name__}).") from error
    return environment.endpoints, credentials


def _transient(what: str) -> Redeliver:
    return Redeliver("WARNING", what)
