"""Durations as Google's JSON writes them, "600s", and as Google's messages print them, "10m0s". Pure."""

from __future__ import annotations

from localcloud.core.times import seconds


def printed(duration: float) -> str:
    """Return whole hours, minutes and seconds: "1h0m0s", "20m0s", "45s"."""
    hours, rest = divmod(duration, 3600)
    minutes, last = divmod(rest, 60)
    if hours:
        return f"{hours:.0f}h{minutes:.0f}m{last:g}s"
    return f"{minutes:.0f}m{last:g}s" if minutes else f"{last:g}s"


def fault(value: str, most: float) -> str | None:
    """Return the fault of a time limit, to follow Google's `invalid value for '…': `; None without one."""
    try:
        duration = seconds(value)
    except ValueError:
        return (
            f'illegal duration format "{value}"; duration must be seconds that end with "s", such as "600s"'
        )
    if duration <= 0:
        return f'value must be greater than 0, not "{value}"'
    if duration > most:
        return f'value must be less than or equal to "{printed(most)}", not "{printed(duration)}"'
    return None
