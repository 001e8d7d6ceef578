"""How long a job waits before it tries again, and whether it does. Pure."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def interval(config: Json, retries: int) -> float:
    """Return the seconds before the next try, after so many retries (0: after the first try).

    The pause doubles `maxDoublings` times, then grows by what it was last, up to `maxBackoffDuration`.
    """
    least, most = seconds(config["minBackoffDuration"]), seconds(config["maxBackoffDuration"])
    doublings: int = config["maxDoublings"]
    beyond = max(retries - doublings, 0)
    return min(most, least * 2.0 ** min(retries, doublings) * (1 + beyond))


def may_retry(config: Json, retries: int, elapsed: float) -> bool:
    """Tell whether a failed job is tried again: until both limits are reached, of which 0 stands for none to wait for."""
    count: int = config.get("retryCount", 0)
    return retries < count or elapsed < seconds(config["maxRetryDuration"])


def seconds(duration: str) -> float:
    """Return the seconds of a duration such as "3600s"."""
    return float(duration.removesuffix("s"))
