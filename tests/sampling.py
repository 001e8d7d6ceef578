"""The sample of the exhaustive tests that `make test-all` runs. Three days in a row run all of them."""

from __future__ import annotations

import hashlib
import os
from datetime import date

import pytest

ONE_OF = 3
_TEXT = os.environ.get("NB_SAMPLE")  # set by the Makefile; without it, pytest runs what it is told to
DAY = date.fromisoformat(_TEXT) if _TEXT else None


def takes(item: pytest.Item, day: date) -> bool:
    """True for a test of the day's sample, and for each test that is not exhaustive."""
    if item.get_closest_marker("exhaustive") is None:
        return True
    digest = hashlib.sha256(item.nodeid.encode()).hexdigest()
    return (int(digest, 16) + day.toordinal()) % ONE_OF == 0
