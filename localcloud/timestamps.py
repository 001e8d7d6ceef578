"""Times as the newer APIs print and take them: RFC 3339 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal


def timestamp(when: float, precision: Literal["milliseconds", "microseconds"] = "microseconds") -> str:
    """Return seconds since the epoch as text, such as "2026-07-01T12:00:00.000000Z"."""
    return datetime.fromtimestamp(when, tz=UTC).isoformat(timespec=precision).replace("+00:00", "Z")
