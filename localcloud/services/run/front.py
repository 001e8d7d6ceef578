"""Requests to services: permission, ingress, and pushes as events."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
from werkzeug import Request, Response

from localcloud.core.caller import Caller
from localcloud.core.faults import Fault
from localcloud.core.iam import PROJECT, Iam
from localcloud.core.private_socket import PrivatePool
from localcloud.core.service import Part
from localcloud.core.times import timestamp
from localcloud.engines.function.instance import StartFailed
from localcloud.engines.function.revision import INTERNAL_INGRESS, Revision
from localcloud.engines.function.source import BuildFailed
from localcloud.services.run.serving import Busy, Serving
from localcloud.services.run.views_events import MODE, PUBSUB_MODE, event

PREFIX = "/_run/"
"""Below it are the services, on localcloud's own port: /_run/LOCATION/SERVICE/…"""

INVOKE = "run.services.invoke"
"""The method name of a request to a service in fault plans. No API has it."""

# Headers of one hop or of the caller's path; and the token, which is the caller's secret.
_NOT_FORWARDED = frozenset(
    {"authorization", "connection", "content-length", "expect", "host", "keep-alive", "transfer-encoding"}
)
_NOT_RETURNED = frozenset({"connection", "content-length", "date", "server", "transfer-encoding"})
_CONNECT_SECONDS = 5.0
# The longest time from a process's last connection to its end.
_ENDING_SECONDS = 2.0
_FAILURE = 400


@dataclass(frozen=True)
class _Forwarded:
    """A request as an instance gets it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    is_event: bool


class Front(Part):
    """Answers requests to services. `find` returns a service's `Serving`, None if it does not exist."""

    service = ""
    prefixes = (PREFIX,)

    def __init__(self, iam: Iam, find: Callable[[str], Serving | None], now: Callable[[], float]) -> None:
        self._iam = iam
        self._find = find
        self._now = now

    def identify(self, request: Request) -> tuple[str, Mapping[str, Any]] | None:
        """Return a request's method for the fault plan, with service and location."""
        location, service, _ = _parts(request)
        return INVOKE, {"location": location, "service": service}

    def respond(self, request: Request, caller: Caller, _fault: Fault | None) -> Response:
        """Answer a request: the instance's answer, or Cloud Run's own."""
        location, short, rest = _parts(request)
        service = f"projects/{PROJECT}/locations/{location}/services/{short}"
        serving = self._find(service)
        if serving is None:
            return _text(404, "Page not found: there is no Cloud Run service at this address.")
        revision = serving.revision
        forwarded = _forwarded(request, rest, revision, caller)
        if forwarded is None:
            return _text(404, "Page not found: the service takes no requests from outside its network.")
        if not self._iam.allowed(caller, "run.routes.invoke", service):
            self._note(revision, _NOT_ALLOWED.format(who=caller.email, service=service))
            return _text(403, "Your client does not have permission to get this URL from this server.")
        response = self._run(serving, forwarded)
        dropped = forwarded.is_event and revision.trigger is not None and not revision.trigger.retry
        if response.status_code >= _FAILURE and dropped and response.status_code != Busy.status:
            return Response(status=204)
        return response

    def _run(self, serving: Serving, forwarded: _Forwarded) -> Response:
        revision = serving.revision
        try:
            return self._placed(serving, forwarded)
        except Busy:
            newer = self._find(revision.service)
            if newer is not None and newer is not serving:  # deployed this moment
                return self._run(newer, forwarded)
            self._note(revision, "The request was aborted because there was no available instance.")
            return _text(Busy.status, "Rate exceeded.")
        except (StartFailed, BuildFailed, OSError) as error:
            why = (
                "" if isinstance(error, StartFailed) else f": {error}"
            )  # the instance has written to the log itself
            self._note(
                revision, f"The request failed because the instance could not start successfully{why}."
            )
            return _text(503, "Service Unavailable")
        except urllib3.exceptions.ReadTimeoutError:
            self._note(revision, _TOO_LONG)
            return _text(504, "upstream request timeout")
        except urllib3.exceptions.HTTPError:
            self._note(revision, _MALFORMED)
            return _text(503, "Service Unavailable")

    def _placed(self, serving: Serving, forwarded: _Forwarded) -> Response:
        """Send a request to the instance; raises as `Serving.place` and urllib3 do."""
        with serving.place() as instance:
            try:
                return _forward(instance.socket, serving.revision.timeout, forwarded)
            except urllib3.exceptions.NewConnectionError:
                serving.drop(instance)  # it has just ended by itself, before it got the request
            except urllib3.exceptions.ProtocolError:
                if instance.ends_within(_ENDING_SECONDS):  # during the request, and no request may follow
                    serving.drop(instance)
                raise
        with serving.place() as instance:
            return _forward(instance.socket, serving.revision.timeout, forwarded)

    def _note(self, revision: Revision, message: str) -> None:
        """Write a line of Cloud Run's own into the log of the service."""
        line = {"severity": "WARNING", "time": timestamp(self._now()), "message": message}
        with revision.log.open("a") as log:
            log.write(json.dumps(line) + "\n")


_NOT_ALLOWED = (
    "The request was not authorized to invoke this service: {who} lacks run.routes.invoke on {service}. "
    "Grant it roles/run.invoker there."
)
_TOO_LONG = (
    "The request has been terminated because it has reached the maximum request timeout. To change this limit, see "
    "https://cloud.google.com/run/docs/configuring/request-timeout"
)
_MALFORMED = "The request failed because either the HTTP response was malformed or connection to the instance had an error."


def _forward(socket: Path, seconds: int, forwarded: _Forwarded) -> Response:
    """Return an instance's answer; raises as urllib3 does."""
    with PrivatePool(socket, connect_seconds=_CONNECT_SECONDS) as http:
        answer = http.request(
            forwarded.method,
            forwarded.path,
            body=forwarded.body,
            headers={**forwarded.headers, "Connection": "close"},  # an instance may end between two requests
            timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=seconds),
            redirect=False,
            decode_content=False,
        )
    headers = [(name, value) for name, value in answer.headers.items() if name.lower() not in _NOT_RETURNED]
    return Response(answer.data, status=answer.status, headers=headers)


def _parts(request: Request) -> tuple[str, str, str]:
    """Return location and service of a request, and the path that is left ("/…")."""
    location, _, rest = request.path.removeprefix(PREFIX).partition("/")
    service, _, path = rest.partition("/")
    return location, service, f"/{path}"


def _forwarded(request: Request, path: str, revision: Revision, caller: Caller) -> _Forwarded | None:
    """Return the instance's request; None if the ingress setting refuses it."""
    body, trigger = request.get_data(), revision.trigger
    if trigger is not None and request.args.get(MODE) == PUBSUB_MODE and caller.email == trigger.account:
        found = event(trigger, body)
        if found is not None:
            return _Forwarded("POST", "/", found.headers, found.body, is_event=True)
    if revision.ingress in INTERNAL_INGRESS:
        return None
    headers = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_FORWARDED}
    query = [(name, value) for name, value in request.args.items(multi=True) if name != MODE]
    target = f"{path}?{urlencode(query)}" if query else path
    return _Forwarded(request.method, target, headers, body, is_event=False)


def _text(status: int, text: str) -> Response:
    return Response(f"{text}\n", status=status, content_type="text/plain; charset=utf-8")
