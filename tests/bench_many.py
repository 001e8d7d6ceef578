"""Many trivial notebooks, two at a time, against pytest running them where it stands."""

from __future__ import annotations

import os
import sys
from subprocess import run

from tests.bench import seconds, tell
from tests.e2e.builder_process import Builder, Repo, notebook

COUNT = int(os.environ.get("NB_BENCH_NOTEBOOKS", "24"))


def many(builder: Builder, repo: Repo) -> None:
    """A VM of its own for each notebook is what the difference buys."""
    names = [f"many/n{number:02}.ipynb" for number in range(COUNT)]
    repo.write(dict.fromkeys(names, notebook("x = 1", "print(x)")))
    theirs = seconds(lambda: _by_nbmake(repo))
    ours = seconds(lambda: _by_builder(builder))
    tell(
        f"{COUNT} trivial notebooks, two at a time",
        ours,
        "s",
        compared_with="pytest --nbmake -n 2",
        baseline=round(theirs, 3),
        ratio=round(ours / theirs, 3),
        goal=3.0,
    )


def _by_nbmake(repo: Repo) -> None:
    command = [sys.executable, "-m", "pytest", "--quiet", "--nbmake", "-n", "2", "-p", "no:cacheprovider"]
    done = run(
        [*command, "--rootdir", ".", "many"], cwd=repo.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert f"{COUNT} passed" in done.stdout, done.stdout


def _by_builder(builder: Builder) -> None:
    process, environment = builder.start(NB_NOTEBOOKS="many/*.ipynb", NB_CONCURRENCY="2")
    assert process.stdout is not None
    said = process.stdout.read()
    assert process.wait() == os.EX_OK, said
    assert environment["NB_RUN_ID"] in said
