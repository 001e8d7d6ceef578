"""Failures that Jupyter lets pass, in the verdict: those that NB_FAIL_ON lists are red, and green tells the others."""

from __future__ import annotations

import pytest

from builder.errors import ExitCode
from tests.unit.good_attempt import Attempt, Json, error_output, executed_json

RED = (ExitCode.NOTEBOOK_FAILED, "silent_failure")
WHY_RED = "Jupyter continues after such a failure; the notebook is red because NB_FAIL_ON includes"


def noticing(*notices: tuple[str, int, str], fail_on: tuple[str, ...] = ()) -> Attempt:
    """The good attempt, on whose VM these failures were noticed: kind, cell and text."""
    found = [{"kind": kind, "cell": cell, "message": message} for kind, cell, message in notices]
    return Attempt(
        on_evidence=[lambda evidence: evidence.update(notices=found)],
        options={"fail_on": tuple(fail_on)},
    )


def failing(attempt: Attempt, text: str = "ValueError") -> Attempt:
    """The same attempt, whose sixth cell failed."""
    data: Json = executed_json()
    data["cells"][7]["outputs"] = [error_output(text)]
    attempt.executed = data
    attempt.on_evidence.append(lambda evidence: evidence["papermill"].update(exit_code=1))
    return attempt


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("bigquery", "Correct the query."),
        ("shell", "Correct it. A command that may fail can end with `|| true`."),
        ("thread", "Correct the code of the thread or task, and let a cell wait for its result."),
        ("widget", "Correct the code whose output the widget takes."),
    ],
    ids=["bigquery", "shell", "thread", "widget"],
)
def test_a_kind_that_is_listed_is_red(kind: str, advice: str) -> None:
    verdict = noticing((kind, 2, "no luck\nat all"), fail_on=("other", kind)).judge()
    assert (verdict.exit_code, verdict.reason) == RED
    assert verdict.message == "cell 2 of 6 failed: no luck"
    assert verdict.advice == f"{advice} {WHY_RED} {kind}."
    assert verdict.failure is not None
    assert verdict.failure.cell == 2


def test_a_kind_without_advice_of_its_own_is_red_too() -> None:
    verdict = noticing(("other", 2, "no"), fail_on=("other",)).judge()
    assert verdict.advice == f"{WHY_RED} other."


def test_the_first_failure_of_a_listed_kind_counts() -> None:
    notices = [("widget", 1, "a"), ("shell", 2, "b"), ("shell", 4, "c")]
    verdict = noticing(*notices, fail_on=("shell",)).judge()
    assert verdict.message == "cell 2 of 6 failed: b"


@pytest.mark.parametrize(
    ("notices", "end"),
    [
        pytest.param([], "", id="none"),
        pytest.param(
            [("shell", 2, "no")], "; 1 failure that NB_FAIL_ON does not include, in cell 2 of 6: no", id="one"
        ),
        pytest.param(
            [("shell", 2, "no"), ("widget", 4, "x")],
            "; 2 failures that NB_FAIL_ON does not include, the first in cell 2 of 6: no",
            id="two",
        ),
    ],
)
def test_green_tells_what_it_lets_pass(notices: list[tuple[str, int, str]], end: str) -> None:
    verdict = noticing(*notices, fail_on=("thread",)).judge()
    assert verdict.green
    assert verdict.message == f"all 4 code cells ran, and 5 objects are in Cloud Storage{end}"


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        pytest.param(2, "silent_failure", id="before"),
        pytest.param(6, "silent_failure", id="the same cell"),
        pytest.param(7, "cell_failed", id="after"),
    ],
)
def test_a_silent_failure_up_to_the_failed_cell_is_its_cause(cell: int, reason: str) -> None:
    verdict = failing(noticing(("shell", cell, "no"), fail_on=("shell",))).judge()
    assert (verdict.exit_code, verdict.reason) == (ExitCode.NOTEBOOK_FAILED, reason)
    assert verdict.failure is not None
    assert verdict.failure.cell == min(cell, 6)


MISSING = "ModuleNotFoundError: No module named 'nowhere'"


def test_a_cells_error_of_a_common_family_has_its_advice() -> None:
    failed = failing(Attempt(), "MemoryError").judge()
    assert failed.reason == "cell_failed"
    assert (
        failed.advice
        == "Memory ran out. Use less, or take a larger machine: NB_MACHINE_TYPE is e2-standard-4."
    )
    silent = noticing(("thread", 2, MISSING), fail_on=("thread",)).judge()
    assert silent.reason == "silent_failure"
    assert "nowhere" in silent.advice


def test_the_text_of_a_fault_has_no_advice_of_a_cells_error() -> None:
    stopped = {"reason": "cell_timeout", "message": MISSING, "cell": 2}
    attempt = Attempt(on_evidence=[lambda evidence: evidence.update(fault=stopped)])
    verdict = attempt.judge()
    assert verdict.reason == "cell_timeout"
    assert verdict.failure is not None
    assert "nowhere" not in verdict.advice
