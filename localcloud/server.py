"""The one HTTP port: finds the service for each request, who calls, and the fault that is due; answers in Google's shape."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, NoReturn

from localcloud.discovery import Match, load
from localcloud.errors import ApiError, Style, internal, not_found, unimplemented
from localcloud.listener import DropConnection, Listener, json_response
from localcloud.method_ids import APIS
from localcloud.service import Call, Caller, attach_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from werkzeug import Request, Response

    from localcloud.faults import Fault, FaultPlan
    from localcloud.findings import Findings
    from localcloud.iam import Iam
    from localcloud.service import Handler, RawService, Service

CONTROL = "/_localcloud/"

# Google's APIs that our users call; those without a service here are refused by the method's name, not by "not found".
_KNOWN_APIS = (*APIS, "run.v1")
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
    """Serves API services (by discovery document), raw services (by path prefix) and the control routes."""

    def __init__(
        self,
        *,
        services: Sequence[Service],
        raw_services: Sequence[RawService],
        control: Callable[[Request], Response],
        iam: Iam,
        faults: FaultPlan,
        findings: Findings,
        port: int = 0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._apis = [service.api for service in services]
        # By the API as well: two versions of one may have methods of the same id, which take and give other things.
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
        self._listener = Listener(self._respond, port, now=now)
        self.port = self._listener.port
        self.url = f"http://{self._listener.address}"

    def start(self) -> None:
        """Begin to answer; returns at once."""
        self._listener.start()

    def close(self) -> None:
        """Stop answering; calls that a fault holds back end now."""
        self._closing.set()
        self._listener.close()

    def _respond(self, request: Request) -> Response:
        path = request.environ["RAW_URI"].partition("?")[0]
        style: Style = "compute"
        try:
            if path.startswith(CONTROL):
                return self._control(request)
            for prefix, service in self._raw:
                if path.startswith(prefix):
                    style = "storage"
                    return self._respond_raw(service, request)
            match = self._find(request.method, path)
            style = "compute" if match.method.document.name.startswith("compute.") else "rpc"
            return self._respond_call(match, request)
        except ApiError as error:
            return json_response(error.response_json(style), error.status)
        except DropConnection:
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, the caller gets a 500 and we a record
            self._findings.error(f"{request.method} {path}", error)
            return json_response(internal(f"localcloud has a bug: {error!r}").response_json(style), 500)

    def _find(self, verb: str, path: str) -> Match:
        """Return the API method meant, of the services here first; raises `ApiError` 404 or 501."""
        others = [name for name in _KNOWN_APIS if name not in self._apis]
        known: Match | None = None
        for name in (*self._apis, *others):
            match = load(name).match(verb, path)
            if match is not None and (name, match.method.id) in self._handlers:
                return match
            known = known or match
        if known is None:
            raise not_found(
                f"The requested URL {path} was not found: no method of Google's APIs has this form."
            )
        method = known.method
        raise unimplemented(f"localcloud does not implement {method.id} of the API {method.document.name}.")

    def _respond_call(self, match: Match, request: Request) -> Response:
        method = match.method
        caller = self._caller(request)
        _refuse_formats(request)
        self._findings.call(method.id)
        params = method.check_params(match.params, dict(request.args.lists()))
        body = method.check_request(request.get_data())
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
        fault: Fault | None = None
        identified = service.identify(request)
        if identified is not None:
            method, facts = identified
            self._findings.call(method)
            fault = self._faults.take(method, {**facts, "caller": _name(caller)})
        attach_fault(request, None if fault is None or fault.generic else fault)
        return self._under(fault, lambda: service.respond(request, caller))

    def _caller(self, request: Request) -> Caller:
        return self._iam.caller(request.headers.get("Authorization"))

    def _under(self, fault: Fault | None, act: Callable[[], Response]) -> Response:
        """Act as a generic fault has it; any other fault is the handler's business."""
        if fault is None or not fault.generic:
            return act()
        if fault.action in {"delay", "stall"}:
            self._closing.wait(float(fault.args["seconds"]))
        if fault.action == "delay":
            return act()
        if fault.action in {"drop_after", "error_after"}:
            with contextlib.suppress(ApiError):
                act().close()
        if fault.action in {"error", "error_after"}:
            _raise_injected(fault.args)
        raise DropConnection


def _raise_injected(args: Mapping[str, Any]) -> NoReturn:
    status = args["status"]
    reason = args.get("reason", _DEFAULT_REASONS.get(status, "internalError"))
    message = args.get("message", f"Fault injected: {status} {reason}.")
    raise ApiError(status, reason, message, {"details": args["details"]} if "details" in args else None)


def _facts(params: Mapping[str, str], body: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    scalars = {key: value for key, value in body.items() if isinstance(value, str | int | float | bool)}
    return {**scalars, **params, "caller": _name(caller)}


def _name(caller: Caller) -> str:
    return caller.email or "owner"


def _refuse_formats(request: Request) -> None:
    """Refuse what changes the form of the answer, rather than to answer in another form."""
    form = request.args.get("alt", request.args.get("$alt", "json"))
    if form.partition(";")[0] != "json":
        raise unimplemented(f"localcloud answers in JSON only, not alt={form}.")
    if "fields" in request.args:
        raise unimplemented("localcloud gives no partial answers (the query parameter 'fields').")
