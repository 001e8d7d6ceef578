"""The Cloud Scheduler service: connects its jobs, timetable and handlers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from localcloud.core.caller import Caller
from localcloud.core.clock import Clock
from localcloud.core.iam import SCHEDULER_AGENT
from localcloud.core.kept import Kept
from localcloud.core.listing import page
from localcloud.core.service import Call, Handler, Part
from localcloud.services.compute.catalog import REGIONS
from localcloud.services.pubsub.messages import Content, content
from localcloud.services.scheduler.calls import Jobs
from localcloud.services.scheduler.rules import check_location
from localcloud.services.scheduler.timetable import Timetable

Json = dict[str, Any]

_MAX_PAGE = 500


class SchedulerService(Part):
    """Cloud Scheduler of one project. Jobs stay in `state_dir` over a restart; missed runs are not repeated.

    `publish` publishes to a topic as a caller and raises `ApiError`, as `PubSubService.publish` does.
    """

    api = "cloudscheduler.v1"

    def __init__(
        self,
        state_dir: Path,
        clock: Clock,
        publish: Callable[[Caller, str, Sequence[Content]], object],
    ) -> None:
        self._kept = Kept(state_dir / "scheduler" / "jobs.json")
        agent = Caller(SCHEDULER_AGENT)

        def fire(target: Json) -> object:
            message = content(target.get("data", ""), target.get("attributes", {}))
            return publish(agent, target["topicName"], [message])

        timetable = Timetable(clock, self._kept, fire)
        for name in self._kept.names():
            timetable.plan(name)
        self._handlers = {
            **Jobs(self._kept, timetable, clock).handlers(),
            "cloudscheduler.projects.locations.list": _list_locations,
            "cloudscheduler.projects.locations.get": _get_location,
        }

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id of this service."""
        return self._handlers

    def inventory(self) -> Mapping[str, list[Json]]:
        """Return the jobs."""
        return {
            "scheduler.jobs": [
                {
                    "name": name.rpartition("/")[2],
                    "location": name.split("/")[3],
                    "schedule": job["schedule"],
                    "timeZone": job["timeZone"],
                    "state": job["state"],
                    "scheduleTime": job.get("scheduleTime"),
                }
                for name, job in self._kept.items()
            ]
        }


def _list_locations(call: Call) -> Json:
    project = call.authorize("cloudscheduler.locations.list", call.params["name"])
    return page([_location(project, region) for region in REGIONS], call.params, "locations", _MAX_PAGE)


def _get_location(call: Call) -> Json:
    name = call.authorize("cloudscheduler.locations.get", call.params["name"])
    return _location(name.partition("/locations/")[0], check_location(name))


def _location(project: str, region: str) -> Json:
    return {
        "name": f"{project}/locations/{region}",
        "locationId": region,
        "labels": {"cloud.googleapis.com/region": region},
    }
