"""Compares the parameters that a notebook declares with papermill's inference, on odd and on generated cells."""

from __future__ import annotations

import logging
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from papermill.inspection import _infer_parameters
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from builder.judge.executed_notebook import expected_cells
from builder.plan.notebooks import check_parameters
from builder.plan.papermill_parameters import assigned_names, declared_parameters
from tests.unit.good_attempt import code, markdown, notebook_json, read

CELLS = {
    "plain": "days = 7\ncity = 'Zürich'\nnothing = None",
    "typed": "a: int = 1\nb: 'str' = ''\nc: List[int] = []\nd: Dict[str, int] = {}\ne: typing.List[int] = []\nf: int | None = 1\ng: int",
    "type comments": "a = 1 # type: int the help\nb = 'x'  # only help\nc = 2 # type: Optional[int]",
    "tuples": "a, b = 1, 2\n(c, d) = 3, 4\n[e] = [5]\nf = 6, 7",
    "chained": "a = b = 1\nc = 2; d = 3\ne = 4",
    "several lines": "a = [\n    1,  # one\n    2,\n]\nb = {\n  'x': 1,\n\n  # y\n  'y': 2\n}\nc = (\n  'k=v'\n)\nd = '''\nlong\n'''",
    "an equals sign in a value": "query = 'x = 1'\nurl = 'https://e.example/?a=1&b=2'\nflag = 1 == 2\nlow = 1 <= 2\nlast = 1",
    "an equals sign in a comment": "limit: int | None = None\nx = 1  # must be >= 1\ny: float = 0.5 # between 0 = off and 1\n# z = 3",
    "comments": "# a = 1\nb = 2 # = 3\n#c = 4\n   # d = 5\ne = 6",
    "magics": "%matplotlib inline\n%env A=1\n!pip install x==1\n?help\n%%time\nb = 2\n!export C=3\nd = !ls",
    "augmented": "a = 1\na += 1\nb -= 1\nc := 3\nd |= 4",
    "inside": "if True:\n    hidden = 1\nfor i in []:\n    j = i\ndef f(x=1):\n    y = 2\nclass C:\n    z: int = 3\nprint(end='')",
    "attributes": "a.b = 1\nc[0] = 2\nd['x'] = 3\ne = f.g",
    "spaces": "a=1\nb   =   2\n\tc = 3\n  d :int=4\ne\u00a0=\u00a05\nf \\\n = 6",
    "odd names": "größe = 1\n_x = 2\n__y__ = 3\nA1 = 4\n1a = 5\nx-y = 6\n変数 = 7",
    "no Python": "days = \n(((\na = 1",
    "line ends": "a = 1\r\nb = 2\rc = 3\x0bd = 4\u2028e = 5\x1cf = 6",
    "imports": "import os\nfrom a import b\nx = os.environ.get('A', 'b=c')",
    "nothing": "",
    "only words": "hello\nworld",
    "a quoted type that does not end": "a: 'str = 1\nb: \"x' = 2",
}


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)


def inferred(data: dict[str, Any]) -> set[str]:
    """Return the parameters that papermill infers from a notebook."""
    node = nbformat.from_dict(data)
    for cell in node.cells:
        cell.metadata.setdefault("tags", [])
    return {parameter.name for parameter in _infer_parameters(node, name="python3", language="python")}


def by_papermill(source: str) -> set[str]:
    return inferred(notebook_json(code(1, source, "parameters")))


@pytest.mark.parametrize("name", CELLS)
def test_odd_cells(name: str) -> None:
    assert declared_parameters(CELLS[name]) == by_papermill(CELLS[name])


def test_the_corpus_tells_reading_lines_from_reading_python() -> None:
    """Some of what papermill finds is no assignment at the top, and some assignments it does not find."""
    assert "hidden" in declared_parameters(CELLS["inside"])
    assert "query" not in declared_parameters(CELLS["an equals sign in a value"])
    assert "c" in declared_parameters(CELLS["several lines"])
    assert not declared_parameters(CELLS["tuples"]) & set("abcde")


ASSIGNED = {
    "an equals sign in a comment": {"limit", "x", "y"},
    "an equals sign in a value": {"query", "url", "flag", "low", "last"},
    "typed": set("abcdef"),
    "tuples": set("abf"),
    "chained": set("ace"),
    "several lines": set("abcd"),
    "comments": {"b", "e"},
    "magics": {"b", "d"},
    "augmented": {"a"},
    "inside": set(),
    "attributes": {"e"},
    "odd names": {"größe", "_x", "__y__", "A1", "変数"},
}


@pytest.mark.parametrize("name", ASSIGNED)
def test_a_line_that_assigns_declares_whatever_papermill_infers(name: str) -> None:
    assert assigned_names(CELLS[name]) == ASSIGNED[name]
    notebook = read(notebook_json(code(1, CELLS[name], "parameters")))
    assert notebook.declared_parameters == frozenset(ASSIGNED[name] | by_papermill(CELLS[name]))


_LINES = st.text(alphabet="ab1_ =:#'\"[],.(){}\\\t%!é", max_size=14)


@given(st.lists(_LINES, max_size=6), st.sampled_from(["\n", "\r\n", "\n\n", "\x0b"]))
def test_made_up_cells(lines: list[str], end: str) -> None:
    source = end.join(lines)
    assert declared_parameters(source) == by_papermill(source)


def test_a_long_line_takes_no_time() -> None:
    assert declared_parameters("x: a" + " " * 100_000 + "!") == frozenset()
    assert declared_parameters("a" * 100_000 + "!") == frozenset()


@pytest.mark.parametrize(
    "cells",
    [
        pytest.param(
            [code(1, "a = 1"), code(2, "b = 1", "parameters"), code(3, "c = 1", "parameters")],
            id="first of two tagged",
        ),
        pytest.param(
            [markdown(1, "# Parameters", "parameters"), code(2, "b = 1", "parameters")],
            id="tagged markdown before code",
        ),
        pytest.param([markdown(1, "x = 1", "parameters"), code(2, "b = 1")], id="tagged markdown alone"),
        pytest.param([code(1, "a = 1", "injected-parameters"), code(2, "b = 1")], id="injected before code"),
        pytest.param([code(1, "a = 1", "Parameters"), code(2, "b = 1", "parameter")], id="other tags"),
    ],
)
def test_which_cell_counts(cells: list[dict[str, Any]]) -> None:
    data = notebook_json(*cells)
    assert read(data).declared_parameters == frozenset(inferred(data))


def test_papermill_loads_the_same_parameters(tmp_path: Any) -> None:
    """The tags of a notebook on disk are found alike, also where a cell has none."""
    file = tmp_path / "a.ipynb"
    nbformat.write(nbformat.from_dict(notebook_json(code(1, "1"), code(2, "b = 1", "parameters"))), file)
    found = _infer_parameters(load_notebook_node(str(file)), name="python3", language="python")
    assert [parameter.name for parameter in found] == ["b"]


def told(source: dict[str, Any], name: str) -> str:
    (problem,) = check_parameters(read(source), {name: 1})
    return problem.expected


def test_the_mistake_says_what_papermill_wants() -> None:
    two = notebook_json(code(1, "if True:\n    query = 'x = 1'\ndays = 1", "parameters"))
    assert "`query = (`, the value on the next line" in told(two, "query")
    assert "did you mean days?" in told(two, "dayz")
    words = notebook_json(markdown(1, "## Set-up", "parameters"), code(2, "days = 1"))
    assert "cells[0], the first one tagged parameters, is no code cell" in told(words, "days")
    assert "declares nothing" in told(notebook_json(code(1, "1", "parameters")), "days")


def test_another_language_than_python() -> None:
    data = notebook_json(code(1, "x <- 1", "parameters"))
    data["metadata"]["kernelspec"] |= {"name": "ir", "language": "R"}
    assert read(data).declared_parameters is None
    data["metadata"]["kernelspec"] |= {"name": "pysparkkernel", "language": "scala"}
    assert read(data).declared_parameters == frozenset()


@pytest.mark.parametrize(
    "cells",
    [
        pytest.param(
            [
                code(1, "a = 1"),
                markdown(2, "# P", "parameters"),
                code(3, "b = 1"),
                code(4, "c = 1", "parameters"),
            ],
            id="tagged markdown before tagged code",
        ),
        pytest.param(
            [markdown(1, "old", "injected-parameters"), code(2, "a = 1", "parameters"), code(3, "b = 1")],
            id="injected markdown",
        ),
        pytest.param(
            [
                code(1, "a = 1"),
                markdown(2, "old", "injected-parameters"),
                code(3, "b = 1", "injected-parameters"),
            ],
            id="injected markdown and code",
        ),
        pytest.param(
            [code(1, "a = 1", "parameters"), code(2, "a = 2", "injected-parameters"), code(3, "b")],
            id="injected after parameters",
        ),
        pytest.param([markdown(1, "# P", "parameters"), code(2, "a = 1")], id="tagged markdown"),
        pytest.param([code(1, "a = 1")], id="no tags"),
    ],
)
def test_where_papermill_puts_its_cell(cells: list[dict[str, Any]]) -> None:
    data = notebook_json(*cells)
    node = nbformat.from_dict(data)
    for cell in node.cells:
        cell.metadata.setdefault("tags", [])
    node.metadata.papermill = {}
    after = parameterize_notebook(node, {"a": 3}, kernel_name="python3", language="python")
    sources = ["".join(cell.source) for cell in after.cells if cell.cell_type == "code"]
    expected = [
        expected_cell.cell.source if expected_cell.cell else "# Parameters\na = 3\n"
        for expected_cell in expected_cells(read(data), injected=True)
    ]
    assert expected == sources
