"""Mistakes in parameters end the plan; tests/e2e/test_notebooks.py has what arrives in notebooks."""

from __future__ import annotations

from tests.e2e.builder_process import Builder, Repo, notebook


def test_mistakes_end_the_plan(builder: Builder, repo: Repo) -> None:
    repo.write(
        {
            "demo.ipynb": notebook(("days = 1", ["parameters"]), "1"),
            "p.yaml": "api_key: abcdef\nmatrix: {days: []}",
        }
    )
    done = builder.run(
        "plan", NB_NOTEBOOKS="demo.ipynb", NB_PARAMETERS_FILE="p.yaml", NB_PARAMETERS='{"dayz": 1}'
    )
    assert done.code == 2
    assert "p.yaml is 'days': expected at least one value" in done.output
    assert "did you mean days" in done.output
    repo.write({"p.yaml": "api_key: abcdef\nmatrix: {days: [1, 2]}"})
    done = builder.run("plan", NB_NOTEBOOKS="demo.ipynb", NB_PARAMETERS_FILE="p.yaml")
    assert done.code == 2
    assert "'api_key': looks like a secret" in done.output
    assert "abcdef" not in done.output
