"""Notebooks in the shapes that tools write run, and the executed notebooks are valid."""

from __future__ import annotations

import nbformat
import pytest

from tests.unit.test_notebook_shapes import SHAPES

from .notebook_runs import Book, run_once
from .vm_fixture import VmFixture

ALWAYS = {"Colab, ids in the cells", "Databricks", "nbdime's result"}


@pytest.mark.always(1)
@pytest.mark.parametrize(
    "name",
    [name if name in ALWAYS else pytest.param(name, marks=pytest.mark.exhaustive) for name in SHAPES],
)
def test_it_runs(vm_fixture: VmFixture, tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    chosen = [key for key in SHAPES if (key in ALWAYS) == (name in ALWAYS)]
    books = {str(number): Book((), raw=SHAPES[key]) for number, key in enumerate(chosen)}
    ran = run_once(tmp_path_factory, vm_fixture, f"shapes-{name in ALWAYS}", books)[str(chosen.index(name))]
    assert ran.verdict().green, (ran.verdict(), ran.log)
    nbformat.validate(ran.executed)
    assert "old" not in ran.text(0)
