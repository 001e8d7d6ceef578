"""Parameters on the whole way: from file, matrix and environment to the variables of notebooks on real VMs, and their pages."""

from __future__ import annotations

import json

import pytest

from tests.e2e.world import Builder, Cell, Repo, notebook

pytestmark = [pytest.mark.slow]

FILE = {
    "order": {"z": 1, "a": 2, "1": [1.0, True, None]},
    "large": 1e22,
    "huge": 10**30,
    "text": "007",
    "days": 0,
}


def with_markdown(source: str, tag: str, *cells: Cell) -> str:
    """A notebook that begins with a tagged Markdown cell."""
    book = json.loads(notebook((source, [tag]), *cells))
    first = book["cells"][0]
    first["cell_type"] = "markdown"
    del first["outputs"], first["execution_count"]
    return json.dumps(book)


@pytest.mark.timeout(240)
def test_a_matrix_over_a_file(builder: Builder, repo: Repo) -> None:
    declared = "\n\n".join(f"{name} = 0" for name in ("kind", *FILE))
    checks = (
        "assert list(order) == ['z', 'a', '1'] and repr(order['1']) == '[1.0, True, None]'\n"
        "assert (large, type(large), huge, text) == (1e22, float, 10**30, '007')\nprint('days', repr(days), 'kind', kind)"
    )
    # papermill acts on the first tagged cell, whatever its type: it reads the declarations here, and writes behind it.
    book = with_markdown(declared, "parameters", checks)
    repo.write({"rides.ipynb": book, "ci/parameters.json": json.dumps(FILE)})
    done = builder.run(
        NB_NOTEBOOKS="rides.ipynb",
        NB_PARAMETERS_FILE="ci/parameters.json",
        NB_PARAMETERS="matrix: {kind: [a, b]}\ndays: 30",
    )
    assert done.code == 0, done.output
    jobs = {job["job"]: job["parameters"] for job in done.summary()["jobs"]}
    assert jobs == {f"rides-kind-{kind}": {**FILE, "days": 30, "kind": kind} for kind in "ab"}
    for kind in "ab":
        published = done.published(f"rides-kind-{kind}")
        assert f"days 30 kind {kind}" in published["run.log"].decode()
        for page in ("rides.html", "rides-clean.html"):
            assert f"<dt>kind</dt><dd>&quot;{kind}&quot;</dd>" in published[page].decode()
        assert "parameters of this run" in published["rides.html"].decode()


def test_a_cell_that_papermill_replaces_may_be_markdown(builder: Builder, repo: Repo) -> None:
    book = with_markdown("# left over", "injected-parameters", ("days = 1", ["parameters"]), "print('here')")
    repo.write({"demo.ipynb": book})
    done = builder.run(NB_NOTEBOOKS="demo.ipynb", NB_PARAMETERS='{"days": 2}')
    assert done.code == 0, done.output


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
