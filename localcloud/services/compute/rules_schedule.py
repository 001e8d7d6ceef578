"""The rules for `Instance.scheduling`: Spot, time limits, live migration. Pure; docs/facts.md 1.6."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from localcloud.core.errors import invalid
from localcloud.services.compute.refusals import bad_field
from localcloud.services.compute.wanted import Schedule

Json = dict[str, Any]
_SHORTEST_RUN = 30
_LONGEST_RUN = 120 * 24 * 3600
_FIELD = "resource.scheduling"


def read_schedule(scheduling: Json, *, has_gpu: bool, now: float) -> Schedule:
    """Return the schedule with its defaults; raises ApiError 400 for fields that exclude each other."""
    spot = _spot(scheduling)
    max_run, terminates = _max_run(scheduling), _terminates(scheduling, now)
    if max_run is not None and terminates is not None:
        raise bad_field(_FIELD, "", "At most one of maxRunDuration and terminationTime can be specified.")
    limited = max_run is not None or terminates is not None
    return Schedule(
        spot=spot,
        automatic_restart=bool(scheduling.get("automaticRestart", not spot)),
        on_host_maintenance=_maintenance(scheduling, spot=spot, has_gpu=has_gpu),
        action=_action(scheduling, spot=spot, limited=limited),
        max_run=max_run,
        terminates=terminates,
        terminates_text=scheduling.get("terminationTime"),
    )


def _spot(scheduling: Json) -> bool:
    model = scheduling.get("provisioningModel")
    if model not in {None, "STANDARD", "SPOT"}:
        raise bad_field(f"{_FIELD}.provisioningModel", model, "localcloud has STANDARD and SPOT only.")
    preemptible = bool(scheduling.get("preemptible", False))
    if preemptible and model == "STANDARD":
        text = "For preemptible, only allowed provisioning_model value is SPOT."
        raise bad_field(f"{_FIELD}.provisioningModel", model, text)
    spot = preemptible or model == "SPOT"
    if spot and scheduling.get("automaticRestart"):
        text = "Scheduling must have preemptible be false when AutomaticRestart is true."
        raise bad_field(f"{_FIELD}.preemptible", "true", text)
    return spot


def _maintenance(scheduling: Json, *, spot: bool, has_gpu: bool) -> str:
    chosen = str(scheduling.get("onHostMaintenance") or ("TERMINATE" if spot else "MIGRATE"))
    if has_gpu and chosen != "TERMINATE":
        raise invalid("Instances with guest accelerators do not support live migration.", reason="badRequest")
    if spot and chosen != "TERMINATE":
        text = "Scheduling must have preemptible be false when OnHostMaintenance isn't TERMINATE."
        raise bad_field(f"{_FIELD}.preemptible", "true", text)
    return chosen


def _action(scheduling: Json, *, spot: bool, limited: bool) -> str | None:
    action = scheduling.get("instanceTerminationAction")
    if action is None or action == "INSTANCE_TERMINATION_ACTION_UNSPECIFIED":
        return "STOP" if spot or limited else None
    if not (spot or limited):
        text = (
            "You cannot specify a termination action for a VM instance that has the standard provisioning model "
            "(default) and no time limit."
        )
        raise bad_field(f"{_FIELD}.instanceTerminationAction", action, text)
    return str(action)


def _max_run(scheduling: Json) -> float | None:
    duration = scheduling.get("maxRunDuration")
    if duration is None:
        return None
    seconds = int(duration.get("seconds", 0)) + int(duration.get("nanos", 0)) / 1e9
    if not _SHORTEST_RUN <= seconds <= _LONGEST_RUN:
        text = f"Must be between {_SHORTEST_RUN} seconds and 120 days ({_LONGEST_RUN} seconds)."
        raise bad_field(f"{_FIELD}.maxRunDuration", f"{seconds:g}s", text)
    return seconds


def _terminates(scheduling: Json, now: float) -> float | None:
    text = scheduling.get("terminationTime")
    if text is None:
        return None
    field = f"{_FIELD}.terminationTime"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise bad_field(field, text, "Must be a timestamp in RFC3339 text format.") from None
    if moment.tzinfo is None:
        raise bad_field(field, text, "Must be a timestamp in RFC3339 text format.")
    if not _SHORTEST_RUN <= moment.timestamp() - now <= _LONGEST_RUN:
        raise bad_field(field, text, "Must be between 30 seconds and 120 days in the future.")
    return moment.timestamp()
