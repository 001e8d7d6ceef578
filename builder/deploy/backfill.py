"""`deploy --backfill`: runs what is live for earlier days, by one message per day that has no green results.

It publishes no more messages than the function can start builds for in this hour. The event of a day has an ID that
depends on the day and on the builds of earlier backfills alone, so that a message that is published twice is one event.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, timedelta

from builder.act.folder_claim import RESULT
from builder.act.folder_results import read_results
from builder.deploy.context import DeploymentContext
from builder.deploy.live import Live
from builder.deploy_ports import BuildState
from builder.errors import InputRefused, NoCapacity
from builder.model import LIVE_TAG, JsonObject
from builder.options.day import DayRange, day_of, moment
from builder.options.message import run_event_id

_HOUR = timedelta(hours=1)


@dataclass
class _Counts:
    """The numbers of messages, of days with a build that has not ended, and of days with green results."""

    published: int = 0
    running: int = 0
    green: int = 0

    def __str__(self) -> str:
        return (
            f"{self.published} {'message was' if self.published == 1 else 'messages were'} published, "
            f"{_days(self.running)} a build that has not ended, and {_days(self.green)} green results."
        )


def _days(count: int) -> str:
    return f"{count} {'day has' if count == 1 else 'days have'}"


@dataclass(frozen=True)
class _Backfill:
    context: DeploymentContext
    live: Live

    @property
    def tag(self) -> str:
        """The tag of all builds of this function."""
        return LIVE_TAG + self.context.deployment.function

    def builds_left(self, now: str) -> int:
        """The number of builds that the function can still start in this hour."""
        limit = self.live.builds_per_hour
        since = moment(now) - _HOUR
        return limit - self.context.clients.builds.count(
            self.tag, self.live.location.region, since=since, limit=limit
        )

    def has_results(self, day: date) -> bool:
        """True if the newest results of each live notebook are green, each of them those of one run."""
        newest = self._newest_first(day)
        return all(_is_green(notebook.path, newest) for notebook in self.live.notebooks)

    def _newest_first(self, day: date) -> list[JsonObject]:
        """Return each result.json of the day's own jobs, without those in folders of values."""
        store = self.context.store
        prefix = self.context.options.gcs_location.object("versions", day.isoformat()) + "/"
        found = [item for item in store.list(prefix) if item.name.endswith(f"/{RESULT}")]
        found.sort(key=lambda item: (item.created, item.generation), reverse=True)
        folders = [item.name.removesuffix(RESULT) for item in found]
        own = [folder for folder in folders if folder.removeprefix(prefix).count("/") == 1]
        return [result for result in read_results(store, own) if result is not None]

    def event(self, day: date) -> tuple[str, BuildState | None]:
        """The ID of the day's next event; with the build of the last one if it has not ended."""
        last = self._last_locked(day)
        number = max(last, 1)
        while True:
            event = f"backfill-{day}-{number}"
            tags = [self.tag, f"event-{event}"]
            build = self.context.clients.builds.newest(tags, self.live.location.region)
            if build is not None and not build.ended:
                return event, build
            # An event with a lock has begun, even if the region that is live has no build of it.
            if build is None and number > last:
                return event, None
            number += 1

    def _last_locked(self, day: date) -> int:
        """Return the highest number of the day's events that a run has begun, in any region; 0 if there is none."""
        prefix = self.context.options.gcs_location.object("locks", f"backfill-{day}-")
        suffix = run_event_id("", self.context.live_url)
        names = [item.name for item in self.context.store.list(prefix) if item.name.endswith(suffix)]
        numbers = [name.removeprefix(prefix).removesuffix(suffix) for name in names]
        return max((int(number) for number in numbers if number.isdecimal()), default=0)

    def publish(self, day: date, event: str) -> None:
        message = json.dumps({"today": day.isoformat(), "id": event})
        topic = self.context.names(self.live.location).topic_path
        self.context.clients.topics.publish(topic, message.encode())


def _is_green(notebook: str, newest_first: list[JsonObject]) -> bool:
    """True if the results of the notebook's last run are green.

    Results of earlier runs can be of jobs that the notebook no longer has, such as those of a removed matrix value.
    """
    own = [result for result in newest_first if result.get("notebook") == notebook]
    return bool(own) and all(
        result.get("verdict") == "green" for result in own if result.get("run") == own[0].get("run")
    )


def backfill(days: DayRange, context: DeploymentContext) -> str:
    """Publish a message for each day that has no green results, as many as the function can start builds for.

    Returns the sentence that reports it. Raises InputRefused if nothing is live, and for a day in the future;
    NoCapacity if days are left.
    """
    current, _ = context.current()
    if current is None:
        raise InputRefused(
            f"{context.live_url} does not exist: nothing is live, so no day can run.",
            reason="nothing_live",
            advice="Deploy first; `deploy --status` shows what is live.",
        )
    work, counts = _Backfill(context, current.live), _Counts()
    now = context.clients.builds.now(current.live.location.region)
    _check_not_in_the_future(days, now, current.live.schedule.time_zone)
    builds_left = work.builds_left(now)
    for day in days:
        event, build = ("", None) if (green := work.has_results(day)) else work.event(day)
        if green:
            counts.green += 1
            context.log(f"{day}: already has green results; not run again")
        elif build is not None:
            counts.running += 1
            context.log(f"{day}: build {build.id} of an earlier backfill has not ended ({build.status})")
        elif counts.published == builds_left:
            raise _too_many(days, DayRange(day, days.last), counts, current.live.builds_per_hour)
        else:
            work.publish(day, event)
            counts.published += 1
            context.log(f"{day}: published, as event {event}")
    return str(counts)


def _check_not_in_the_future(days: DayRange, now: str, time_zone: str) -> None:
    today = day_of(moment(now), time_zone)
    if days.last > today:
        raise InputRefused(
            f"--backfill is {days}, and {days.last} is after today, which is {today} in {time_zone}.",
            reason="day_in_the_future",
            advice="End the range today at the latest.",
        )


def _too_many(days: DayRange, left: DayRange, counts: _Counts, limit: int) -> NoCapacity:
    return NoCapacity(
        f"{counts} The function starts at most {limit} builds in an hour (NB_BUILDS_PER_HOUR), so {left} must wait.",
        reason="builds_per_hour",
        advice=f"Run `deploy --backfill {days}` again in an hour, or deploy with a higher limit.",
    )
