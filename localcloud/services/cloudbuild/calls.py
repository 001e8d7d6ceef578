"""The Cloud Build API: builds of the project and of its regions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from werkzeug import Request, Response

from localcloud.core.errors import ApiError, forbidden, invalid, not_found
from localcloud.core.filters import matching
from localcloud.core.iam import PROJECT, PROJECT_NUMBER
from localcloud.core.listing import page
from localcloud.core.service import Call, Handler, Part
from localcloud.engines.build import Runner
from localcloud.services.cloudbuild.calls_create import Creation
from localcloud.services.cloudbuild.problem import Json
from localcloud.services.cloudbuild.queue import Engine
from localcloud.services.cloudbuild.refusals import bad_filter
from localcloud.services.cloudbuild.run import Tools
from localcloud.services.cloudbuild.state import Builds, Record
from localcloud.services.cloudbuild.views import GLOBAL, location_of, operation

_REGION = re.compile(r"[a-z]+-[a-z]+[0-9]+")
_DEFAULT_PAGE, _MAX_PAGE = 50, 1000
_FILTER_TIMES = ("create_time", "start_time", "finish_time")
# The fields that the page "View build results" and the discovery document name.
_FILTER_FIELDS = {
    "build_id": ("id",),
    "id": ("id",),
    "status": ("status",),
    "tags": ("tags",),
    "images": ("images",),
    "trigger_id": ("buildTriggerId",),
    "create_time": ("createTime",),
    "start_time": ("startTime",),
    "finish_time": ("finishTime",),
    "source.storage_source.bucket": ("source", "storageSource", "bucket"),
    "source.storage_source.object": ("source", "storageSource", "object"),
    "source.storage_source.generation": ("source", "storageSource", "generation"),
}
_SHOWN = ("id", "status", "statusDetail", "tags", "createTime", "startTime", "finishTime", "substitutions")


class BuildService(Part):
    """Cloud Build of one project. Finished builds and their logs stay in `state_dir`; unfinished ones end with `close`.

    `runners` run the steps; a build gets the one that the header of its create call names, else `default_runner`.
    """

    api = "cloudbuild.v1"

    def __init__(
        self, state_dir: Path, tools: Tools, *, runners: Mapping[str, Runner], default_runner: str
    ) -> None:
        self._builds = Builds(state_dir / "builds", tools.clock.now())
        self._creation = Creation(self._builds, tools.objects, runners, default_runner, tools.clock.now)
        self._engine = Engine(tools)

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id of this service."""
        actions: Mapping[str, Handler] = {
            "create": self._create,
            "get": self._get,
            "list": self._list,
            "cancel": self._cancel,
        }
        places = ("cloudbuild.projects.builds", "cloudbuild.projects.locations.builds")
        return {f"{place}.{name}": action for place in places for name, action in actions.items()}

    def log(self, build_id: str, offset: int) -> tuple[bytes, bool]:
        """Return a build's log from a byte on, and True if it is complete; raises `ApiError` 404 without a build."""
        record = self._builds.find(build_id)
        if record is None:
            raise not_found(f"There is no build {build_id}.")
        return record.log.read(offset)

    def respond_log(self, request: Request, build_id: str) -> Response:
        """Answer with a build's log from the byte `offset` on; raises `ApiError` 404 for an unknown build.

        The header X-Localcloud-Complete marks a complete log.
        """
        offset = request.args.get("offset", "0")
        if not re.fullmatch(r"[0-9]{1,18}", offset):
            raise invalid(f"offset={offset} is no number of bytes.")
        data, complete = self.log(build_id, int(offset))
        headers = {"X-Localcloud-Complete": "true"} if complete else {}
        return Response(data, content_type="text/plain; charset=utf-8", headers=headers)

    def inventory(self) -> Mapping[str, list[Json]]:
        """Return all builds, newest first, by their main fields."""
        return {
            "builds": [
                {"location": location_of(build)} | {key: build[key] for key in _SHOWN if key in build}
                for build in self._builds.views()
            ]
        }

    def close(self) -> None:
        """End every build; returns once their processes are gone."""
        self._engine.close()

    def _create(self, call: Call) -> Json:
        location, _ = _target(call, "create")
        job = self._creation.job(call, location)
        shown = operation(job.record.view())
        self._engine.submit(job)
        return shown

    def _get(self, call: Call) -> Json:
        return self._record(call, "get").view()

    def _list(self, call: Call) -> Json:
        location, _ = _target(call, "list")
        expression = call.params.get("filter", "")
        found = matching(
            self._builds.views(location),
            expression,
            lambda reason: bad_filter(expression, reason),
            fields=_FILTER_FIELDS,
            times=_FILTER_TIMES,
        )
        return page(found, call.params, "builds", _MAX_PAGE, default=_DEFAULT_PAGE)

    def _cancel(self, call: Call) -> Json:
        return self._cancelled(self._record(call, "update")).view()

    def _record(self, call: Call, permission: str) -> Record:
        location, build_id = _target(call, permission)
        record = self._builds.find(build_id, location)
        if record is None:
            raise not_found("Requested entity was not found.")
        return record

    def _cancelled(self, record: Record) -> Record:
        """Cancel a build; a 400 for a finished one, as on Google (knative/build, issue 54)."""
        if record.finished:
            raise _already_finished(record)
        self._engine.cancel(record.id)
        if record.view()["status"] != "CANCELLED":
            raise _already_finished(record)
        return record


def _already_finished(record: Record) -> ApiError:
    words = f"build {record.id} is already finished: its status is {record.view()['status']}"
    return ApiError(400, "failedPrecondition", words, {"status": "FAILED_PRECONDITION"})


def _target(call: Call, permission: str) -> tuple[str, str]:
    """Return a call's location and build id ("" for none); raises `ApiError` 403 for an unknown location."""
    if call.method.startswith("cloudbuild.projects.builds."):
        project, location, build_id = call.params["projectId"], GLOBAL, call.params.get("id", "")
    else:
        name = call.params.get("name") or call.params["parent"]
        _, project, _, location, *rest = name.split("/")
        build_id = rest[1] if rest else ""
    _check_place(call, project, location, permission)
    return location, build_id


def _check_place(call: Call, project: str, location: str, permission: str) -> None:
    if project not in {PROJECT, PROJECT_NUMBER}:
        raise forbidden(f"Permission denied on resource project {project}.")
    call.require(f"cloudbuild.builds.{permission}", f"projects/{PROJECT}")
    if location != GLOBAL and not _REGION.fullmatch(location):
        raise forbidden(f"Permission denied on 'locations/{location}' (or it may not exist).")
