"""Notebooks as they are staged: an execution in Jupyter changes nothing; everything else is an input."""

from __future__ import annotations

import copy
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from builder.plan.packing import StagedFile, pack
from builder.plan.staged_form import staged_form

Json = dict[str, Any]
STREAM = {"output_type": "stream", "name": "stdout", "text": "ü\n"}
BOOK: Json = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    "cells": [
        {"cell_type": "markdown", "id": "text", "metadata": {}, "source": "# Größe"},
        {
            "cell_type": "code",
            "id": "one",
            "metadata": {"tags": ["parameters"]},
            "source": "days = 1\n",
            "outputs": [],
            "execution_count": None,
        },
    ],
}


def executed() -> Json:
    """BOOK after an execution in JupyterLab, one in papermill, and one with the extension ExecuteTime."""
    book = copy.deepcopy(BOOK)
    book["cells"][0]["metadata"]["papermill"] = {"duration": 0.1, "status": "completed"}
    cell = book["cells"][1]
    cell.update(outputs=[STREAM], execution_count=7)
    cell["metadata"] |= {
        "execution": {"iopub.execute_input": "2026-07-01T12:00:00Z"},
        "papermill": {"duration": 1.5, "status": "completed"},
        "ExecuteTime": {"start_time": "2026-07-01T12:00:00Z"},
    }
    return book


def raw(book: Any) -> bytes:
    return json.dumps(book).encode()


def test_an_execution_changes_nothing() -> None:
    assert staged_form(raw(executed())) == staged_form(raw(BOOK))


def test_the_layout_of_the_file_changes_nothing() -> None:
    book = dict(reversed(BOOK.items()))
    assert staged_form(json.dumps(book, indent=4, ensure_ascii=False).encode()) == staged_form(raw(BOOK))


def test_all_other_content_stays() -> None:
    assert json.loads(staged_form(raw(executed()))) == BOOK
    assert "Größe" in staged_form(raw(BOOK)).decode()


def test_the_staged_form_of_a_staged_notebook_is_the_same() -> None:
    once = staged_form(raw(executed()))
    assert staged_form(once) == once


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\n", id="a pointer of Git LFS"),
        pytest.param(b'{"nbformat": 3, "worksheets": []}', id="format 3"),
        pytest.param(b'{"nbformat": 4, "cells": {}}', id="no list of cells"),
        pytest.param(b"[4]", id="a list"),
        pytest.param(b'{"nbformat": 4, "cells": [], "x": NaN}', id="NaN"),
        pytest.param(b'{"nbformat": 4, "cells": [], "x": 1e999}', id="a number beyond a float"),
        pytest.param(b'{"nbformat": 4, "cells": [], "x": "\\ud800"}', id="half of a surrogate pair"),
        pytest.param(b'{"nbformat": 4, "cells": [], "x": "\xff"}', id="not UTF-8"),
        pytest.param(b"[" * 200_000, id="nested too deep"),
    ],
)
def test_what_is_no_notebook_stays_as_it_is(content: bytes) -> None:
    assert staged_form(content) == content


def test_odd_cells_stay() -> None:
    book = {"nbformat": 4, "cells": ["text", {"cell_type": "code", "metadata": None}]}
    staged = json.loads(staged_form(raw(book)))
    assert staged["cells"][0] == "text"
    assert staged["cells"][1]["metadata"] is None


def test_every_notebook_of_a_workspace_is_packed_in_its_staged_form(tmp_path: Path) -> None:
    """A job's files include other notebooks of its folder, whose outputs must not change its proof either."""
    hashes = []
    for name, book in (("before", BOOK), ("after", executed())):
        files = []
        for path in ("a.ipynb", "sub/b.ipynb", "data.json"):
            source = tmp_path / f"{name}-{path.replace('/', '-')}"
            source.write_bytes(raw(BOOK if path == "data.json" else book))
            files.append(StagedFile(path, source, source.stat().st_size, executable=path == "a.ipynb"))
        packed = pack(files, tmp_path / f"{name}.tar.gz")
        hashes.append(packed.sha256)
    assert hashes[0] == hashes[1]
    with tarfile.open(fileobj=io.BytesIO((tmp_path / "after.tar.gz").read_bytes())) as tar:
        content = {one.name: (tar.extractfile(one) or io.BytesIO()).read() for one in tar}
        assert {one.name for one in tar if one.mode & 0o111} == {"a.ipynb"}
    assert content["a.ipynb"] == content["sub/b.ipynb"] == staged_form(raw(BOOK))
    assert content["data.json"] == raw(BOOK)
