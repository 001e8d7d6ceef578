"""The routes under /_localcloud/: what there is, moving the clock, planning faults, the logs of builds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from werkzeug import Response

from localcloud.errors import ApiError, invalid, not_found
from localcloud.listener import json_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug import Request

    from localcloud.clock import Clock
    from localcloud.faults import FaultPlan

Json = dict[str, Any]

_BUILD_LOG = re.compile(r"builds/([^/]+)/log")


class Control:
    """Answers the control routes; what is wrong in a request is a 400 that says so.

    `build_log(id, offset)` is a build's log from a byte on and whether it is complete; ApiError 404 for an unknown build.
    """

    def __init__(
        self,
        clock: Clock,
        faults: FaultPlan,
        inventory: Callable[[], Json],
        build_log: Callable[[str, int], tuple[bytes, bool]],
    ) -> None:
        self._clock = clock
        self._faults = faults
        self._build_log = build_log
        self._routes: dict[tuple[str, str], Callable[[Request], Any]] = {
            ("GET", "health"): lambda _request: {"status": "ok", "now": clock.now()},
            ("GET", "inventory"): lambda _request: inventory(),
            ("POST", "clock"): self._move_clock,
            ("POST", "faults"): self._add_faults,
        }

    def respond(self, request: Request) -> Response:
        """Answer one request; raises `ApiError`."""
        name = request.path.removeprefix("/_localcloud/")
        log = _BUILD_LOG.fullmatch(name)
        if log is not None and request.method == "GET":
            return self._log(request, log[1])
        route = self._routes.get((request.method, name))
        if route is None:
            paths = [*self._routes, ("GET", "builds/ID/log")]
            known = ", ".join(f"{verb} /_localcloud/{path}" for verb, path in paths)
            raise not_found(f"No control route {request.method} {request.path}; there are {known}.")
        return json_response(route(request))

    def _log(self, request: Request, build_id: str) -> Response:
        offset = request.args.get("offset", "0")
        if not re.fullmatch(r"[0-9]{1,18}", offset):
            raise invalid(f"offset={offset} is no number of bytes.")
        data, complete = self._build_log(build_id, int(offset))
        headers = {"X-Localcloud-Complete": "true"} if complete else {}
        return Response(data, content_type="text/plain; charset=utf-8", headers=headers)

    def _move_clock(self, request: Request) -> Json:
        body = _body(request)
        seconds = body.get("advance") if isinstance(body, dict) else None
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
            raise invalid('The body is {"advance": SECONDS}, and the clock only moves forward.')
        self._clock.advance(seconds)
        return {"now": self._clock.now()}

    def _add_faults(self, request: Request) -> list[Json]:
        body = _body(request)
        if not isinstance(body, list):
            raise invalid("The body is a list of faults.")
        for spec in body:
            try:
                self._faults.add(spec)
            except ValueError as error:
                raise invalid(str(error)) from error
        return self._faults.inventory()


def _body(request: Request) -> Any:
    try:
        return request.get_json(force=True)
    except Exception as error:
        raise ApiError(400, "parseError", "The body is not JSON.") from error
