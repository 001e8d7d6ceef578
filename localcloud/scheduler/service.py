"""The Cloud Scheduler service: puts its jobs, its timetable and its handlers together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from localcloud.clock import Clock
from localcloud.compute.catalog import REGIONS
from localcloud.iam import SCHEDULER_AGENT
from localcloud.kept import Kept
from localcloud.paging import page
from localcloud.pubsub.messages import Content, content
from localcloud.scheduler.access import authorize, check_location
from localcloud.scheduler.jobs import Jobs
from localcloud.scheduler.timetable import Timetable
from localcloud.service import Call, Caller, Handler

Json = dict[str, Any]

_LARGEST_PAGE = 500


class SchedulerService:
    """Cloud Scheduler of one project. Jobs stay in `state_dir` over a restart; what was due in between is not made up.

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

    def close(self) -> None:
        """Nothing runs but timers of the clock, and all that is kept is on disk already."""


def _list_locations(call: Call) -> Json:
    project = authorize(call, "cloudscheduler.locations.list", call.params["name"])
    return page([_location(project, region) for region in REGIONS], call.params, "locations", _LARGEST_PAGE)


def _get_location(call: Call) -> Json:
    name = authorize(call, "cloudscheduler.locations.get", call.params["name"])
    return _location(name.partition("/locations/")[0], check_location(name))


def _location(project: str, region: str) -> Json:
    return {
        "name": f"{project}/locations/{region}",
        "locationId": region,
        "labels": {"cloud.googleapis.com/region": region},
    }
