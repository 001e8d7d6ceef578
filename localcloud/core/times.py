"""Times and durations as Google's JSON writes them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Literal

_DURATION = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,9})?s")


def timestamp(when: float, precision: Literal["milliseconds", "microseconds"] = "microseconds") -> str:
    """Return seconds since the epoch in RFC 3339 and UTC, such as "2026-07-01T12:00:00.000000Z"."""
    return datetime.fromtimestamp(when, tz=UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def seconds(duration: str) -> float:
    """Return the seconds of a duration such as "600s"; raises ValueError for any other text."""
    if not _DURATION.fullmatch(duration):
        raise ValueError(duration)
    return float(duration.removesuffix("s"))
