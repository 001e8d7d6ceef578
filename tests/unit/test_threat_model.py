"""docs/threat-model.md names a test that exists for each limit."""

from __future__ import annotations

import re
from pathlib import Path

from tests.unit.test_false_greens import functions

PAGE = Path(__file__).resolve().parents[2] / "docs" / "threat-model.md"
ROWS = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")][2:]
MIN_ROWS = 14


def test_each_limit_names_a_test_that_exists() -> None:
    assert len(ROWS) >= MIN_ROWS
    for row in ROWS:
        named = re.search(r"`(tests/[\w/]+\.py)::(\w+)` \|$", row)
        assert named is not None, row
        assert named[2] in functions(named[1]), row
