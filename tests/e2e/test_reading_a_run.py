"""docs/reading-a-run.md shows what a run prints, for each exit code.

After a change of the last lines, `NB_RECORD=1 make test T=tests/e2e/test_reading_a_run.py` writes the page again;
its diff shows the change.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from builder.errors import ExitCode
from tests.e2e.reading_runs import PAGE, logs, with_logs
from tests.patience import PATIENCE


@pytest.mark.exhaustive  # ten runs, of which six boot a VM
@pytest.mark.timeout(2 * PATIENCE)
def test_the_page_shows_what_runs_print(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    written = with_logs(page, logs(tmp_path))
    if os.environ.get("NB_RECORD"):
        PAGE.write_text(written, encoding="utf-8")
    assert written == page, "NB_RECORD=1 writes the page again"


def test_the_page_has_a_section_for_each_exit_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    sections = re.findall(r"^## (\d+)(?: and (\d+))?: ", page, re.MULTILINE)
    named = {int(code) for pair in sections for code in pair if code}
    assert named == set(ExitCode)
