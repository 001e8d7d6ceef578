"""The rules of a job, and the fields that an update changes. Pure; the limits are Google's."""

from __future__ import annotations

import json
import re
from typing import Any

from localcloud.core.errors import invalid, unimplemented
from localcloud.core.iam import PROJECT, by_id
from localcloud.core.masks import UpdateMask, paths
from localcloud.core.times import seconds
from localcloud.services.compute.catalog import REGIONS
from localcloud.services.scheduler import rules_cron
from localcloud.services.scheduler.refusals import bad_location, bad_mask, bad_schedule

Json = dict[str, Any]

_OTHER_TARGETS = ("httpTarget", "appEngineHttpTarget")
_MAX_DESCRIPTION = 500
_MAX_BYTES = 1_000_000
_MAX_RETRIES = 5
_MAX_DOUBLINGS = 16
_TOPIC = re.compile(rf"projects/{PROJECT}/topics/[^/]+")
_DEFAULT_RETRIES: Json = {
    "maxRetryDuration": "0s",
    "minBackoffDuration": "5s",
    "maxBackoffDuration": "3600s",
    "maxDoublings": 5,
}
_FIELDS = ("description", "schedule", "timeZone", "attemptDeadline", "retryConfig", "pubsubTarget")
_MASK = UpdateMask("cloudscheduler.v1", "Job", _FIELDS, bad_mask)


def check_location(parent: str) -> str:
    """Return the region in "projects/P/locations/L"; raises `ApiError` 400 for an unknown region."""
    region = parent.rpartition("/")[2]
    if region not in REGIONS:
        raise bad_location(region)
    return region


def job(name: str, body: Json) -> Json:
    """Return the `Job` of a body, with Google's defaults; raises `ApiError` 400, or 501 for other targets.

    `attemptDeadline` is dropped: it has no meaning for Pub/Sub.
    """
    _check_target_kind(body)
    zone = body.get("timeZone") or rules_cron.DEFAULT_ZONE
    schedule = body.get("schedule") or ""
    if rules_cron.is_english(schedule):
        raise unimplemented(f"localcloud takes schedules in unix-cron form only, not '{schedule}'.")
    if not rules_cron.is_valid(schedule, zone):
        raise bad_schedule()
    if len(body.get("description") or "") > _MAX_DESCRIPTION:
        raise invalid(f"The description must not have more than {_MAX_DESCRIPTION} characters.")
    found: Json = {
        "name": name,
        "pubsubTarget": _target(body["pubsubTarget"]),
        "schedule": schedule,
        "timeZone": zone,
        "retryConfig": _retry_config(body.get("retryConfig") or {}),
    }
    if body.get("description"):
        found["description"] = body["description"]
    if len(json.dumps(found)) > _MAX_BYTES:
        raise invalid("The job is too large: it must not have more than 1 MB.")
    return found


def changed(current: Json, body: Json, mask: str) -> Json:
    """Return a job with the fields that the mask names taken from the body; raises `ApiError` 400 or 501.

    A field that the body lacks gets its default.
    """
    named = paths(mask)
    if not named:
        raise unimplemented(
            "localcloud updates a job by an updateMask only: what Google does without one is not documented."
        )
    for path in named:
        if re.sub(r"_(\w)", lambda part: part[1].upper(), path).partition(".")[0] in _OTHER_TARGETS:
            raise unimplemented(f"localcloud does not change the kind of a job's target (the mask '{path}').")
    result = _MASK.changed(current, body, mask)
    return {key: value for key, value in result.items() if key in (*_FIELDS, "name")}


def _check_target_kind(body: Json) -> None:
    """Raise `ApiError` unless the one target is Pub/Sub."""
    kinds = [kind for kind in ("pubsubTarget", *_OTHER_TARGETS) if body.get(kind) is not None]
    if len(kinds) > 1:
        raise invalid(
            f"Invalid value at 'job' (oneof), oneof field 'target' is already set. Cannot set '{kinds[1]}'"
        )
    if not kinds:
        raise invalid("A job must have a target: pubsubTarget, httpTarget or appEngineHttpTarget.")
    if kinds != ["pubsubTarget"]:
        raise unimplemented(f"localcloud runs jobs with a pubsubTarget only, not with {kinds[0]}.")


def _target(target: Json) -> Json:
    topic = by_id(target.get("topicName") or "")
    if not _TOPIC.fullmatch(topic):
        raise invalid(
            f"Invalid pubsubTarget.topicName '{topic}': it must be a topic of the job's project, in the form "
            f"projects/{PROJECT}/topics/TOPIC_ID."
        )
    if not target.get("data") and not target.get("attributes"):
        raise invalid("Pubsub message must contain either non-empty data, or at least one attribute.")
    given = {key: target[key] for key in ("data", "attributes") if target.get(key)}
    return {"topicName": topic, **given}


def _retry_config(config: Json) -> Json:
    found = _DEFAULT_RETRIES | {key: value for key, value in config.items() if value is not None}
    for field, most in (("retryCount", _MAX_RETRIES), ("maxDoublings", _MAX_DOUBLINGS)):
        if not 0 <= found.get(field, 0) <= most:
            raise invalid(f"Invalid retryConfig.{field}: {found[field]}. It must be from 0 to {most}.")
    for field in ("maxRetryDuration", "minBackoffDuration", "maxBackoffDuration"):
        if seconds(found[field]) < 0:
            raise invalid(f"Invalid retryConfig.{field}: {found[field]}. It must not be negative.")
    if seconds(found["minBackoffDuration"]) > seconds(found["maxBackoffDuration"]):
        raise invalid("Invalid retryConfig: minBackoffDuration must not be longer than maxBackoffDuration.")
    return {key: value for key, value in found.items() if value or key in _DEFAULT_RETRIES}
