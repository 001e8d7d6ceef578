"""False greens, for real: notebooks that other tools call green, or that try to look it, run from end to end.

docs/false-greens.md lists them; the pure half of the catalogue is in tests/unit/test_verdict.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from localcloud.cloud import Cloud
from tests.e2e.shared_run import PATIENCE, once, run_patiently
from tests.e2e.world import Builder, Cell, Finished, Repo, notebook

pytestmark = pytest.mark.timeout(PATIENCE + 20)


@dataclass(frozen=True)
class Trap:
    """A notebook that must be red: its cells, the reason (or two, where it is a race), words of the message, the rest.

    Without cells it is part of the notebook of another trap, `within`, which is red for this reason too.
    """

    cells: tuple[Cell, ...]
    reason: str
    says: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    within: str = ""


RIDES = {"expect": ["outputs/rides.csv"]}
SHELL = "shell = get_ipython()"

TRAPS = {
    "quits": Trap(("x = 1", "quit()", "assert False"), "kernel_died", "of 3"),
    "exits_hard": Trap(("import os", "os._exit(0)"), "kernel_died", "in cell 2 of 2"),
    "restarts_its_kernel": Trap(
        (SHELL, "shell.kernel.do_shutdown(restart=True)", "assert False"),
        "kernel_died or cell_failed",
        "cell 3 of 3",
    ),
    "prints_errors_its_own_way": Trap(
        (SHELL, "shell.showtraceback = lambda *a, **k: print('all is well')", "1 / 0"),
        "cell_failed",
        "cell 3 of 3 failed: an error without output",
    ),
    "raises_after_an_allowed_error": Trap(
        (), "cell_failed", "cell 3 of 3 failed: RuntimeError", within="forges_the_log"
    ),
    "forges_the_log": Trap(
        (
            ("1 / 0", ["raises-exception"]),
            "print('\\x1b[2J\\x1b]0;title\\x07half\\rverdict: GREEN, 1 of 1 notebooks green (exit code 0)\\n# cell 9/9 ok 0.1 s\\nleft behind: nothing')",
            "raise RuntimeError('no\\rGREEN after 1 s\\nverdict: GREEN\\rleft behind: nothing')",
        ),
        "cell_failed",
        "cell 3 of 3 failed: RuntimeError: ",
    ),
    "has_a_committed_output": Trap((), "output_missing", within="leaves_it_to_a_child"),
    "writes_an_empty_output": Trap(
        ("open('outputs/rides.csv', 'w').close()",), "output_too_small", "0 bytes", RIDES
    ),
    "links_to_an_older_output": Trap(
        ("import os\nos.symlink('../old.csv', 'outputs/rides.csv')",),
        "output_not_uploaded",
        "symbolic link out of outputs/",
        RIDES,
        {"old.csv": "last week's\n" * 99},
    ),
    "leaves_it_to_a_child": Trap(
        (
            "import subprocess",
            "subprocess.Popen('sleep 600; echo late > outputs/rides.csv', shell=True, start_new_session=True)",
        ),
        "output_missing",
        "",
        RIDES,
        {"outputs/rides.csv": "last week's\n" * 99},
    ),
}
RUN = {name: trap for name, trap in TRAPS.items() if trap.cells}


def with_old_results(text: str) -> str:
    """The notebook as committed after a run in which every cell went well."""
    book = json.loads(text)
    for number, cell in enumerate(book["cells"], start=1):
        cell["execution_count"] = number
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["all is well\n"]}]
        cell["metadata"]["papermill"] = {"exception": False, "status": "completed"}
    return json.dumps(book)


@pytest.fixture
def trapped(shared_cloud: Cloud, repo: Repo, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One run with all traps, each notebook in a folder of its own."""

    def make() -> Finished:
        files = {
            "has_old_results/has_old_results.ipynb": with_old_results(
                notebook("import sys\nsys.exit(0)", "x = 1")
            )
        }
        entries: list[dict[str, Any]] = [{"path": path} for path in files]
        for name, trap in RUN.items():
            files[f"{name}/{name}.ipynb"] = notebook(*trap.cells)
            files |= {f"{name}/{path}": text for path, text in trap.files.items()}
            entries.append({"path": f"{name}/{name}.ipynb", **trap.settings})
        config = json.loads(
            json.dumps({"notebooks": entries, "timeout": 200})
        )  # YAML would share equal parts
        repo.write({**files, "notebooks.yaml": yaml.safe_dump(config)})
        done = run_patiently(Builder(shared_cloud, repo.folder), NB_CONCURRENCY="8")
        assert done.code != 2, done.output
        return done

    return once(tmp_path_factory, "traps", make)


@pytest.mark.parametrize("name", TRAPS)
def test_trap(trapped: Finished, name: str) -> None:
    trap = TRAPS[name]
    notebook_name = trap.within or name
    job = next(
        job
        for job in trapped.summary()["jobs"]
        if job["notebook"] == f"{notebook_name}/{notebook_name}.ipynb"
    )
    assert (job["verdict"], job["exit_code"]) == ("red", 1), job
    assert job["reason"] in trap.reason.split(" or "), job
    assert trap.says in job["message"]
    assert job["attempts"] == 1
    assert "FAILED" in trapped.published(job["job"])
    assert "outputs/rides.csv" not in trapped.published(job["job"]) or trap.reason == "output_too_small"


def test_results_that_were_committed_prove_nothing(trapped: Finished) -> None:
    job = next(job for job in trapped.summary()["jobs"] if "has_old_results" in job["notebook"])
    assert (job["verdict"], job["reason"]) == ("red", "stopped_early"), job
    assert b"all is well" not in trapped.published(job["job"])["has_old_results.ipynb"]


def test_a_run_of_traps_is_red(trapped: Finished) -> None:
    assert trapped.code == 1
    assert (
        f"verdict: RED, 0 of {len(RUN) + 1} notebooks green (exit code 1: a notebook failed)"
        in trapped.output
    )


def test_nothing_that_a_notebook_writes_can_be_taken_for_ours(trapped: Finished) -> None:
    lines = trapped.output.split("\n")
    assert not [char for char in trapped.output if ord(char) < 32 and char not in "\n\t"]
    ours = [line for line in lines if line.startswith(("verdict:", "report:", "left behind:"))]
    assert ours == [next(line for line in lines if line.startswith("verdict: RED")), *lines[-3:-1]]
    job = next(job["job"] for job in trapped.summary()["jobs"] if "forges_the_log" in job["notebook"])
    forged = [
        line
        for line in lines
        if line.startswith(f"{job} ") and any(word in line for word in ("verdict", "GREEN", "left behind"))
    ]
    assert len(forged) > 3
    quoting = ("| ", "cell 3/3 failed after ", "RED after ")
    assert not [line for line in forged if not line.removeprefix(job).lstrip().startswith(quoting)]
