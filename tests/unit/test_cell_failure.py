"""A failure is told by cell, line, error and a traceback that a person reads to the end."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from builder.judge.cell_failure import MAX_TRACEBACK_LINES, failure_at, find_failure
from builder.judge.executed_notebook import expected_cells, read_executed
from builder.model import CellFailure
from tests.unit.good_attempt import Json, code, error_output, notebook_json, read, run_cell

SOURCE = notebook_json(
    code(1, "rides = []", "parameters"), code(2, "a = 1\nb = 2\nmean(rides)\nc = 3"), code(3, "pass")
)


def failure_of(output: Json, *, count: int = 7, injected: bool = False) -> CellFailure:
    data = copy.deepcopy(SOURCE)
    if injected:
        data["cells"].insert(1, code(9, "rides = 1", "injected-parameters"))
    cell = data["cells"][1]
    run_cell(cell, count, {"output_type": "stream", "name": "stdout", "text": "x"}, output)
    cell["metadata"]["papermill"] = {"exception": True, "status": "failed"}
    notebook = read(SOURCE)
    found = find_failure(
        notebook, read_executed(json.dumps(data).encode()), expected_cells(notebook, injected=injected)
    )
    assert found is not None
    return found


def with_traceback(*entries: str) -> Json:
    return error_output() | {"traceback": list(entries)}


MODERN = (
    "\x1b[31m---------------------------------------------------------------------------\x1b[39m",
    "\x1b[31mValueError\x1b[39m                                Traceback (most recent call last)",
    "\x1b[36mCell\x1b[39m\x1b[36m \x1b[39m\x1b[32mIn[7]\x1b[39m\x1b[32m, line 3\x1b[39m\n      1 a = 1\n----> 3 mean(rides)",
    "\x1b[36mCell\x1b[39m \x1b[32mIn[6]\x1b[39m, line 12, in \x1b[36mmean\x1b[39m(values)\n---> 12 return f(values)",
    "File /opt/python/lib/python3.12/statistics.py:430, in f(data)\n    429 if n < 1:\n--> 430     raise ValueError",
    "File /srv/lib.py:3, in g()\n----> 3 boom",
    "\x1b[31mValueError\x1b[39m: no rides",
)


def test_a_traceback_of_today() -> None:
    failure = failure_of(with_traceback(*MODERN))
    assert (failure.cell, failure.cells, failure.line) == (2, 3, 3)
    assert failure.error == "ValueError: no rides"
    assert failure.source == "a = 1\nb = 2\nmean(rides)\nc = 3"
    assert failure.traceback.split("\n") == [
        "Cell In[7], line 3",
        "      1 a = 1",
        "----> 3 mean(rides)",
        "Cell In[6], line 12, in mean(values)",
        "---> 12 return f(values)",
        "File /srv/lib.py:3, in g()",
        "----> 3 boom",
        "… 1 frame in libraries",
        "ValueError: no rides",
    ]


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        pytest.param([], [], id="none"),
        pytest.param(["/opt/lib/python3.12/a.py"], ["… 1 frame in libraries"], id="one"),
        pytest.param(
            ["/opt/lib/python3.12/a.py", "/x/site-packages/b.py"], ["… 2 frames in libraries"], id="two"
        ),
    ],
)
def test_frames_of_libraries_are_counted(paths: list[str], words: list[str]) -> None:
    frames = [f"File {path}:3, in f()\n----> 3 g()" for path in paths]
    traceback = failure_of(with_traceback("Cell In[7], line 3", *frames, "ValueError: no rides")).traceback
    assert traceback.split("\n") == ["Cell In[7], line 3", *words, "ValueError: no rides"]


@pytest.mark.parametrize("lines", [15, 16])
def test_only_a_traceback_of_more_lines_is_shortened(lines: int) -> None:
    text = [f"Cell In[6], line {number}" for number in range(1, lines + 1)]
    found = failure_of(with_traceback(*text)).traceback.split("\n")
    assert (found == text) == (lines == MAX_TRACEBACK_LINES)


def test_a_line_is_found_up_to_the_cells_last() -> None:
    assert [failure_of(with_traceback(f"Cell In[7], line {line}")).line for line in (0, 1, 4, 5)] == [
        None, 1, 4, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param("Cell In[7], line 3\n----> 3 mean(rides)", id="Cell In[7]"),
        pytest.param("Cell In [7], line 3\n----> 3 mean(rides)", id="Cell In [7]"),
        pytest.param(
            "Input In [7], in <cell line: 1>()\n      2 b = 2\n----> 3 mean(rides)", id="Input In [7]"
        ),
        pytest.param(
            "<ipython-input-7-0123abc> in <module>\n      2 b = 2\n----> 3 mean(rides)", id="ipython-input-7"
        ),
        pytest.param("  Cell In[7], line 3\n    mean(rides\n        ^\n", id="syntax error"),
        pytest.param("File <frozen x>:9\nCell In[7], line 3", id="after another file"),
    ],
)
def test_the_line_is_found_in_every_form(frame: str) -> None:
    assert failure_of(with_traceback(frame, "ValueError: no rides")).line == 3


@pytest.mark.parametrize(
    "frame",
    ["", "Cell In[6], line 3\n----> 3 x", "Cell In[7], line 99", "Input In [7], in <module>", "----> 3 x"],
    ids=["nothing", "another cell", "line past the end", "no arrow", "no cell"],
)
def test_no_line_is_better_than_a_wrong_one(frame: str) -> None:
    assert failure_of(with_traceback(frame)).line is None


def test_a_long_traceback_keeps_both_ends() -> None:
    frames = [f"Cell In[6], line {number}\n----> {number} again()" for number in range(1, 3000)]
    lines = failure_of(with_traceback(*frames, "RecursionError: too deep")).traceback.split("\n")
    assert len(lines) == MAX_TRACEBACK_LINES
    assert lines[0] == "Cell In[6], line 1"
    assert lines[7] == "… 5985 lines"
    assert lines[-1] == "RecursionError: too deep"


def test_nothing_from_the_notebook_reaches_the_terminal_raw() -> None:
    output = error_output("\x1b[32mGreen\x1b[0m", "a\rverdict: green\x1b[2J\nsecond")
    failure = failure_of(output | {"traceback": ["\x1b]0;t\x07x" + "y" * 5000]})
    assert failure.error == "Green: a"
    assert len(failure.traceback) < 2100
    assert "\x1b" not in failure.traceback + failure.error


def test_a_failure_in_the_injected_cell_has_number_0() -> None:
    assert failure_of(error_output(), injected=True).cell == 0


def test_an_error_without_a_value_or_output() -> None:
    assert failure_of(error_output("KeyboardInterrupt", "")).error == "KeyboardInterrupt"
    hooked: Any = {"output_type": "stream", "name": "stdout", "text": "swallowed"}
    assert failure_of(hooked).error == "an error without output"


def test_a_changed_number_of_cells_is_counted_as_it_stands() -> None:
    data = copy.deepcopy(SOURCE)
    data["cells"].append(code(8, "1"))
    run_cell(data["cells"][3], 1, error_output())
    notebook = read(SOURCE)
    found = find_failure(
        notebook, read_executed(json.dumps(data).encode()), expected_cells(notebook, injected=False)
    )
    assert found is not None
    assert found.cell == 4


def test_no_failure() -> None:
    notebook = read(SOURCE)
    executed = read_executed(json.dumps(SOURCE).encode())
    assert find_failure(notebook, executed, expected_cells(notebook, injected=False)) is None


def test_the_place_of_a_fault_without_output() -> None:
    notebook = read(SOURCE)
    failure = failure_at(notebook, 2, "killed\nby signal 9")
    assert failure is not None
    assert (failure.cell, failure.cells, failure.line, failure.error) == (2, 3, None, "killed")
    assert [failure_at(notebook, number, "x") for number in (None, 0, 4)] == [None, None, None]
