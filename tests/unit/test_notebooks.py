"""Reading notebooks: what a run needs of them, and every mistake told with its field."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.model import Notebook
from builder.plan.notebooks import (
    MAX_NOTEBOOK_BYTES,
    check_parameters,
    is_blank,
    is_executed,
    load_notebook,
    read_notebook,
)
from builder.plan.staged_form import staged_form
from tests.unit.good_attempt import Json, code, markdown, notebook_json, read

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def refusal(content: Any, *, kernel: str | None = None) -> str:
    """The one problem that this content has."""
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    problems = read_notebook("rides/demo.ipynb", raw, kernel=kernel)
    assert isinstance(problems, list)
    assert len(problems) == 1, problems
    assert str(problems[0]).startswith("rides/demo.ipynb: ")
    return problems[0].expected


def good() -> Json:
    return notebook_json(markdown(0, "# Rides"), code(1, "days = 1", "parameters"), code(2, "days"))


def test_facts_of_a_good_notebook() -> None:
    content = json.dumps(good()).encode()
    notebook = read_notebook("rides/demo.ipynb", content)
    assert isinstance(notebook, Notebook)
    staged = hashlib.sha256(staged_form(content)).hexdigest()
    assert (notebook.path, notebook.sha256) == ("rides/demo.ipynb", staged)
    assert (notebook.kernel, notebook.language) == ("python3", "python")
    assert [(cell.position, cell.source, set(cell.tags)) for cell in notebook.code_cells] == [
        (1, "days = 1", {"parameters"}),
        (2, "days", set()),
    ]
    assert notebook.declared_parameters == frozenset({"days"})


def test_a_source_may_be_a_list_of_lines() -> None:
    notebook = read(notebook_json(code(1, ["a = 1\n", "b = 2"])))
    assert notebook.code_cells[0].source == "a = 1\nb = 2"


def test_blank_and_skipped_cells_are_not_executed() -> None:
    notebook = read(
        notebook_json(code(1, " \n\t"), code(2, "1", "skip-execution"), code(3, "# only a comment"))
    )
    assert [is_blank(cell) for cell in notebook.code_cells] == [True, False, False]
    assert [is_executed(cell) for cell in notebook.code_cells] == [False, False, True]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b" \n", "the file is empty", id="blanks"),
        pytest.param(b'{"cells": [', "not valid JSON at line 1, column 12", id="half of an object"),
        pytest.param(b'{"a": NaN}', "NaN is no JSON number", id="NaN"),
        pytest.param(b'{"a": -Infinity}', "-Infinity is no JSON number", id="infinity"),
        pytest.param(b"[" * 200_000, "nested too deeply", id="nested too deeply"),
        pytest.param(b"1" * 5000, "not valid JSON: Exceeds the limit", id="number too long"),
        pytest.param(b"\xff\xfe{\x00", "not UTF-8 (byte 0)", id="UTF-16"),
        pytest.param(b"\xef\xbb\xbf{}", "byte order mark", id="byte order mark"),
        pytest.param(b"[]", "holds no JSON object", id="a list"),
        pytest.param(b"{}", "no whole number under nbformat", id="empty object"),
        pytest.param(b'{"nbformat": true}', "no whole number under nbformat", id="boolean nbformat"),
        pytest.param(
            b'{"nbformat": 3, "worksheets": []}', "jupyter nbconvert --to notebook --inplace", id="nbformat 3"
        ),
        pytest.param(b'{"nbformat": 5}', "only format 4 is read", id="nbformat 5"),
        pytest.param(b'{"nbformat": 4}', "cells: expected a list", id="no minor version"),
        pytest.param(b'{"nbformat": 4, "nbformat_minor": 5}', "cells: expected a list", id="no metadata"),
        pytest.param(
            b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}', "cells: expected a list", id="no cells"
        ),
        pytest.param(
            b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [1]}',
            "cells[0]: expected an object",
            id="cell that is a number",
        ),
    ],
)
def test_a_file_that_is_no_notebook_is_refused(content: bytes, told: str) -> None:
    assert told in refusal(content)


@pytest.mark.parametrize(
    ("keys", "value", "told"),
    [
        pytest.param(("cells", 1, "source"), 3, "cells[1].source", id="source as a number"),
        pytest.param(("cells", 1, "cell_type"), "cod", "cells[1]", id="unknown type of cell"),
        pytest.param(("cells", 1, "cell_type"), None, "cells[1].cell_type", id="no type of cell"),
        pytest.param(("cells", 1, "cell_type"), [], "cells[1].cell_type", id="a list as type of cell"),
        pytest.param(("cells", 1, "cell_type"), {}, "cells[1].cell_type", id="an object as type of cell"),
        pytest.param(
            ("cells", 1, "metadata", "tags"), "parameters", "cells[1].metadata.tags", id="tags as text"
        ),
        pytest.param(("nbformat_minor",), -1, "nbformat_minor", id="negative minor version"),
        pytest.param(
            ("cells", 2, "source"), "\ud800", "half of a surrogate pair", id="half of a surrogate pair"
        ),
        pytest.param(("metadata",), {}, "names no kernel", id="no kernel"),
        pytest.param(("cells",), [], "nothing would be tested", id="no cells"),
    ],
)
def test_a_faulty_field_is_named(keys: tuple[str | int, ...], value: Any, told: str) -> None:
    data: Any = good()
    holder = data
    for key in keys[:-1]:
        holder = holder[key]
    holder[keys[-1]] = value
    assert told in refusal(data)


def test_several_mistakes_are_reported_together() -> None:
    data = good()
    data["metadata"] = {}
    data["cells"] = []
    problems = read_notebook("demo.ipynb", json.dumps(data).encode())
    assert isinstance(problems, list)
    assert len(problems) == 2


def test_an_option_may_give_the_kernel() -> None:
    data = good()
    data["metadata"] = {}
    notebook = read_notebook("demo.ipynb", json.dumps(data).encode(), kernel="python3")
    assert isinstance(notebook, Notebook)
    assert (notebook.kernel, notebook.language) == ("python3", "python")


def test_cells_without_ids_and_older_minor_formats_are_fine() -> None:
    data = good()
    for cell in data["cells"]:
        del cell["id"]
    for minor in (0, 4, 5, 9):
        assert load_notebook(json.dumps(data | {"nbformat_minor": minor}).encode())


def test_a_huge_file_is_refused_unread() -> None:
    assert f"more than the {MAX_NOTEBOOK_BYTES} that are read" in refusal(b"[" * (MAX_NOTEBOOK_BYTES + 1))


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_the_test_notebooks_are_good(path: Path) -> None:
    notebook = read_notebook(path.name, path.read_bytes())
    if path.stem == "no_code":
        assert isinstance(notebook, list)
        assert "nothing would be tested" in notebook[0].expected
    else:
        assert isinstance(notebook, Notebook), notebook


def test_parameters_of_another_language_are_unknown() -> None:
    data = good()
    data["metadata"]["kernelspec"] |= {"name": "ir", "language": "R"}
    notebook = read(data)
    assert notebook.declared_parameters is None
    assert check_parameters(notebook, {"anything": 1}) == []


def test_unknown_parameters_are_reported_with_the_declared_ones() -> None:
    source = notebook_json(code(1, "days = 1\ncity = 'x'", "parameters"))
    told = [str(problem) for problem in check_parameters(read(source), {"days": 2, "dayz": 1, "zone": 1})]
    assert told == [
        "NB_PARAMETERS is 'dayz': not a parameter of rides/demo.ipynb (did you mean days?); it declares city, days",
        "NB_PARAMETERS is 'zone': not a parameter of rides/demo.ipynb; it declares city, days",
    ]


def test_parameters_for_a_notebook_that_declares_none() -> None:
    (problem,) = check_parameters(read(notebook_json(code(1, "1"))), {"days": 1})
    assert "no code cell tagged parameters" in problem.expected


@pytest.mark.parametrize(
    "value",
    [float("nan"), [float("inf")], {"a": (1, -float("inf"))}],
    ids=["NaN", "infinity in a list", "infinity in a mapping"],
)
def test_parameters_that_json_cannot_hold(value: Any) -> None:
    (problem,) = check_parameters(read(good()), {"days": value})
    assert "finite" in problem.expected


@settings(max_examples=25, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    ["cells", "metadata", "nbformat", "nbformat_minor", "cell_type", "source", "id"]
                ),
                inner,
            )
        ),
        max_leaves=8,
    )
)
def test_no_json_makes_it_raise(value: Any) -> None:
    if isinstance(value, dict):
        value = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}} | value
    assert isinstance(read_notebook("demo.ipynb", json.dumps(value).encode()), list)


def test_a_good_notebook_never_pays_for_nbformat() -> None:
    script = (
        "import sys; from builder.plan.notebooks import read_notebook; "
        f"read_notebook('passes.ipynb', open({str(NOTEBOOKS / 'passes.ipynb')!r}, 'rb').read()); "
        "sys.exit('nbformat' in sys.modules or 'jsonschema' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
