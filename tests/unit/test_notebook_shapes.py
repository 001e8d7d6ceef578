"""Notebooks in the shapes that tools write: all are planned, and what the VM makes of them is valid.

`tests/vm/test_notebook_shapes.py` runs them.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import nbformat
import pytest

from builder.model import Notebook
from builder.plan.notebooks import read_notebook
from builder.vm.notebook_shape import normalize

Json = dict[str, Any]
PYTHON = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
INFO = {"name": "python", "version": "3.11.2", "mimetype": "text/x-python", "file_extension": ".py"}
STREAM = {"output_type": "stream", "name": "stdout", "text": ["old\n"]}


def code(source: Any = "print('ran')", **more: Any) -> Json:
    cell: Json = {
        "cell_type": "code",
        "metadata": {},
        "execution_count": None,
        "outputs": [],
        "source": source,
    }
    return {name: value for name, value in (cell | more).items() if value != "gone"}


def markdown(**more: Any) -> Json:
    return {"cell_type": "markdown", "metadata": {}, "source": ["# Rides\n", "text"], **more}


def book(*cells: Json, minor: int = 4, **metadata: Any) -> Json:
    known = {"kernelspec": PYTHON, "language_info": INFO, **metadata}
    kept = {name: value for name, value in known.items() if value != "gone"}
    return {"nbformat": 4, "nbformat_minor": minor, "metadata": kept, "cells": list(cells)}


def without(data: Json, *names: str) -> Json:
    return {name: value for name, value in data.items() if name not in names}


# What each tool writes, made by hand from its documentation and format.
SHAPES: dict[str, Json] = {
    "nbformat 4.0": book(code(), minor=0, orig_nbformat=3),
    "nbformat 4.1": book(code(execution_count=7, outputs=[STREAM]), minor=1),
    "nbformat 4.2": book(code(), markdown(attachments={"a.png": {"image/png": "aGk="}}), minor=2),
    "nbformat 4.3": book(code(metadata={"jupyter": {"source_hidden": True, "outputs_hidden": False}}), minor=3),
    "nbformat 4.5": book(code(id="a1b2"), markdown(id="c3"), minor=5),
    "classic Jupyter": book(code(metadata={"collapsed": False, "scrolled": True, "trusted": True}), toc={"base_numbering": 1}),
    "JupyterLab": book(code(id="4b1f-9", metadata={"tags": []}), minor=5, widgets={"application/x": {}}),
    "VS Code": book(code(metadata={"vscode": {"languageId": "python"}}), minor=2, orig_nbformat=4),
    "VS Code, new": book(code(id="X10sZmlsZQ%3D%3D"), minor=5, kernelspec={**PYTHON, "display_name": ".venv"}),
    "VS Code, upgraded": book(code(), orig_nbformat=None),
    "Colab": book(
        code(execution_count="gone", metadata={"id": "Wf5KrEb6vrkR", "colab": {"base_uri": "https://localhost"}}),
        markdown(metadata={"id": "5fCEDCU_qrC0"}),
        minor=0,
        colab={"provenance": [], "toc_visible": True},
        accelerator="GPU",
        language_info={"name": "python"},
        kernelspec={"name": "python3", "display_name": "Python 3"},
    ),
    "Colab, ids in the cells": book(code(id="Wf5KrEb6vrkR"), code(id="Wf5KrEb6vrkR"), minor=0),
    "Colab form": book(code(cellView="form", metadata={"cellView": "form"}), minor=0),
    "Databricks": book(
        code(metadata={"application/vnd.databricks.v1+cell": {"title": "", "showTitle": False, "nuid": "a"}}),
        minor=0,
        kernelspec="gone",
        **{"application/vnd.databricks.v1+notebook": {"dashboards": [], "language": "python"}},
    ),
    "Databricks, outputs": book(
        code(outputs=[{"output_type": "display_data", "data": {"text/plain": 5}, "metadata": None}]), minor=0
    ),
    "Deepnote": book(
        code(metadata={"cell_id": "00000-a", "deepnote_cell_type": "code", "source_hash": None}),
        markdown(metadata={"cell_id": "00001-b", "deepnote_cell_type": "markdown"}, outputs=[]),
        minor=0,
        deepnote={"is_reactive": False},
        deepnote_notebook_id="x",
        orig_nbformat=2,
        kernelspec="gone",
        language_info={"name": "python"},
    ),
    "Kaggle": book(code(metadata={"_uuid": "8f2839f25d086af736a60e9eeb907d3b93b6e0e5", "trusted": True}), kaggle={"isGpuEnabled": False}),
    "SageMaker": book(code(), kernelspec={"name": "conda_python3", "display_name": "conda_python3", "language": "python"}, instance_type="ml.t3"),
    "Vertex AI": book(code(), environment={"kernel": "conda-base-py", "name": "tf2"}, kernelspec={**PYTHON, "name": "conda-base-py"}),
    "jupytext": book(code(execution_count=None), jupytext={"cell_metadata_filter": "-all", "main_language": "python"}, language_info="gone"),
    "jupytext, no kernel": book(code(), kernelspec="gone", language_info={"name": "python"}),
    "papermill": book(
        code("x = 1", metadata={"tags": ["parameters"], "papermill": {"status": "completed", "exception": False}}, execution_count=1),
        code("x = 1", metadata={"tags": ["injected-parameters"], "papermill": {}}, execution_count=2),
        minor=5,
        papermill={"parameters": {"x": 1}, "version": "2.7.0", "exception": None},
    ),
    "nbdime's result": book(code(id="same"), code(id="same"), minor=5),
    "nbstripout": book(code(execution_count="gone", outputs="gone")),
    "a script's json.dump": without(book(code("print('ran')")), "nbformat_minor"),
    "no metadata of cells": book({"cell_type": "code", "source": "print('ran')"}, {"cell_type": "raw", "source": "x"}),
    "counts as text": book(code(execution_count="3")),
    "old outputs": book(code(outputs=[{"output_type": "pyout", "prompt_number": 3, "text": "x"}])),
    "outputs null": book(code(outputs=None, execution_count=None)),
    "no display name": book(code(), kernelspec={"name": "python3"}),
    "kernelspec null": book(code(), kernelspec=None),
    "language_info without a name": book(code(), language_info={"version": "3.11"}),
    "unknown fields at the top": {**book(code()), "worksheets": [], "signature": "x"},
    "long id": book(code(id="x" * 80), minor=5),
    "tags null": book(code(metadata={"tags": None}), minor=5),
    "scrolled as text": book(code(metadata={"scrolled": "yes", "collapsed": "no", "name": ""})),
}  # fmt: skip
# What is assumed is told.
TOLD = {
    "Databricks": "it names no kernel, and its language is Python: it counts as one for python3",
    "Deepnote": "it names no kernel, and its language is Python: it counts as one for python3",
    "jupytext, no kernel": "it names no kernel, and its language is Python: it counts as one for python3",
    "kernelspec null": "it names no kernel, and its language is Python: it counts as one for python3",
    "nbdime's result": "the ids of 1 cells are replaced: they are not unique or not allowed",
    "VS Code, new": "the ids of 1 cells are replaced: they are not unique or not allowed",
    "long id": "the ids of 1 cells are replaced: they are not unique or not allowed",
    "a script's json.dump": "it has no nbformat_minor, and is read as 5",
}


@pytest.mark.parametrize("name", list(SHAPES))
def test_every_tools_notebook_is_planned(name: str) -> None:
    notebook = read_notebook("demo.ipynb", json.dumps(SHAPES[name]).encode())
    assert isinstance(notebook, Notebook), notebook
    assert notebook.assumed == ((TOLD[name],) if name in TOLD else ())
    assert notebook.kernel
    cells = [cell for cell in SHAPES[name]["cells"] if cell["cell_type"] == "code"]
    assert [cell.source for cell in notebook.code_cells] == [cell["source"] for cell in cells]


@pytest.mark.parametrize("name", list(SHAPES))
def test_what_the_vm_runs_is_valid(name: str) -> None:
    data = copy.deepcopy(SHAPES[name])
    normalize(data)
    nbformat.validate(nbformat.v4.upgrade(nbformat.from_dict(data)))
    again = copy.deepcopy(data)
    assert normalize(again) == ()
    assert again == data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(
            book(code(), kernelspec="gone", language_info="gone"), "names no kernel", id="no language"
        ),
        pytest.param(book(code(), kernelspec="gone", language_info={"name": "R"}), "names no kernel", id="R"),
        pytest.param(book(code(source=5)), "source", id="source"),
        pytest.param(
            book({"cell_type": "heading", "source": "x"}, code()), "not a valid notebook", id="type"
        ),
        pytest.param(book(code(metadata={"tags": "parameters"})), "tags", id="tags"),
    ],
)
def test_what_a_run_needs_is_still_refused(data: Json, words: str) -> None:
    problems = read_notebook("demo.ipynb", json.dumps(data).encode())
    assert isinstance(problems, list)
    assert words in str(problems[0])
