"""The control routes under /_localcloud/: the inventory, the clock, faults, and routes of services."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from werkzeug import Request, Response

from localcloud.core.errors import ApiError, invalid, not_found
from localcloud.core.http import json_response

if TYPE_CHECKING:
    from localcloud.core.clock import Clock
    from localcloud.core.faults import FaultPlan

Json = dict[str, Any]

_MAX_SECONDS = 10 * 366 * 86400.0

Route = Callable[[Request, str], Response]
"""A control route of a service."""


class Control:
    """Answers the control routes; a bad request is a 400 that says why.

    `routes` are GET routes of services, by a pattern of their path whose one group the route gets.
    """

    def __init__(
        self,
        clock: Clock,
        faults: FaultPlan,
        inventory: Callable[[], Json],
        routes: Mapping[str, Route],
    ) -> None:
        self._clock = clock
        self._faults = faults
        self._of_services = routes
        self._routes: dict[tuple[str, str], Callable[[Request], Any]] = {
            ("GET", "health"): lambda _request: {"status": "ok", "now": clock.now()},
            ("GET", "inventory"): lambda _request: inventory(),
            ("POST", "clock"): self._move_clock,
            ("POST", "faults"): self._add_faults,
        }

    def respond(self, request: Request) -> Response:
        """Answer one request; raises `ApiError`."""
        name = request.path.removeprefix("/_localcloud/")
        for pattern, respond in self._of_services.items():
            found = re.fullmatch(pattern, name)
            if found is not None and request.method == "GET":
                return respond(request, found[1])
        route = self._routes.get((request.method, name))
        if route is None:
            paths = [*self._routes, *(("GET", pattern) for pattern in self._of_services)]
            known = ", ".join(f"{verb} /_localcloud/{path}" for verb, path in paths)
            raise not_found(f"No control route {request.method} {request.path}; there are {known}.")
        return json_response(route(request))

    def _move_clock(self, request: Request) -> Json:
        body = _body(request)
        seconds = body.get("advance") if isinstance(body, dict) else None
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise invalid('The body is {"advance": SECONDS}.')
        if not 0 <= seconds <= _MAX_SECONDS:
            raise invalid("The clock only moves forward, by ten years at most.")
        self._clock.advance(seconds)
        return {"now": self._clock.now()}

    def _add_faults(self, request: Request) -> list[Json]:
        body = _body(request)
        if not isinstance(body, list):
            raise invalid("The body is a list of faults.")
        try:
            self._faults.add(*body)
        except ValueError as error:
            raise invalid(str(error)) from error
        return self._faults.inventory()


def _body(request: Request) -> Any:
    try:
        return request.get_json(force=True)
    except Exception as error:
        raise ApiError(400, "parseError", "The body is not JSON.") from error
