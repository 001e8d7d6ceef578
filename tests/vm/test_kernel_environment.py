"""What the kernel finds, its child processes find too; and `%run other.ipynb` needs no package of the image."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from builder.vm.runner import kernel_launcher

from .notebook_runs import Book, Ran, run_once
from .vm_fixture import VmFixture, notebook

# Notebooks that a notebook runs: in a folder, one within another, with magics, of format 3, and with an error.
OTHERS = {
    "other.ipynb": notebook("rides = 7"),
    "sub/deep.ipynb": notebook("#md # Deep", "deep = rides + 1"),
    "nested.ipynb": notebook("%run other.ipynb", "nested = rides + 2"),
    "magics.ipynb": notebook("%%bash\necho in bash", "%%time\nmagics = 10", "!echo in a shell"),
    "old.ipynb": {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {"name": ""},
        "worksheets": [
            {
                "metadata": {},
                "cells": [
                    {"cell_type": "code", "collapsed": False, "input": ["old = 11"], "language": "python", "metadata": {}, "outputs": []}
                ],
            }
        ],
    },
    "fails.ipynb": notebook("before = 12", "raise LookupError('no rides')", "after = 13"),
}  # fmt: skip
CELLS = (
    (
        f"import json, pathlib\nfor name, book in json.loads({json.dumps(OTHERS)!r}).items():\n"
        "    pathlib.Path(name).parent.mkdir(exist_ok=True)\n    pathlib.Path(name).write_text(json.dumps(book))"
    ),
    "%run other.ipynb\nassert rides == 7",
    (
        "import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', 'import IPython, sys; print(sys.path[0] == \"\")'], check=True, "
        "capture_output=True, text=True).stdout)"
    ),
    '!"{sys.executable}" -c "import IPython; print(\'a command finds it\')"',
    (
        "open('worker.py', 'w').write('def work(x):\\n    import IPython\\n    return x + 1\\n')\n"
        "import multiprocessing\nfrom worker import work\n"
        "for way in ('spawn', 'forkserver'):\n    with multiprocessing.get_context(way).Pool(1) as pool:\n        print(way, pool.map(work, [1]))"
    ),
    (
        "from concurrent.futures import ProcessPoolExecutor\n"
        "with ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as pool:\n    print(pool.submit(work, 2).result())"
    ),
    "print(subprocess.run([sys.executable, '-I', '-c', 'import IPython'], capture_output=True).returncode)",
    "%run -i sub/deep.ipynb\nprint(deep)",
    "%run nested.ipynb\nprint(nested)",
    "%run magics.ipynb\nprint(magics)",
    "%run old.ipynb\nprint(old)",
    "#tags raises-exception\n%run fails.ipynb\nprint('not reached')",
    "print('after' in globals())",
    "import nbformat\nprint(len(nbformat.read('magics.ipynb', 4).cells))",
    "%%bash\npython3 -c 'import IPython; print(\"a script finds it\")'",
)


@pytest.fixture
def ran(vm_fixture: VmFixture, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run_once(tmp_path_factory, vm_fixture, "environment", {"it": Book(CELLS)})["it"]


def test_children_find_what_the_kernel_finds(ran: Ran) -> None:
    assert ran.verdict().green, ran.log
    assert ran.text(2) == "True\n\n"
    assert ran.text(3).strip() == "a command finds it"
    assert ran.text(4) == "spawn [2]\nforkserver [2]\n"
    assert ran.text(5) == "3\n"
    assert ran.text(6) == "1\n"  # isolated on purpose: as the image has it
    assert ran.text(14) == "a script finds it\n"


def test_a_notebook_runs_other_notebooks(ran: Ran) -> None:
    assert ran.verdict().green, ran.log
    assert ran.text(7) == "8\n"
    assert ran.text(8) == "9\n"
    assert ran.text(9).endswith("\n10\n")
    assert {"in bash", "in a shell"} <= set(ran.text(9).splitlines())
    assert ran.text(10) == "11\n"
    errors = [output for output in ran.executed.cells[11].outputs if output.output_type == "error"]
    assert {(error.ename, error.evalue) for error in errors} == {("LookupError", "no rides")}
    assert (ran.text(11), ran.text(12), ran.text(13)) == ("", "False\n", "3\n")


def test_another_python_is_left_as_it_is(tmp_path: Path) -> None:
    children = Path(kernel_launcher.__file__).with_name("children")
    (tmp_path / "sitecustomize.py").write_text("import builtins\nbuiltins.next_one = 'ran'\n")
    environment = {
        **os.environ,
        "PYTHONPATH": f"{children}{os.pathsep}{tmp_path}",
        "NB_KERNEL_PYTHON": "3.11:/of/another/python",
    }
    program = "import sys; print(next_one, [entry for entry in sys.path if 'kernel' in entry or 'children' in entry])"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "ran []\n"
