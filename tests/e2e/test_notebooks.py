"""The right verdict, exit code and objects for real notebooks, run by real kernels on booted local VMs."""

from __future__ import annotations

import json

import pytest

from tests.e2e.world import Builder, Repo, notebook

pytestmark = pytest.mark.slow


def test_a_notebook_that_passes_is_green_and_its_results_are_published(builder: Builder, repo: Repo) -> None:
    repo.write({"demo.ipynb": notebook("x = 20 + 1", "print('answer', x * 2)")})
    done = builder.run(NB_NOTEBOOKS="demo.ipynb")
    assert done.code == 0, done.output
    assert done.summary()["verdict"] == "green"
    assert done.job("demo")["reason"] == "green"
    published = done.published("demo")
    assert {"demo.ipynb", "demo.html", "demo-clean.html", "run.log", "result.json"} <= published.keys()
    assert "FAILED" not in published
    assert b"answer 42" in published["run.log"]
    assert "| answer 42" in done.output
    assert done.output.splitlines()[-1] == "left behind: nothing"


def test_a_notebook_that_raises_is_red_and_says_where(builder: Builder, repo: Repo) -> None:
    repo.write({"demo.ipynb": notebook("x = 1", "y = 2\nx / 0\nz = 3", "print('never')")})
    done = builder.run(NB_NOTEBOOKS="demo.ipynb")
    assert done.code == 1, done.output
    assert "cell 2 of 3" in done.output
    assert ">   2 x / 0" in done.output
    assert "ZeroDivisionError: division by zero" in done.output
    published = done.published("demo")
    assert {"FAILED", "demo.ipynb", "result.json"} <= published.keys()
    assert json.loads(published["result.json"])["verdict"] == "red"


def test_two_notebooks_of_one_basename_have_a_folder_each(builder: Builder, repo: Repo) -> None:
    repo.write({"a/nb.ipynb": notebook("print('from a')"), "b/nb.ipynb": notebook("print('from b')")})
    done = builder.run(NB_NOTEBOOKS="*/nb.ipynb")
    assert done.code == 0, done.output
    assert b"from a" in done.published("a-nb")["run.log"]
    assert b"from b" in done.published("b-nb")["run.log"]
