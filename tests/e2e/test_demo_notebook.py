"""The demo notebook as users run it: from a repo, by the builder, on a VM that asks BigQuery; green, and red by a misspelt column."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import pytest

from tests.e2e.world import ROOT, Builder, Repo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

EXAMPLE = ROOT / "examples" / "bike-share"
CHARTS = ("stations", "map", "week", "day")


@pytest.fixture
def example(repo: Repo) -> Path:
    """The example, committed in the test's repo."""
    shutil.copytree(EXAMPLE, repo.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("outputs", "__*"))
    repo.write({})
    return repo.folder / "demo.ipynb"


@pytest.mark.usefixtures("example")
def test_it_is_green_and_publishes_charts_and_numbers(builder: Builder) -> None:
    done = builder.run()
    assert done.code == 0, done.output
    files = done.published("demo")
    for chart in CHARTS:
        assert b"<svg" in files[f"outputs/{chart}.svg"][:1000]
    rows = list(csv.DictReader(io.StringIO(files["outputs/stations.csv"].decode())))
    assert len(rows) == 70
    counts = [int(row["trips"]) for row in rows]
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == 2556  # all trips of April: every one of them began at a station of the other table
    assert files["demo-clean.html"].count(b"data:image/svg+xml") == len(CHARTS) + 1


def test_a_misspelt_column_is_red_in_bigquerys_words(builder: Builder, repo: Repo, example: Path) -> None:
    text = example.read_text()
    assert text.count("trip.subscriber_type") == 1
    example.write_text(text.replace("trip.subscriber_type", "trip.subscriber_typ"))
    repo.write({})
    done = builder.run()
    assert done.code == 1, done.output
    assert "Name subscriber_typ not found inside trip at [6:20]" in done.output
