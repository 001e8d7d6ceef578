"""The methods on jobs: create, get, list, patch, delete, run, pause, resume."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

from localcloud.core.clock import Clock
from localcloud.core.errors import ApiError
from localcloud.core.faults import Fault
from localcloud.core.iam import by_id
from localcloud.core.kept import Kept
from localcloud.core.listing import page
from localcloud.core.service import Call, Handler
from localcloud.core.times import timestamp
from localcloud.services.scheduler import rules
from localcloud.services.scheduler.refusals import bad_name, in_state, missing, taken
from localcloud.services.scheduler.rules import check_location
from localcloud.services.scheduler.timetable import Timetable

Json = dict[str, Any]

_MAX_PAGE = 500
_NAME = re.compile(r"(projects/[^/]+/locations/[^/]+)/jobs/[A-Za-z0-9_-]{1,500}")


class Jobs:
    """Handlers of `projects.locations.jobs`, by method id."""

    def __init__(self, jobs: Kept, timetable: Timetable, clock: Clock) -> None:
        self._jobs = jobs
        self._timetable = timetable
        self._clock = clock

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id."""
        methods: Mapping[str, Handler] = {
            "create": self._create,
            "get": self._get,
            "list": self._list,
            "patch": self._patch,
            "delete": self._delete,
            "run": self._run,
            "pause": self._pause,
            "resume": self._resume,
        }
        return {f"cloudscheduler.projects.locations.jobs.{name}": method for name, method in methods.items()}

    def _create(self, call: Call) -> Json:
        parent = call.authorize("cloudscheduler.jobs.create", call.params["parent"])
        check_location(parent)
        name = by_id(call.body.get("name") or f"{parent}/jobs/{secrets.randbelow(10**19):019d}")
        found = _NAME.fullmatch(name)
        if found is None or found[1] != parent:
            raise bad_name()
        job = rules.job(name, call.body)
        with self._jobs.lock:
            if self._jobs.find(name) is not None:
                raise taken(name)
            return self._put(name, job, "ENABLED")

    def _get(self, call: Call) -> Json:
        return self._named(call.authorize("cloudscheduler.jobs.get", call.params["name"]))

    def _list(self, call: Call) -> Json:
        parent = call.authorize("cloudscheduler.jobs.list", call.params["parent"])
        check_location(parent)
        found = [job for name, job in self._jobs.items() if name.startswith(f"{parent}/")]
        return page(found, call.params, "jobs", _MAX_PAGE)

    def _patch(self, call: Call) -> Json:
        name = call.authorize("cloudscheduler.jobs.update", call.params["name"])
        call.authorize("cloudscheduler.jobs.get", call.params["name"])
        with self._jobs.lock:
            current = self._named(name)
            job = rules.job(name, rules.changed(current, call.body, call.params.get("updateMask", "")))
            if call.fault is not None:
                self._fail_update(name, current, call.fault)
            state = "PAUSED" if current["state"] == "PAUSED" else "ENABLED"
            kept = {
                key: current[key] for key in ("lastAttemptTime", "status", "scheduleTime") if key in current
            }
            return self._put(name, job | kept, state)

    def _fail_update(self, name: str, current: Json, fault: Fault) -> None:
        """Set the state UPDATE_FAILED, until another update succeeds."""
        self._jobs.put(name, current | {"state": "UPDATE_FAILED"})
        self._timetable.forget(name)
        message = fault.args.get("message", "The update of the job has failed.")
        raise ApiError(fault.args.get("status", 503), "backendError", message)

    def _delete(self, call: Call) -> Json:
        name = call.authorize("cloudscheduler.jobs.delete", call.params["name"])
        with self._jobs.lock:
            self._named(name)
            self._timetable.forget(name)
            self._jobs.remove(name)
        return {}

    def _run(self, call: Call) -> Json:
        """Return the job as it is before the attempt, which follows."""
        name = call.authorize("cloudscheduler.jobs.run", call.params["name"])
        job = self._named(name)
        if job["state"] == "UPDATE_FAILED":
            raise in_state("UPDATE_FAILED", "ENABLED")
        self._timetable.run_now(name)
        return job

    def _pause(self, call: Call) -> Json:
        return self._move(call, "pause", "ENABLED", "PAUSED")

    def _resume(self, call: Call) -> Json:
        return self._move(call, "enable", "PAUSED", "ENABLED")

    def _move(self, call: Call, verb: str, needed: str, state: str) -> Json:
        name = call.authorize(f"cloudscheduler.jobs.{verb}", call.params["name"])
        with self._jobs.lock:
            job = self._named(name)
            if job["state"] != needed:
                raise in_state(job["state"], needed)
            self._jobs.put(name, job | {"state": state})
            self._timetable.plan(name)
            return self._named(name)

    def _put(self, name: str, job: Json, state: str) -> Json:
        """Store a new or changed job, and set its timer again."""
        self._jobs.put(name, job | {"state": state, "userUpdateTime": timestamp(self._clock.now())})
        self._timetable.plan(name)
        return self._named(name)

    def _named(self, name: str) -> Json:
        found = self._jobs.find(name)
        if found is None:
            raise missing()
        return found
