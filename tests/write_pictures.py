"""Writes the pictures of reports that the documentation shows: `python -m tests.write_pictures`. Needs Chromium."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from builder.errors import ExitCode
from builder.report.index import render_index
from builder.report.run_report import RunReport
from tests.needs import CHROMIUM
from tests.unit.sample_reports import GREEN, RED, job, report

DOCS = Path(__file__).parent.parent / "docs"
MAX_BYTES = 120_000  # bytes of a picture
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
    *("--disable-dev-shm-usage", "--virtual-time-budget=3000", "--window-size=900,620"),
)
DARK = "--blink-settings=preferredColorScheme=0"
GREEN_RUN = report(job("rides", GREEN), job("stations", GREEN), job("costs", GREEN))
RED_RUN = report(job("rides", RED), job("stations", GREEN), code=ExitCode.NOTEBOOK_FAILED)
PICTURES: dict[str, tuple[RunReport, tuple[str, ...]]] = {
    "report-green.png": (GREEN_RUN, ()),
    "report-dark.png": (RED_RUN, (DARK,)),
}


def main() -> None:
    """Write all pictures. Raises CalledProcessError if Chromium fails."""
    for name, (shown, flags) in PICTURES.items():
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "index.html"
            page.write_bytes(render_index(shown))
            taken = f"--screenshot={DOCS / name}"
            subprocess.run(
                [str(CHROMIUM), *FLAGS, *flags, taken, page.as_uri()], check=True, capture_output=True
            )
        size = (DOCS / name).stat().st_size
        print(f"{name}: {size} bytes{'' if size < MAX_BYTES else ', too large'}")


if __name__ == "__main__":
    main()
