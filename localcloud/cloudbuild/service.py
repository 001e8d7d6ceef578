"""The Cloud Build API: builds and their operations, of the project and of its regions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from localcloud.cloudbuild.creation import Creation
from localcloud.cloudbuild.engine import Engine
from localcloud.cloudbuild.filters import page
from localcloud.cloudbuild.problem import Json
from localcloud.cloudbuild.run import Tools
from localcloud.cloudbuild.runner import Runner
from localcloud.cloudbuild.state import Builds, Record
from localcloud.cloudbuild.views import GLOBAL, location_of, operation, operation_build
from localcloud.errors import ApiError, forbidden, invalid, not_found
from localcloud.iam import DEFAULT_ACCOUNT, PROJECT, PROJECT_NUMBER, email
from localcloud.service import Call, Handler

_REGION = re.compile(r"[a-z]+-[a-z]+[0-9]+")
_SHOWN = ("id", "status", "statusDetail", "tags", "createTime", "startTime", "finishTime", "substitutions")


class BuildService:
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
        return {f"{place}.{name}": action for place in places for name, action in actions.items()} | {
            "cloudbuild.operations.get": self._operation,
            "cloudbuild.operations.cancel": self._cancel_operation,
            "cloudbuild.projects.locations.operations.get": self._operation,
            "cloudbuild.projects.locations.operations.cancel": self._cancel_operation,
            "cloudbuild.projects.locations.getDefaultServiceAccount": _default_account,
        }

    def log(self, build_id: str, offset: int) -> tuple[bytes, bool]:
        """Return a build's log from a byte on, and whether it is complete; ApiError 404 for an unknown build."""
        record = self._builds.find(build_id)
        if record is None:
            raise not_found(f"There is no build {build_id}.")
        return record.log.read(offset)

    def inventory(self) -> Mapping[str, list[Json]]:
        """Return all builds, newest first, each with what tells it apart."""
        return {
            "builds": [
                {"location": location_of(build)} | {key: build[key] for key in _SHOWN if key in build}
                for build in self._builds.views()
            ]
        }

    def close(self) -> None:
        """End every build; returns when no process of theirs is left."""
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
        found = page(self._builds.views(location), call.params)
        token = {"nextPageToken": found.next_token} if found.next_token else {}
        return {"builds": found.builds} | token

    def _cancel(self, call: Call) -> Json:
        return self._cancelled(self._record(call, "update")).view()

    def _operation(self, call: Call) -> Json:
        return operation(self._of_operation(call, "get").view())

    def _cancel_operation(self, call: Call) -> Json:
        self._cancelled(self._of_operation(call, "update"))
        return {}

    def _record(self, call: Call, permission: str) -> Record:
        location, build_id = _target(call, permission)
        return self._found(location, build_id)

    def _of_operation(self, call: Call, permission: str) -> Record:
        call.require(f"cloudbuild.builds.{permission}", f"projects/{PROJECT}")
        meant = operation_build(call.params["name"])
        if meant is None:
            raise invalid(f"invalid operation name {call.params['name']!r}")
        return self._found(*meant)

    def _found(self, location: str, build_id: str) -> Record:
        record = self._builds.find(build_id, location)
        if record is None:
            raise not_found("Requested entity was not found.")
        return record

    def _cancelled(self, record: Record) -> Record:
        """Cancel a build; one that is over is refused with a 400, as Google does it (knative/build, issue 54)."""
        if record.finished:
            raise _over(record)
        self._engine.cancel(record.id)
        if record.view()["status"] != "CANCELLED":
            raise _over(record)
        return record


def _over(record: Record) -> ApiError:
    words = f"build {record.id} is already finished: its status is {record.view()['status']}"
    return ApiError(400, "failedPrecondition", words, {"status": "FAILED_PRECONDITION"})


def _default_account(call: Call) -> Json:
    parts = call.params["name"].split("/")
    _check_place(call, parts[1], parts[3], "get")
    account = f"projects/{PROJECT}/serviceAccounts/{email(DEFAULT_ACCOUNT)}"
    return {
        "name": f"projects/{PROJECT}/locations/{parts[3]}/defaultServiceAccount",
        "serviceAccountEmail": account,
    }


def _target(call: Call, permission: str) -> tuple[str, str]:
    """Return location and build id ("" for none) that a call names; raises `ApiError` 403 for a place that is not ours."""
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
