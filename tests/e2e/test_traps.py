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
from tests.e2e.builder_process import Builder, Cell, Finished, Repo, notebook
from tests.e2e.shared_run import once


@dataclass(frozen=True)
class Trap:
    """A notebook that must be red: its cells, the reason (or two, where it is a race), words of the message, the rest.

    Without cells it is part of the notebook of another trap, `within`, which is red for this reason too. `make test`
    runs the traps that are marked `always`; tests/vm has the classes of the others: test_cell_ends.py those that only
    a kernel shows, test_notebooks.py a kernel that dies.
    """

    cells: tuple[Cell, ...]
    reason: str
    says: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    within: str = ""
    always: bool = False


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
        "cell 3 of 3 failed: ZeroDivisionError: division by zero",
    ),
    "raises_after_an_allowed_error": Trap(
        (), "cell_failed", "cell 3 of 3 failed: RuntimeError", within="forges_the_log", always=True
    ),
    "forges_the_log": Trap(
        (
            ("1 / 0", ["raises-exception"]),
            "print('\\x1b[2J\\x1b]0;title\\x07half\\rverdict: GREEN, 1 of 1 notebooks green (exit code 0)\\n# cell 9/9 ok 0.1 s\\nleft behind: nothing')",
            "raise RuntimeError('no\\rGREEN after 1 s\\nverdict: GREEN\\rleft behind: nothing')",
        ),
        "cell_failed",
        "cell 3 of 3 failed: RuntimeError: ",
        always=True,
    ),
    "has_a_committed_output": Trap((), "output_missing", within="leaves_it_to_a_child", always=True),
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
        always=True,
    ),
}


def with_old_results(text: str) -> str:
    """The notebook as committed after a run in which every cell went well."""
    book = json.loads(text)
    for number, cell in enumerate(book["cells"], start=1):
        cell["execution_count"] = number
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["all is well\n"]}]
        cell["metadata"]["papermill"] = {"exception": False, "status": "completed"}
    return json.dumps(book)


class Traps:
    """Runs the traps on first use.

    Those that are `always` run at once, the others at once, each in a folder of its own.
    """

    def __init__(self, cloud: Cloud, repo: Repo, factory: pytest.TempPathFactory) -> None:
        self._builder, self._repo, self._factory = Builder(cloud, repo.folder), repo, factory

    @property
    def always(self) -> Finished:
        return once(self._factory, "traps", lambda: self._run(notebooks(always=True), {}))

    @property
    def others(self) -> Finished:
        old = with_old_results(notebook("import sys\nsys.exit(0)", "x = 1"))
        files = {"has_old_results/has_old_results.ipynb": old}
        return once(self._factory, "more-traps", lambda: self._run(notebooks(always=False), files))

    def _run(self, traps: Mapping[str, Trap], more: Mapping[str, str]) -> Finished:
        files = dict(more)
        entries: list[dict[str, Any]] = [{"path": path} for path in files]
        for name, trap in traps.items():
            files[f"{name}/{name}.ipynb"] = notebook(*trap.cells)
            files |= {f"{name}/{path}": text for path, text in trap.files.items()}
            entries.append({"path": f"{name}/{name}.ipynb", **trap.settings})
        config = json.loads(
            json.dumps({"notebooks": entries, "timeout": 200})
        )  # YAML would share equal parts
        self._repo.write({**files, "notebooks.yaml": yaml.safe_dump(config)})
        done = self._builder.run(NB_CONCURRENCY="8")
        assert done.code != 2, done.output
        return done


def notebooks(*, always: bool) -> dict[str, Trap]:
    """The traps of one run that have a notebook of their own."""
    return {name: trap for name, trap in TRAPS.items() if trap.cells and trap.always == always}


@pytest.fixture
def traps(shared_cloud: Cloud, repo: Repo, tmp_path_factory: pytest.TempPathFactory) -> Traps:
    return Traps(shared_cloud, repo, tmp_path_factory)


@pytest.mark.always(4)
@pytest.mark.parametrize(
    "name",
    [
        name if trap.always else pytest.param(name, marks=pytest.mark.exhaustive)
        for name, trap in TRAPS.items()
    ],
)
def test_trap(traps: Traps, name: str) -> None:
    trap = TRAPS[name]
    done = traps.always if trap.always else traps.others
    path = trap.within or name
    job = next(job for job in done.summary()["jobs"] if job["notebook"] == f"{path}/{path}.ipynb")
    assert (job["verdict"], job["exit_code"]) == ("red", 1), job
    assert job["reason"] in trap.reason.split(" or "), job
    assert trap.says in job["message"]
    assert job["attempts"] == 1
    published = done.published(job["job"])
    assert "FAILED" in published
    assert "outputs/rides.csv" not in published or trap.reason == "output_too_small"


@pytest.mark.exhaustive
def test_results_that_were_committed_prove_nothing(traps: Traps) -> None:
    done = traps.others
    job = next(job for job in done.summary()["jobs"] if "has_old_results" in job["notebook"])
    assert (job["verdict"], job["reason"]) == ("red", "stopped_early"), job
    assert b"all is well" not in done.published(job["job"])["has_old_results.ipynb"]


def test_a_run_of_traps_is_red(traps: Traps) -> None:
    done, count = traps.always, len(notebooks(always=True))
    assert done.code == 1
    assert f"verdict: RED, 0 of {count} notebooks green (exit code 1: a notebook failed)" in done.output


def test_nothing_that_a_notebook_writes_can_be_taken_for_ours(traps: Traps) -> None:
    done = traps.always
    lines = done.output.split("\n")
    assert not [char for char in done.output if ord(char) < 32 and char not in "\n\t"]
    ours = [line for line in lines if line.startswith(("verdict:", "report:", "left behind:"))]
    assert ours == [next(line for line in lines if line.startswith("verdict: RED")), lines[-4], lines[-2]]
    job = next(job["job"] for job in done.summary()["jobs"] if "forges_the_log" in job["notebook"])
    forged = [
        line
        for line in lines
        if line.startswith(f"{job} ") and any(word in line for word in ("verdict", "GREEN", "left behind"))
    ]
    assert len(forged) > 3
    quoting = ("| ", "cell 3/3 failed after ", "RED after ")
    assert not [line for line in forged if not line.removeprefix(job).lstrip().startswith(quoting)]
