"""What stands before the instances: who may invoke a service and from where, what a push becomes, how many at once, how long."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import urllib3
from werkzeug import Request, Response

from localcloud.iam import PROJECT, Iam
from localcloud.listener import HOST
from localcloud.run.events import MODE, PUBSUB_MODE, event
from localcloud.run.instance import StartFailed
from localcloud.run.instances import Busy, Instances
from localcloud.run.revision import INTERNAL_INGRESS, Revision
from localcloud.service import Caller
from localcloud.timestamps import timestamp

PREFIX = "/_run/"
"""Below it are the services, on localcloud's own port: /_run/LOCATION/SERVICE/…"""

INVOKE = "run.services.invoke"
"""What a fault plan calls a request to a service; no API has it."""

# Hop by hop, or about the caller's way here; the token is the caller's secret.
_NOT_FORWARDED = frozenset(
    {"authorization", "connection", "content-length", "expect", "host", "keep-alive", "transfer-encoding"}
)
_NOT_RETURNED = frozenset({"connection", "content-length", "date", "server", "transfer-encoding"})
_CONNECT_SECONDS = 5.0
# How long a process may take from its last connection to its end.
_ENDING_SECONDS = 2.0
_FAILURE = 400


@dataclass(frozen=True)
class _Forwarded:
    """A request as an instance gets it; `trigger` tells whether it is an event."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    is_event: bool


class Front:
    """Answers requests for services. `find` gives a service's instances, None where there is none."""

    prefixes = (PREFIX,)

    def __init__(self, iam: Iam, find: Callable[[str], Instances | None], now: Callable[[], float]) -> None:
        self._iam = iam
        self._find = find
        self._now = now
        self._http = urllib3.PoolManager(num_pools=32, maxsize=32, retries=False)

    def identify(self, request: Request) -> tuple[str, Mapping[str, Any]] | None:
        """Name a request for the fault plan, with the service and its location."""
        location, service, _ = _parts(request)
        return INVOKE, {"location": location, "service": service}

    def respond(self, request: Request, caller: Caller) -> Response:
        """Answer a request, by an instance or with what Cloud Run says of it."""
        location, short, rest = _parts(request)
        service = f"projects/{PROJECT}/locations/{location}/services/{short}"
        instances = self._find(service)
        if instances is None:
            return _text(404, "Page not found: there is no Cloud Run service at this address.")
        revision = instances.revision
        forwarded = _forwarded(request, rest, revision, caller)
        if forwarded is None:
            return _text(404, "Page not found: the service takes no requests from outside its network.")
        if not self._iam.allowed(caller, "run.routes.invoke", service):
            self._note(revision, _NOT_ALLOWED.format(who=caller.email, service=service))
            return _text(403, "Your client does not have permission to get this URL from this server.")
        response = self._run(instances, forwarded)
        dropped = forwarded.is_event and revision.trigger is not None and not revision.trigger.retry
        if response.status_code >= _FAILURE and dropped and response.status_code != Busy.status:
            return Response(status=204)
        return response

    def inventory(self) -> Mapping[str, list[Any]]:
        """Return nothing: functions are listed by Cloud Functions."""
        return {}

    def close(self) -> None:
        """Let go of the connections."""
        self._http.clear()

    def _run(self, instances: Instances, forwarded: _Forwarded) -> Response:
        revision = instances.revision
        try:
            return self._placed(instances, forwarded)
        except Busy:
            newer = self._find(revision.service)
            if newer is not None and newer is not instances:  # deployed this moment
                return self._run(newer, forwarded)
            self._note(revision, "The request was aborted because there was no available instance.")
            return _text(Busy.status, "Rate exceeded.")
        except StartFailed:
            self._note(revision, "The request failed because the instance could not start successfully.")
            return _text(503, "Service Unavailable")
        except urllib3.exceptions.ReadTimeoutError:
            self._note(revision, _TOO_LONG)
            return _text(504, "upstream request timeout")
        except urllib3.exceptions.HTTPError:
            self._note(revision, _MALFORMED)
            return _text(503, "Service Unavailable")

    def _placed(self, instances: Instances, forwarded: _Forwarded) -> Response:
        """Have an instance answer; raises as `Instances.place` and urllib3 do."""
        with instances.place() as instance:
            try:
                return self._forward(instance.port, instances.revision.timeout, forwarded)
            except urllib3.exceptions.NewConnectionError:
                instances.drop(
                    instance
                )  # it ended by itself a moment ago, and has seen nothing of the request
            except urllib3.exceptions.ProtocolError:
                if instance.ends_within(
                    _ENDING_SECONDS
                ):  # in the midst of the request, and none shall follow
                    instances.drop(instance)
                raise
        with instances.place() as instance:
            return self._forward(instance.port, instances.revision.timeout, forwarded)

    def _forward(self, port: int, seconds: int, forwarded: _Forwarded) -> Response:
        answer = self._http.request(
            forwarded.method,
            f"http://{HOST}:{port}{forwarded.path}",
            body=forwarded.body,
            headers={**forwarded.headers, "Connection": "close"},  # an instance may end between two requests
            timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=seconds),
            redirect=False,
            decode_content=False,
        )
        headers = [
            (name, value) for name, value in answer.headers.items() if name.lower() not in _NOT_RETURNED
        ]
        return Response(answer.data, status=answer.status, headers=headers)

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


def _parts(request: Request) -> tuple[str, str, str]:
    """Return location and service of a request, and the path that is left ("/…")."""
    location, _, rest = request.path.removeprefix(PREFIX).partition("/")
    service, _, path = rest.partition("/")
    return location, service, f"/{path}"


def _forwarded(request: Request, path: str, revision: Revision, caller: Caller) -> _Forwarded | None:
    """Return what an instance gets; None for a request that the ingress setting keeps out."""
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
