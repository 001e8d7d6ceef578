"""The right verdict, exit code and objects for real notebooks, run by real kernels on booted local VMs.

One run has them all, each with its own settings from a `notebooks.yaml`; every test looks at one of its jobs.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcloud.cloud import Cloud
from tests.e2e.builder_process import Builder, Finished, Repo, markdown, notebook
from tests.e2e.shared_run import RUNNER, once

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
CANARY = Path("/tmp/nb-canary-of-the-parameters")
EVIL = (
    f"$(touch {CANARY}) `touch {CANARY}`; touch {CANARY} & 'quotes\" \\ \n second line %s {{x}} ${{IFS}} 😀"
)
TYPES = {
    "whole": 7,
    "real": 1e22,
    "small": 1e-7,
    "flag": True,
    "nothing": None,
    "text": "007",
    "yes": "yes",
    "evil": EVIL,
    "many": [1, 2.5, None, False, "ä😀", [3]],
    "nested": {"a b": {"deep": [1e-7, "x"]}, "1": "one"},
}
FILE = {"order": {"z": 1, "a": 2, "1": [1.0, True, None]}, "large": 1e22, "huge": 10**30, "days": 0}
DEEP = "groesse-mass-taeglich-neu"
TOP = "taeglich-neu-kind-a"

# Repo-relative notebook: its cells (or the file below tests/notebooks), and its settings in notebooks.yaml.
ZOO: dict[str, tuple[str | tuple[Any, ...], dict[str, Any]]] = {
    "raises.ipynb": (
        ("x = 1", "def f(n):\n    return 1 / n", "y = 2\nf(y - 2)\nz = 3", "print('never')"),
        {},
    ),
    "hangs.ipynb": (("print('begun')", "import time\ntime.sleep(10**6)", "print('never')"), {"timeout": 40}),
    "swallows_interrupt.ipynb": ("swallows_interrupt", {"cell_timeout": 3}),
    # papermill acts on the first tagged cell, whatever its type: it reads the declarations here, and writes behind it.
    "Täglich (neu).ipynb": (
        (
            markdown("\n\n".join(f"{name} = 0" for name in ("kind", *FILE, *TYPES)), "parameters"),
            (
                f"given = {TYPES!r}\nfor name, value in given.items():\n"
                "    got = globals()[name]\n    assert got == value and type(got) is type(value), (name, got)"
            ),
            "assert list(order) == ['z', 'a', '1'] and repr(order['1']) == '[1.0, True, None]'",
            "assert (large, type(large), huge) == (1e22, float, 10**30)\nprint('total 2, days', repr(days), 'kind', kind)",
        ),
        {
            "parameters_file": "ci/parameters.json",
            "parameters": {"matrix": {"kind": ["a", "b"]}, "days": 30, **TYPES},
        },
    ),
    "Größe & Maß/Täglich (neu).ipynb": (
        (
            markdown("# left over", "injected-parameters"),
            ("days: int | None = 1  # must be >= 1", ["parameters"]),
            ("{}['no such key']", ["raises-exception"]),
            "import pathlib, os\nfrom helfer import gruss\nprint(gruss('Zürich'))",
            "rows = pathlib.Path('daten/räder.csv').read_text().splitlines()\nassert len(rows) == 3",
            (
                "top = pathlib.Path.cwd().parent\nassert (top / 'shared/lib.py').read_text() == 'x = 1\\n'\n"
                "assert sorted(p.name for p in top.iterdir()) == ['Größe & Maß', 'shared']"
            ),
            (
                "out = pathlib.Path(os.environ['NB_OUTPUT_DIR'])\n(out / 'größe 1.csv').write_text('a')\n"
                "(out / 'plots').mkdir()\nout = pathlib.Path('outputs')"
            ),
            "(out / 'rides.csv').write_text('day,rides\\n' * 50)\n(out / 'plots/days.txt').write_text('*' * 100)",
            (
                "import json\nfrom ipykernel import connect\n"
                "assert json.loads(connect.get_connection_info())['transport'] == 'ipc', 'ports can be taken by others'"
            ),
            "import multiprocessing\nwith multiprocessing.Manager() as manager:\n    assert list(manager.list([1])) == [1]",
        ),
        {
            "expect": [
                "outputs/größe*.csv",
                "outputs/rides.csv>=200B",
                "outputs/plots/*.txt",
                "*-clean.html",
            ],
            "include": ["Größe & Maß/**", "shared/*.py"],
            "parameters": {"days": 2},
        },
    ),
}
OTHER_FILES = {
    "ci/parameters.json": json.dumps(FILE),
    "Größe & Maß/helfer.py": "def gruss(ort):\n    return f'Grüße, {ort}!'\n",
    "Größe & Maß/daten/räder.csv": "tag,fahrten\n1,2\n2,3\n",
    "shared/lib.py": "x = 1\n",
    "shared/notes.txt": "not included\n",
}
JOBS = len(ZOO) + 1  # the matrix makes two of one


def content(source: str | tuple[Any, ...]) -> str:
    """A notebook of the zoo: a file's text, or these cells."""
    return (NOTEBOOKS / f"{source}.ipynb").read_text() if isinstance(source, str) else notebook(*source)


@pytest.fixture
def zoo(shared_cloud: Cloud, repo: Repo, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The run of all of them."""

    def make() -> Finished:
        CANARY.unlink(missing_ok=True)
        config = {
            "notebooks": [{"path": path, **settings} for path, (_, settings) in ZOO.items()],
            "max_attempts": 1,
        }
        files = {path: content(source) for path, (source, _) in ZOO.items()}
        repo.write({**files, **OTHER_FILES, "notebooks.yaml": yaml.safe_dump(config, allow_unicode=True)})
        builder = Builder(shared_cloud, repo.folder)
        done = builder.run(NB_CONCURRENCY="8", **shared_cloud.environment(RUNNER))
        assert [name for name in builder.left() if name.startswith("nb-")] == []
        return done

    return once(tmp_path_factory, "zoo", make)


def test_a_notebook_that_passes_is_green_and_its_results_are_published(zoo: Finished) -> None:
    job = zoo.job(TOP)
    assert (job["verdict"], job["reason"], job["attempts"]) == ("green", "green", 1), zoo.output
    published = zoo.published(TOP)
    files = {f"Täglich (neu){ending}" for ending in (".ipynb", ".html", "-clean.html")}
    assert published.keys() == files | {"run.log", "result.json"}
    assert b"| total 2, days 30 kind a\n" in published["run.log"]
    result = json.loads(published["result.json"])
    assert result["verdict"] == "green"
    assert {item["name"] for item in result["objects"]} == published.keys() - {"result.json"}
    assert all(len(published[item["name"]]) == item["size"] for item in result["objects"])


def test_a_notebook_that_raises_is_red_and_says_where(zoo: Finished) -> None:
    assert zoo.job("raises")["message"] == "cell 3 of 4 failed: ZeroDivisionError: division by zero"
    lines = lines_of(zoo, "raises")
    begun = lines.index("|     1  y = 2")
    assert lines[begun - 1].startswith("RED after ")
    assert lines[begun - 1].endswith(" s: cell 3 of 4 failed: ZeroDivisionError: division by zero")
    assert lines[begun : begun + 3] == ["|     1  y = 2", "| >   2  f(y - 2)", "|     3  z = 3"]
    assert lines[begun + 3] == "Correct the cell. The executed notebook has its whole output."
    assert lines.count("| ----> 2     return 1 / n") == 1
    assert not any("site-packages" in line or "IPython" in line for line in lines)
    published = zoo.published("raises")
    assert {"FAILED", "raises.ipynb", "raises.html", "run.log"} <= published.keys()
    assert json.loads(published["result.json"])["verdict"] == "red"
    assert b"ZeroDivisionError" in published["raises.ipynb"]


def test_a_notebook_that_hangs_ends_at_its_limit_and_is_published_as_far_as_it_got(zoo: Finished) -> None:
    job = zoo.job("hangs")
    assert (job["exit_code"], job["reason"]) == (5, "notebook_timeout")
    assert "limit of 40 s in cell 2 of 3" in job["message"]
    executed = json.loads(zoo.published("hangs")["hangs.ipynb"])
    assert executed["cells"][0]["outputs"][0]["text"] == ["begun\n"]
    assert executed["cells"][2]["execution_count"] is None


def test_a_cell_limit_ends_a_cell_that_swallows_the_interrupt(zoo: Finished) -> None:
    job = zoo.job("swallows_interrupt")
    assert (job["exit_code"], job["reason"]) == (5, "cell_timeout")
    assert "cell 2 of 2 reached its limit of 3 s" in job["message"]
    assert "NB_CELL_TIMEOUT" in "".join(lines_of(zoo, "swallows_interrupt"))


def test_expected_outputs_are_published_and_tagged_errors_allowed(zoo: Finished) -> None:
    assert zoo.job(DEEP)["verdict"] == "green", zoo.output
    published = zoo.published(DEEP)
    assert published["outputs/rides.csv"].startswith(b"day,rides\n")
    assert published["outputs/plots/days.txt"] == b"*" * 100
    assert not re.search("unknown parameter|Unable to parse", published["run.log"].decode())


def test_a_cell_that_papermill_replaces_may_be_markdown(zoo: Finished) -> None:
    assert zoo.job(DEEP)["verdict"] == "green", zoo.output
    assert zoo.job(DEEP)["parameters"] == {"days": 2}
    executed = json.loads(zoo.published(DEEP)["Täglich (neu).ipynb"])
    assert "# left over" not in [cell["source"] for cell in executed["cells"]]


@pytest.mark.parametrize("kind", ["a", "b"])
def test_parameters_arrive_with_their_types_and_shell_syntax_is_text(zoo: Finished, kind: str) -> None:
    """From a file, a matrix and a mapping, to the variables of the notebook and to its pages."""
    job = zoo.job(f"taeglich-neu-kind-{kind}")
    assert job["verdict"] == "green", zoo.output
    assert job["parameters"] == {**FILE, "days": 30, **TYPES, "kind": kind}
    assert not CANARY.exists()
    published = zoo.published(f"taeglich-neu-kind-{kind}")
    assert f"total 2, days 30 kind {kind}" in published["run.log"].decode()
    for page in ("Täglich (neu).html", "Täglich (neu)-clean.html"):
        assert f"<dt>kind</dt><dd>&quot;{kind}&quot;</dd>" in published[page].decode()
    assert "parameters of this run" in published["Täglich (neu).html"].decode()


def test_a_matrix_makes_a_job_of_each_value_and_no_other(zoo: Finished) -> None:
    jobs = [job["job"] for job in zoo.summary()["jobs"] if job["notebook"] == "Täglich (neu).ipynb"]
    assert sorted(jobs) == [TOP, "taeglich-neu-kind-b"]


def test_a_run_needs_no_look_at_the_bucket_itself(zoo: Finished) -> None:
    """The account of this run lacks `roles/storage.bucketViewer`, which is for `check`."""
    green = {job["job"] for job in zoo.summary()["jobs"] if job["verdict"] == "green"}
    assert green == {DEEP, TOP, "taeglich-neu-kind-b"}, zoo.output
    assert "storage.buckets.get" not in zoo.output


def test_two_notebooks_of_one_basename_have_a_folder_each(zoo: Finished) -> None:
    top, deep = zoo.published(TOP), zoo.published(DEEP)
    assert b"total 2" in top["Täglich (neu).ipynb"]
    assert b"total 2" not in deep["Täglich (neu).ipynb"]


def test_spaces_umlauts_modules_data_and_included_files(zoo: Finished) -> None:
    assert zoo.job(DEEP)["verdict"] == "green", zoo.output
    published = zoo.published(DEEP)
    assert {"Täglich (neu).ipynb", "Täglich (neu)-clean.html", "outputs/größe 1.csv"} <= published.keys()
    assert "| Grüße, Zürich!\n" in published["run.log"].decode()


def test_the_gravest_verdict_is_the_runs_exit_code(zoo: Finished) -> None:
    assert zoo.code == 5
    summary = zoo.summary()
    assert (summary["verdict"], summary["exit_code"]) == ("red", 5)
    assert len(summary["jobs"]) == JOBS
    assert zoo.output.splitlines()[-1] == "left behind: nothing"
    assert f"verdict: RED, 3 of {JOBS} jobs green (exit code 5: a time limit was reached)" in zoo.output


def lines_of(done: Finished, job: str) -> list[str]:
    """A job's own lines of the log, without its name."""
    return [line[len(job) :].strip() for line in done.output.splitlines() if line.startswith(f"{job} ")]
