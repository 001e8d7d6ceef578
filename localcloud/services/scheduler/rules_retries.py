"""The retries of a job: their number and the wait before each. Pure."""

from __future__ import annotations

from typing import Any

from localcloud.core.times import seconds

Json = dict[str, Any]


def interval(config: Json, retries: int) -> float:
    """Return the seconds before the next try, after so many retries (0: after the first try).

    The pause doubles `maxDoublings` times, then grows by its last value, up to `maxBackoffDuration`.
    """
    least, most = seconds(config["minBackoffDuration"]), seconds(config["maxBackoffDuration"])
    doublings: int = config["maxDoublings"]
    beyond = max(retries - doublings, 0)
    return min(most, least * 2.0 ** min(retries, doublings) * (1 + beyond))


def may_retry(config: Json, retries: int, elapsed: float) -> bool:
    """True if a failed job is tried again: until both limits are reached. A limit of 0 counts as reached."""
    count: int = config.get("retryCount", 0)
    return retries < count or elapsed < seconds(config["maxRetryDuration"])
