"""The last lines of a run, word by word, and that no text from elsewhere can break out of its line."""

from __future__ import annotations

import io
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder import report
from builder.act.event_lock import Holder
from builder.act.result import JobResult
from builder.errors import BadInput, EnvironmentFailed, ExitCode, Problem
from builder.model import CellFailure, Verdict
from builder.plan.text import duration

GREEN = Verdict(ExitCode.GREEN, "green", "all 2 code cells ran, and 3 objects are in Cloud Storage")
RED = Verdict(
    ExitCode.NOTEBOOK_FAILED,
    "cell_failed",
    "cell 2 of 3 failed: ValueError: no rides",
    "Correct the cell; the executed notebook has its whole output.",
    CellFailure(
        cell=2,
        cells=3,
        source="\n".join(f"line {number}" for number in range(1, 31)),
        line=12,
        error="ValueError: no rides",
        traceback="Cell In[2], line 12\nValueError: no rides",
    ),
)
LOST = Verdict(ExitCode.ENVIRONMENT_FAILED, "vm_lost", "VM nb-1 is gone\nand left no evidence.", "Try again.")


def result(job: str, verdict: Verdict, **more: Any) -> JobResult:
    values: dict[str, Any] = {
        "notebook": f"{job}.ipynb",
        "parameters": {},
        "attempts": 1,
        "seconds": 14.62,
        "output": f"gs://b/ci/results/r1/{job}/",
        "name": job,
        "has_notebook": True,
    }
    return JobResult(job=job, verdict=verdict, **{**values, **more})


def closing(*results: JobResult, code: ExitCode) -> list[str]:
    stream = io.StringIO()
    report.closing(
        report.Console(stream),
        results,
        code=code,
        report="gs://b/ci/results/r1/summary.json",
        left=[],
        project="p",
    )
    return stream.getvalue().splitlines()


def test_a_green_run_ends_with_where_its_results_are() -> None:
    assert closing(result("demo", GREEN), code=ExitCode.GREEN) == [
        "-" * 72,
        "verdict: GREEN, 1 of 1 notebooks green (exit code 0)",
        "  demo: GREEN after 14.6 s",
        "    reason:   all 2 code cells ran, and 3 objects are in Cloud Storage",
        "    notebook: gs://b/ci/results/r1/demo/demo.ipynb",
        "    log:      gs://b/ci/results/r1/demo/run.log",
        "report: gs://b/ci/results/r1/summary.json",
        "left behind: nothing",
    ]


def test_a_red_run_says_why_and_what_to_do_with_the_red_ones_last() -> None:
    lost = result("lost", LOST, attempts=3, seconds=4000, output="gs://b/x/", has_notebook=False)
    assert closing(result("bad", RED), lost, result("demo", GREEN), code=ExitCode.ENVIRONMENT_FAILED) == [
        "-" * 72,
        "verdict: RED, 1 of 3 notebooks green (exit code 6: the run environment failed)",
        "  demo: GREEN after 14.6 s",
        "    reason:   all 2 code cells ran, and 3 objects are in Cloud Storage",
        "    notebook: gs://b/ci/results/r1/demo/demo.ipynb",
        "    log:      gs://b/ci/results/r1/demo/run.log",
        "  bad: RED after 14.6 s (cell_failed)",
        "    reason:   cell 2 of 3 failed: ValueError: no rides",
        "    do:       Correct the cell; the executed notebook has its whole output.",
        "    notebook: gs://b/ci/results/r1/bad/bad.ipynb",
        "    log:      gs://b/ci/results/r1/bad/run.log",
        "  lost: RED after 1 h 6 min, attempt 3 (vm_lost)",
        "    reason:   VM nb-1 is gone",
        "              and left no evidence.",
        "    do:       Try again.",
        "    log:      gs://b/x/run.log",
        "report: gs://b/ci/results/r1/summary.json",
        "left behind: nothing",
    ]


def test_a_run_that_never_began_ends_the_same_way() -> None:
    stream = io.StringIO()
    error = EnvironmentFailed(
        "run ids a to a-99 are taken.", reason="run_id_taken", advice="Set another NB_RUN_ID."
    )
    report.failed(report.Console(stream), error)
    assert stream.getvalue().splitlines() == [
        "-" * 72,
        "verdict: RED, run id taken (exit code 6: the run environment failed)",
        "  run ids a to a-99 are taken.",
        "  do: Set another NB_RUN_ID.",
        "left behind: nothing",
    ]


@pytest.mark.parametrize(
    ("day", "said"),
    [(date(2018, 4, 1), "scheduled for 2018-04-01, "), (None, "scheduled, ")],
    ids=["day", "no day"],
)
def test_the_verdict_of_a_scheduled_run_says_so(day: date | None, said: str) -> None:
    """Alerts look for it (docs/deploy.md)."""
    stream = io.StringIO()
    console = report.Console(stream)
    report.scheduled(console, day)
    error = EnvironmentFailed("no", reason="event_lost")
    report.failed(console, error)
    report.cancelled(console, 6, left=[], sent=[], project="p", error=error)
    report.closing(console, [result("demo", GREEN)], code=ExitCode.GREEN, report="", left=[], project="p")
    assert report.duplicate(console, Holder("r1", ""), event="gs://b/e", again="x") is ExitCode.GREEN
    assert report.duplicate(console, Holder("r1", "red"), event="gs://b/e", again="x") is not ExitCode.GREEN
    assert [line for line in stream.getvalue().splitlines() if line.startswith("verdict")] == [
        f"verdict: RED, {said}event lost (exit code 6: the run environment failed)",
        f"verdict: RED, {said}event lost (exit code 6: the run environment failed)",
        f"verdict: GREEN, {said}1 of 1 notebooks green (exit code 0)",
        f"verdict: GREEN, {said}duplicate of r1 (still running) (exit code 0)",
        f"verdict: RED, {said}duplicate of r1, which was red (exit code 1)",
    ]


def test_mistakes_in_what_an_event_gave_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    report.refused(BadInput([Problem("NB_EVENT", "", "no")]), of_event=True)
    assert "\nverdict: RED, scheduled, 1 mistake found" in capsys.readouterr().err


def test_mistakes_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    report.refused(BadInput([Problem("NB_A", "x", "expected y"), Problem("NB_B", "", "is required")]))
    assert capsys.readouterr().err.splitlines() == [
        "-" * 72,
        "verdict: RED, 2 mistakes found before any call (exit code 2: bad input)",
        "  NB_A is 'x': expected y",
        "  NB_B: is required",
        "  do: Correct the 2 mistakes above.",
        "left behind: nothing",
    ]


def test_a_failed_cell_is_shown_around_its_line_behind_a_bar() -> None:
    stream = io.StringIO()
    report.Console(stream).judged("bad", RED, 14.62)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "bad  RED after 14.6 s: cell 2 of 3 failed: ValueError: no rides"
    assert lines[1:3] == ["bad  |       … 5 lines", "bad  |     6  line 6"]
    assert "bad  | >  12  line 12" in lines
    assert lines[-3:] == [
        "bad  |       … 12 lines",
        "bad  | ValueError: no rides",
        "bad  Correct the cell; the executed notebook has its whole output.",
    ]


def test_frames_are_shown_where_the_error_is_deeper_than_the_cell() -> None:
    failure = CellFailure(1, 1, "f()", 1, "E: x", "Cell In[1], line 1\nFile a.py:3, in f()\nE: x")
    stream = io.StringIO()
    report.Console(stream).judged(
        "bad", Verdict(ExitCode.NOTEBOOK_FAILED, "cell_failed", "m", "", failure), 1
    )
    assert stream.getvalue().splitlines()[1:] == [
        "bad  | >   1  f()",
        "bad  | Cell In[1], line 1",
        "bad  | File a.py:3, in f()",
        "bad  | E: x",
    ]


@given(st.text())
def test_a_relayed_line_stays_one_line_behind_its_bar(text: str) -> None:
    stream = io.StringIO()
    console = report.Console(stream)
    console.relay("job", f"| {text}")
    console.relay("job", text.lstrip("#") or "x")
    lines = stream.getvalue().split("\n")
    assert len(lines) == 3
    assert all(line.startswith("job  | ") for line in lines[:2])
    assert not [char for char in "".join(lines) if ord(char) < 32 and char != "\t"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (3.04, "3 s"),
        (12.84, "12.8 s"),
        (59.97, "1 min"),
        (250, "4 min 10 s"),
        (12960, "3 h 36 min"),
        (3600, "1 h"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words
