"""The rules for `Instance.scheduling`: Spot, time limits, live migration. Pure; docs/facts.md 1.6."""

from __future__ import annotations

from typing import Any

from localcloud.core.errors import invalid
from localcloud.services.compute.refusals import bad_field
from localcloud.services.compute.wanted import Schedule

Json = dict[str, Any]
_MIN_RUN_SECONDS = 30
_MAX_RUN_SECONDS = 120 * 24 * 3600
_FIELD = "resource.scheduling"


def read_schedule(scheduling: Json, *, has_gpu: bool) -> Schedule:
    """Return the schedule with its defaults; raises ApiError 400 for fields that exclude each other."""
    spot = _spot(scheduling)
    max_run = _max_run(scheduling)
    return Schedule(
        spot=spot,
        automatic_restart=bool(scheduling.get("automaticRestart", not spot)),
        on_host_maintenance=_maintenance(scheduling, spot=spot, has_gpu=has_gpu),
        action=_action(scheduling, spot=spot, limited=max_run is not None),
        max_run=max_run,
    )


def _spot(scheduling: Json) -> bool:
    model = scheduling.get("provisioningModel")
    if model not in {None, "STANDARD", "SPOT"}:
        raise bad_field(f"{_FIELD}.provisioningModel", model, "localcloud has STANDARD and SPOT only.")
    spot = model == "SPOT"
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


def _max_run(scheduling: Json) -> int | None:
    duration = scheduling.get("maxRunDuration")
    if duration is None:
        return None
    seconds = int(duration.get("seconds", 0))
    if not _MIN_RUN_SECONDS <= seconds <= _MAX_RUN_SECONDS:
        text = f"Must be between {_MIN_RUN_SECONDS} seconds and 120 days ({_MAX_RUN_SECONDS} seconds)."
        raise bad_field(f"{_FIELD}.maxRunDuration", f"{seconds}s", text)
    return seconds
