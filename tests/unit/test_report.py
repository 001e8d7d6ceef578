"""The last lines of a run, word by word, and that no text from elsewhere can break out of its line."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.act.result import Abandoned, Duplicate, JobResult, RunResult, exit_code
from builder.errors import BadInput, EnvironmentFailed, ExitCode, Problem
from builder.model import CellFailure, Verdict
from builder.plan.format import duration
from builder.report import ending
from builder.report.console import Console

GREEN = Verdict(ExitCode.GREEN, "green", "all 2 code cells ran, and 3 objects are in Cloud Storage")
RED = Verdict(
    ExitCode.NOTEBOOK_FAILED,
    "cell_failed",
    "cell 2 of 3 failed: ValueError: no rides",
    "Correct the cell. The executed notebook has its whole output.",
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


def run_result(*jobs: JobResult, code: ExitCode) -> RunResult:
    return RunResult("r1", jobs, [], code, report="gs://b/ci/results/r1/summary.json")


def closing(*jobs: JobResult, code: ExitCode) -> list[str]:
    stream = io.StringIO()
    ending.finished(Console(stream), run_result(*jobs, code=code))
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


def test_a_red_run_prints_reasons_and_advice_with_the_red_jobs_last() -> None:
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
        "    do:       Correct the cell. The executed notebook has its whole output.",
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
    ending.failed(Console(stream), error)
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
    console = Console(stream)
    console.mark_scheduled(day)
    error = EnvironmentFailed("no", reason="event_lost")
    ending.failed(console, error)
    ending.abandoned(console, Abandoned(6, [], [], error))
    ending.finished(console, run_result(result("demo", GREEN), code=ExitCode.GREEN))
    ending.duplicate(console, Duplicate("r1", "", "gs://b/e"), again="x")
    ending.duplicate(console, Duplicate("r1", "red", "gs://b/e"), again="x")
    assert [line for line in stream.getvalue().splitlines() if line.startswith("verdict")] == [
        f"verdict: RED, {said}event lost (exit code 6: the run environment failed)",
        f"verdict: RED, {said}event lost (exit code 6: the run environment failed)",
        f"verdict: GREEN, {said}1 of 1 notebooks green (exit code 0)",
        f"verdict: GREEN, {said}duplicate of r1 (still running) (exit code 0)",
        f"verdict: RED, {said}duplicate of r1, which was red (exit code 1)",
    ]


def test_a_duplicate_has_the_color_of_the_run_that_has_its_event() -> None:
    assert Duplicate("r1", "", "gs://b/e").exit_code is ExitCode.GREEN
    assert Duplicate("r1", "green", "gs://b/e").exit_code is ExitCode.GREEN
    assert Duplicate("r1", "red", "gs://b/e").exit_code is ExitCode.NOTEBOOK_FAILED


def test_mistakes_in_an_events_values_name_the_event(capsys: pytest.CaptureFixture[str]) -> None:
    ending.refused(BadInput([Problem("NB_EVENT", "", "no")]), of_event=True)
    assert "\nverdict: RED, scheduled, 1 mistake found" in capsys.readouterr().err


def test_mistakes_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    ending.refused(BadInput([Problem("NB_A", "x", "expected y"), Problem("NB_B", "", "is required")]))
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
    Console(stream).judged("bad", RED, 14.62)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "bad  RED after 14.6 s: cell 2 of 3 failed: ValueError: no rides"
    assert lines[1:3] == ["bad  |       … 5 lines", "bad  |     6  line 6"]
    assert "bad  | >  12  line 12" in lines
    assert lines[-2:] == [
        "bad  |       … 12 lines",
        "bad  Correct the cell. The executed notebook has its whole output.",
    ]


def test_the_traceback_is_not_printed_again() -> None:
    failure = CellFailure(1, 1, "f()", 1, "E: x", "Cell In[1], line 1\nFile a.py:3, in f()\nE: x")
    stream = io.StringIO()
    Console(stream).judged("bad", Verdict(ExitCode.NOTEBOOK_FAILED, "cell_failed", "m", "", failure), 1)
    assert stream.getvalue().splitlines()[1:] == ["bad  | >   1  f()"]


@given(st.text())
def test_a_relayed_line_stays_one_line_behind_its_bar(text: str) -> None:
    stream = io.StringIO()
    console = Console(stream)
    console.relay("job", f"| {text}")
    console.relay("job", text.lstrip("#") or "x")
    lines = stream.getvalue().split("\n")
    assert len(lines) == 3
    assert all(line.startswith("job  | ") for line in lines[:2])
    assert not [char for char in "".join(lines) if ord(char) < 32 and char != "\t"]


def structured(act: Callable[[Console], object]) -> list[dict[str, Any]]:
    """The lines of a structured log, without their times."""
    stream = io.StringIO()
    console = Console(stream)
    console.structured = True
    act(console)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert all(datetime.fromisoformat(line.pop("time")).tzinfo is UTC for line in lines)
    return lines


def test_a_structured_log_has_severity_job_and_cell_as_fields() -> None:
    def act(console: Console) -> None:
        console.line("warning: a call was repeated")
        console.report("demo", "VM nb-1 deleted")
        console.relay("demo", "# cell 4/10 failed after 0.2 s: ValueError: no rides")
        console.judged("bad", RED, 14.62)

    found = structured(act)
    assert found[:4] == [
        {"severity": "WARNING", "message": "warning: a call was repeated"},
        {"severity": "INFO", "message": "VM nb-1 deleted", "job": "demo"},
        {
            "severity": "INFO",
            "message": "cell 4/10 failed after 0.2 s: ValueError: no rides",
            "job": "demo",
            "cell": 4,
        },
        {
            "severity": "ERROR",
            "message": "RED after 14.6 s: cell 2 of 3 failed: ValueError: no rides",
            "job": "bad",
        },
    ]
    assert {line["job"] for line in found[4:]} == {"bad"}


def test_the_last_lines_of_a_structured_log_have_the_verdict_as_an_error() -> None:
    result_of = run_result(result("bad", RED), code=ExitCode.NOTEBOOK_FAILED)
    found = structured(lambda console: ending.finished(console, result_of))
    assert [line["severity"] for line in found if line["message"].startswith("verdict: RED")] == ["ERROR"]


@given(st.text())
def test_a_notebook_forges_no_field_of_a_structured_log(text: str) -> None:
    found = structured(lambda console: console.relay("job", f"| verdict: RED {text}"))
    assert [(line["severity"], line["job"], line["source"]) for line in found] == [
        ("INFO", "job", "notebook")
    ]


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


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        pytest.param((0,), 0, id="green"),
        pytest.param((1, 5), 5, id="limit before notebook"),
        pytest.param((5, 6, 3), 3, id="capacity before environment"),
        pytest.param((3, 2), 2, id="input before capacity"),
        pytest.param((2, 4), 4, id="set-up before input"),
        pytest.param((4, 70), 70, id="bug first"),
    ],
)
def test_a_run_has_the_gravest_exit_code_of_its_jobs(codes: tuple[int, ...], code: int) -> None:
    jobs = [result("demo", Verdict(ExitCode(each), "reason", "text")) for each in codes]
    assert exit_code(jobs, ()) == code
