"""The state, the count and the text of each cell in the reports."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable

import pytest

from builder.judge.cell_runs import MAX_TEXT, MAX_TEXTS, cell_runs
from builder.model import CellRun, CellState
from tests.unit.good_attempt import Json, code, error_output, notebook_json, read, run_cell

SOURCE = notebook_json(code(1, "a = 1"), code(2, "b = 2\nc = 3"), code(3, "print(a)"))


def printed(text: str) -> Json:
    return {"output_type": "stream", "name": "stdout", "text": text}


def result(data: Json) -> Json:
    return {"output_type": "display_data", "data": data, "metadata": {}}


def runs(source: Json, change: Callable[[Json], None] = lambda _notebook: None) -> tuple[CellRun, ...]:
    """The cells of a run in which each one passed, after a change of the executed notebook."""
    executed = copy.deepcopy(source)
    for count, cell in enumerate(executed["cells"], start=1):
        run_cell(cell, count)
        cell["metadata"]["papermill"] = {"exception": False, "status": "completed", "duration": 0.5}
    change(executed)
    return cell_runs(read(source), {}, json.dumps(executed).encode())


def states(found: tuple[CellRun, ...]) -> list[CellState]:
    return [run.state for run in found]


def test_each_cell_has_its_number_count_time_and_first_line() -> None:
    found = runs(SOURCE)
    assert found[1] == CellRun(2, CellState.PASSED, 2, 0.5, "b = 2", "")
    assert states(found) == [CellState.PASSED] * 3


@pytest.mark.parametrize(
    "executed",
    [
        pytest.param(None, id="no executed notebook"),
        pytest.param(b"{", id="cut off"),
        pytest.param(json.dumps(notebook_json(code(1, "a = 1"))).encode(), id="other cells"),
    ],
)
def test_without_a_notebook_of_these_cells_none_of_them_ran(executed: bytes | None) -> None:
    source = notebook_json(code(1, "a = 1"), code(2, "b = 2", "skip-execution"))
    assert states(cell_runs(read(source), {}, executed)) == [CellState.NOT_RUN, CellState.SKIPPED]


def test_papermills_cell_of_parameters_has_no_number_and_no_title() -> None:
    found = cell_runs(read(SOURCE), {"day": "2018-04-01"}, None)
    assert (found[0].number, found[0].title) == (0, "")
    assert [run.number for run in found] == [0, 1, 2, 3]


def failed(number: int) -> Callable[[Json], None]:
    """The cell of this number raises, and the ones after it do not run."""

    def change(executed: Json) -> None:
        run_cell(executed["cells"][number - 1], number, error_output())
        executed["cells"][number - 1]["metadata"]["papermill"] |= {"exception": True, "status": "failed"}
        for cell in executed["cells"][number:]:
            cell |= {"execution_count": None, "outputs": []}
            cell["metadata"]["papermill"] = {"exception": None, "status": "pending"}

    return change


def test_the_cell_that_fails_is_failed_and_the_later_ones_did_not_run() -> None:
    found = states(runs(SOURCE, failed(2)))
    assert found == [CellState.PASSED, CellState.FAILED, CellState.NOT_RUN]


def test_an_error_that_a_tag_allows_is_no_failure() -> None:
    source = notebook_json(code(1, "a = 1", "raises-exception"), code(2, "b = 2"))

    def change(executed: Json) -> None:
        run_cell(executed["cells"][0], 1, error_output())

    assert states(runs(source, change)) == [CellState.ALLOWED, CellState.PASSED]


def test_a_second_error_is_a_failure_too() -> None:
    def change(executed: Json) -> None:
        for number in (0, 2):
            run_cell(executed["cells"][number], number + 1, error_output())

    assert states(runs(SOURCE, change)) == [CellState.FAILED, CellState.PASSED, CellState.FAILED]


def test_a_cell_that_was_not_to_run_is_skipped() -> None:
    source = notebook_json(code(1, "a = 1"), code(2, "b = 2", "skip-execution"))
    assert states(runs(source)) == [CellState.PASSED, CellState.SKIPPED]


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        pytest.param([printed("one\n"), printed("two\n")], "one\ntwo\n", id="printed"),
        pytest.param([result({"text/plain": "7"})], "7\n", id="result"),
        pytest.param([result({"text/plain": ["a\n", "b"]})], "a\nb\n", id="result in lines"),
        pytest.param([result({"image/png": "aa"})], "", id="picture without text"),
        pytest.param([result({"text/plain": 7})], "", id="text of another type"),
        pytest.param([printed("\x1b[31mred\x1b[0m")], "red", id="colours"),
        pytest.param([printed("x\n" * MAX_TEXT)], "x\n" * (MAX_TEXT // 2), id="the end of much"),
    ],
)
def test_a_cells_text_is_what_it_printed_and_its_results(outputs: list[Json], text: str) -> None:
    def change(executed: Json) -> None:
        run_cell(executed["cells"][0], 1, *outputs)

    assert runs(SOURCE, change)[0].text == text


def test_the_texts_of_a_notebook_have_a_limit_together() -> None:
    each = "x\n" * MAX_TEXT
    source = notebook_json(*(code(number, "print(x)") for number in range(MAX_TEXTS // MAX_TEXT + 2)))

    def change(executed: Json) -> None:
        for count, cell in enumerate(executed["cells"], start=1):
            run_cell(cell, count, printed(each))

    found = runs(source, change)
    assert sum(len(run.text) for run in found) == MAX_TEXTS
    assert found[-1].text == ""
