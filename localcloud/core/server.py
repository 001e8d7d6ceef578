"""The one HTTP port: finds each request's service, caller and due fault, and answers in Google's form."""

from __future__ import annotations

import contextlib
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from werkzeug.exceptions import ClientDisconnected

from localcloud.core.bodies import without_nulls
from localcloud.core.caller import Caller
from localcloud.core.discovery import Match, load
from localcloud.core.errors import ApiError, Style, forbidden, internal, not_found, unimplemented
from localcloud.core.http import HOST, DropConnection, Listener, json_response
from localcloud.core.peers import is_ours
from localcloud.core.service import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from werkzeug import Request, Response

    from localcloud.core.enabled import EnabledServices
    from localcloud.core.faults import Fault, FaultPlan
    from localcloud.core.findings import Findings
    from localcloud.core.iam import Iam
    from localcloud.core.service import Handler, RawService, Service
    from localcloud.core.spec import Spec

CONTROL = "/_localcloud/"

# How long a request that gets lost stays unanswered: longer than any client here waits.
_LOST_SECONDS = 60.0

_DEFAULT_REASONS = {
    400: "invalid",
    401: "authError",
    403: "forbidden",
    404: "notFound",
    409: "conflict",
    412: "conditionNotMet",
    429: "rateLimitExceeded",
    503: "backendError",
}


class Server:
    """Serves API services (by discovery document), raw services (by path prefix) and the control routes.

    All of them answer at `url`. `own_address` gives a service an address at which no other service answers. Without
    `enabled`, every service counts as enabled. `reaches` returns True if requests of a VM, named by its path, arrive.
    """

    def __init__(
        self,
        *,
        specs: Sequence[Spec],
        services: Sequence[Service],
        raw_services: Sequence[RawService],
        control: Callable[[Request], Response],
        iam: Iam,
        faults: FaultPlan,
        findings: Findings,
        enabled: EnabledServices | None = None,
        reaches: Callable[[str], bool] = lambda _vm: True,
        port: int = 0,
        now: Callable[[], float] = time.time,
    ) -> None:
        served = [service.api for service in services]
        known = (api for spec in specs for api in spec.apis)
        # APIs that are served come first: of two versions with the same path, one may have no service here.
        self._apis = [*served, *(api for api in known if api not in served)]
        self._specs = {api: spec for spec in specs for api in spec.apis}
        self._libraries = {api: library for spec in specs for api, library in spec.libraries.items()}
        # By the API as well: two versions of one may have methods of the same id with other schemas.
        self._handlers: dict[tuple[str, str], Handler] = {
            (service.api, name): handler
            for service in services
            for name, handler in service.handlers().items()
        }
        self._raw = [(prefix, service) for service in raw_services for prefix in service.prefixes]
        self._control = control
        self._iam = iam
        self._faults = faults
        self._findings = findings
        self._closing = threading.Event()
        self._enabled = enabled
        self._reaches = reaches
        self._now = now
        listener = Listener(self._respond, port, now=now)
        self._listeners = [listener]
        self.port = listener.port
        self.url = f"http://{listener.address}"

    def own_address(self, spec: Spec, port: int = 0) -> str:
        """Return a URL at which only one service answers, from `start` on; raises OSError if the port is taken."""
        listener = Listener(partial(self._respond, only=spec), port, now=self._now)
        self._listeners.append(listener)
        return f"http://{listener.address}"

    def start(self) -> None:
        """Begin to answer; returns at once."""
        for listener in self._listeners:
            listener.start()

    def close(self) -> None:
        """Stop answering, and end calls that a fault delays."""
        self._closing.set()
        for listener in self._listeners:
            listener.close()

    def _respond(self, request: Request, only: Spec | None = None) -> Response:
        if only is not None:
            request.environ["RAW_URI"] = _without_gcloud_path(request.environ["RAW_URI"], only)
        path = request.environ["RAW_URI"].partition("?")[0]
        style: Style = "compute"
        try:
            if path.startswith(CONTROL):
                _require_own_user(request)
                return self._control(request)
            for prefix, service in self._raw:
                if path.startswith(prefix) and (only is None or service.service == only.service):
                    style = "storage"
                    return self._respond_raw(service, request)
            match = self._find(request.method, path, only)
            style = "compute" if match.method.document.name.startswith("compute.") else "rpc"
            return self._respond_call(match, request)
        except ApiError as error:
            return json_response(error.response_json(style), error.status)
        except DropConnection:
            raise
        except ClientDisconnected as error:  # the caller ended while it sent the request
            raise DropConnection from error
        except Exception as error:
            if self._closing.is_set():  # the service has ended during the request, and the connection too
                raise DropConnection from error
            self._findings.error(f"{request.method} {path}", error)
            return json_response(internal(f"localcloud has a bug: {error!r}").response_json(style), 500)

    def _find(self, verb: str, path: str, only: Spec | None) -> Match:
        """Return the API method of a request, localcloud's services first; raises `ApiError` 404 or 501."""
        known: Match | None = None
        for name in self._apis if only is None else only.apis:
            match = load(name).match(verb, path)
            if match is not None and (name, match.method.id) in self._handlers:
                return match
            known = known or match
        if known is None:
            whose = "Google's APIs" if only is None else only.service
            raise not_found(f"The requested URL {path} was not found: no method of {whose} has this form.")
        method = known.method
        raise unimplemented(f"localcloud does not implement {method.id} of the API {method.document.name}.")

    def _respond_call(self, match: Match, request: Request) -> Response:
        method = match.method
        caller = self._caller(request)
        self._iam.check_known(caller)
        self._require_enabled(self._specs[method.document.name].service)
        _refuse_formats(request)
        self._findings.call(method.id)
        params = method.check_params(match.params, dict(request.args.lists()))
        library = self._libraries.get(method.document.name)
        body = without_nulls(method.check_request(request.get_data(), library))
        fault = self._faults.take(method.id, _facts(params, body, caller))
        specific = fault if fault is not None and not fault.generic else None
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(method.id, params, body, caller, specific, self._iam, headers)

        def act() -> Response:
            answer = self._handlers[method.document.name, method.id](call)
            problems = method.response_problems(answer)
            if problems:
                self._findings.violation(method.id, problems)
                raise internal(
                    f"localcloud's answer to {method.id} does not fit Google's schema: {problems[0]}"
                )
            return json_response(answer)

        return self._under(fault, act)

    def _respond_raw(self, service: RawService, request: Request) -> Response:
        caller = self._caller(request)
        self._require_enabled(service.service)
        fault: Fault | None = None
        identified = service.identify(request)
        if identified is not None:
            method, facts = identified
            self._findings.call(method)
            fault = self._faults.take(method, {**facts, "caller": _name(caller)})
        specific = fault if fault is not None and not fault.generic else None
        return self._under(fault, lambda: service.respond(request, caller, specific))

    def _require_enabled(self, service: str) -> None:
        """Raise `ApiError` 403 for a service that the project has not enabled."""
        if service and self._enabled is not None:
            self._enabled.require(service)

    def _caller(self, request: Request) -> Caller:
        """Return the caller; a VM whose requests get lost on the way waits, then loses the connection."""
        caller = self._iam.caller(request.headers.get("Authorization"))
        if caller.vm and not self._reaches(caller.vm):
            self._closing.wait(_LOST_SECONDS)
            raise DropConnection
        return caller

    def _under(self, fault: Fault | None, act: Callable[[], Response]) -> Response:
        """Apply a generic fault; leave any other fault to the handler."""
        if fault is None or not fault.generic:
            return act()
        if fault.action in {"delay", "stall"}:
            self._closing.wait(float(fault.args["seconds"]))
        if fault.action == "delay":
            return act()
        if fault.action == "delay_after":
            try:
                return act()
            finally:
                self._closing.wait(float(fault.args["seconds"]))
        if fault.action in {"drop_after", "error_after"}:
            with contextlib.suppress(ApiError):
                act().close()
        if fault.action in {"error", "error_after"}:
            _raise_injected(fault.args)
        raise DropConnection


def _require_own_user(request: Request) -> None:
    """Raise `ApiError` 403 for a control request, which needs no token, by another user of the machine."""
    port, own = int(request.environ["REMOTE_PORT"]), int(request.environ["SERVER_PORT"])
    if not is_ours((HOST, port), (HOST, own)):
        raise forbidden("localcloud's control routes answer only the user who started it.")


def _raise_injected(args: Mapping[str, Any]) -> NoReturn:
    status = args["status"]
    reason = args.get("reason", _DEFAULT_REASONS.get(status, "internalError"))
    message = args.get("message", f"Fault injected: {status} {reason}.")
    raise ApiError(status, reason, message, {"details": args["details"]} if "details" in args else None)


def _facts(params: Mapping[str, str], body: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    scalars = {key: value for key, value in body.items() if isinstance(value, str | int | float | bool)}
    return {**scalars, **params, "caller": _name(caller)}


def _name(caller: Caller) -> str:
    return caller.email or "anonymous"


def _refuse_formats(request: Request) -> None:
    """Refuse parameters that would change the form of the answer."""
    form = request.args.get("alt", request.args.get("$alt", "json"))
    if form.partition(";")[0] != "json":
        raise unimplemented(f"localcloud answers in JSON only, not alt={form}.")
    if "fields" in request.args:
        raise unimplemented("localcloud gives no partial answers (the query parameter 'fields').")


def _without_gcloud_path(target: str, spec: Spec) -> str:
    """Return a request's target without the path that gcloud's form of the address has, and Google's clients add too.

    With `--project empty`, the variables have gcloud's form: http://HOST/storage/v1/ (docs/decisions/0038).
    """
    address = f"/{spec.gcloud_path}"
    return target[len(address) :] if target.startswith(f"{address}/") else target
