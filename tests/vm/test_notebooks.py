"""Notebooks that pass, fail, hang or print too much, on booted bare machines: the evidence says what happened."""

from __future__ import annotations

import time

import pytest
from google.api_core.exceptions import NotFound

from tests.patience import PATIENCE

from .vm_fixture import Outcome, VmFixture, notebook, processes_below, sha


def test_passes_with_typed_parameters_a_module_beside_it_and_outputs(vm_fixture: VmFixture) -> None:
    evil = "$(touch /tmp/nb-canary) `id` ${IFS}; 'quotes\" \n second line %s {x}"
    outcome = vm_fixture.run(
        "#tags parameters\nwhen = None\nrate = 0.0\nmany = []\nnested = {}",
        "import helper, os, pathlib\nprint(helper.greet('Grüße'))",
        "assert rate == 1e22 and type(rate) is float and many == [1, 2.5, None, True, 'ä😀'], (rate, many)\n"
        "assert nested == {'a b': {'deep': [1e-7]}}\nprint(repr(when))",
        "out = pathlib.Path(os.environ['NB_OUTPUT_DIR'])\nassert out == pathlib.Path.cwd() / 'outputs' and not any(out.iterdir())\n"
        "(out / 'sub').mkdir()\n(out / 'sub' / 'größe #1?.csv').write_text('a,b')\n(out / 'data.json').write_text('{}')\n"
        "(out / 'inside').symlink_to('data.json')\n(out / 'leak').symlink_to('/etc/passwd')\n(out / 'loop').symlink_to('.')\n"
        "(out / 'bad\\nname').write_text('x')\nos.mkfifo(out / 'pipe')\npathlib.Path('beside.csv').write_text('lost')",
        path="a dir/Größe und Maß.ipynb",
        files={"a dir/helper.py": b"def greet(x):\n    return x + '!'", "a dir/outputs/stale.csv": b"old"},
        parameters={
            "when": evil,
            "rate": 1e22,
            "many": [1, 2.5, None, True, "ä😀"],
            "nested": {"a b": {"deep": [1e-7]}},
        },
        job={"heartbeat_seconds": 0.1},
    )
    evidence = outcome.evidence
    assert evidence["fault"] is None
    assert evidence["papermill"]["exit_code"] == 0, outcome.log
    assert evidence["executed_notebook"] == "Größe und Maß.ipynb"
    assert "| Grüße!" in outcome.log
    assert "# cell 4/4 ok" in outcome.log
    assert outcome.log.count("# written outside outputs/, and not kept: a dir/beside.csv\n") == 1
    assert repr(evil) in outcome.text(3)
    names = {stored["name"] for stored in evidence["objects"]}
    assert names == {
        "Größe und Maß.ipynb",
        "Größe und Maß.html",
        "Größe und Maß-clean.html",
        "outputs/sub/größe #1?.csv",
        "outputs/data.json",
        "outputs/inside",
    }
    assert names | {"heartbeat.json", "evidence.json"} == {
        n for n in outcome.objects if not n.startswith("log/")
    }
    assert {skipped["path"] for skipped in evidence["skipped"]} == {
        "outputs/leak",
        "outputs/loop",
        "outputs/bad\\x0aname",
        "outputs/pipe",
    }
    sizes = {stored["name"]: stored["size"] for stored in evidence["objects"]}
    assert all(len(outcome.objects[name]) == size for name, size in sizes.items())
    assert "notebook-builder: done" in outcome.serial
    assert list((outcome.folder / "tmp").iterdir()) != []
    assert set(outcome.folder.iterdir()) == {outcome.folder / name for name in ("tmp", "bin", "startup")}


@pytest.mark.exhaustive  # tests/e2e/test_notebooks.py has the same notebook in its one run
def test_raises(vm_fixture: VmFixture) -> None:
    outcome = vm_fixture.run("1 + 1", "def f():\n    return 1 / 0\nf()", "print('never')")
    assert outcome.evidence["papermill"]["exit_code"] == 1
    assert outcome.evidence["fault"] is None
    assert "# cell 1/3 ok" in outcome.log
    assert "# cell 2/3 failed after" in outcome.log
    assert "ZeroDivisionError: division by zero" in outcome.log
    assert "\n| ----> 2     return 1 / 0\n" in outcome.log
    assert "papermill/execute.py" not in outcome.log
    assert "\n| never" not in outcome.log


@pytest.mark.exhaustive  # tests/unit/test_real_papermill.py judges the same notebook
def test_leaves_early(vm_fixture: VmFixture) -> None:
    outcome = vm_fixture.run("import sys\nsys.exit(0)", "assert False")
    assert outcome.evidence["papermill"]["exit_code"] == 0
    assert outcome.evidence["fault"] is None
    assert outcome.executed.cells[1].execution_count is None


def test_kernel_dies(vm_fixture: VmFixture) -> None:
    outcome = vm_fixture.run(
        "x = bytearray(90_000_000)", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "1"
    )
    assert outcome.evidence["papermill"]["exit_code"] == 138
    assert outcome.evidence["fault"]["reason"] == "kernel_died"
    assert outcome.evidence["fault"]["cell"] == 2
    assert "Traceback" not in outcome.log
    assert "in cell 2 of 3" in outcome.evidence["fault"]["message"]
    assert outcome.evidence["peak_memory_bytes"] > 100_000_000
    assert "demo.ipynb" in outcome.objects


@pytest.mark.exhaustive  # tests/e2e/test_notebooks.py has such a notebook in its one run
def test_the_notebook_limit_keeps_the_finished_cells(vm_fixture: VmFixture) -> None:
    outcome = vm_fixture.run(
        "print('first')",
        "import time\nprint('second', flush=True)\nwhile True:\n    try:\n        time.sleep(60)\n    except BaseException:\n        pass",
        job={"timeout": 20},
    )
    assert outcome.reason == "notebook_timeout"
    assert outcome.evidence["fault"]["cell"] == 2
    assert outcome.text(0) == "first\n"
    assert outcome.text(1) == "second\n"
    assert outcome.evidence["papermill"]["seconds"] < 20 + 100
    assert processes_below(outcome.folder) == []


@pytest.mark.exhaustive  # tests/e2e/test_notebooks.py has the same notebook in its one run
def test_cell_limit_with_a_cell_that_swallows_the_interrupt(vm_fixture: VmFixture) -> None:
    outcome = vm_fixture.run(
        "import time\nwhile True:\n    try:\n        time.sleep(60)\n    except BaseException:\n        pass",
        "print('never')",
        job={"cell_timeout": 2},
    )
    assert outcome.reason == "cell_timeout"
    assert outcome.evidence["fault"]["cell"] == 1
    assert outcome.evidence["papermill"]["exit_code"] == 1
    assert "# cell 1/2 failed after 2." in outcome.log
    assert "| A cell timed out while it was being executed, after 2 seconds." in outcome.log
    assert "Traceback" not in outcome.log
    assert processes_below(outcome.folder) == []


@pytest.mark.exhaustive  # test_parts.py shows the log's limit with less
def test_flood_is_bounded_and_quick(vm_fixture: VmFixture) -> None:
    outcome = vm_fixture.run(
        "import sys\nfor i in range(25_000):\n    print('line', i, 'x' * 1000)",
        "sys.stdout.write('x' * 10_000_000)\nNone",
    )
    evidence = outcome.evidence
    assert evidence["papermill"]["exit_code"] == 0
    assert evidence["fault"] is None
    assert evidence["papermill"]["seconds"] < 300
    assert evidence["log"]["dropped_bytes"] > 5_000_000
    assert len(outcome.log) < 21 * 1024 * 1024
    assert "are not shown here" in outcome.log
    assert all(len(line) <= 2002 for line in outcome.log.split("\n"))
    assert len(outcome.text(1)) == 10_000_000


CELLS = {
    "raises, as its tag allows": "#tags raises-exception\n1 / 0",
    "finds nothing of the runner": "#tags raises-exception\nimport papermill",
    "is skipped": "#tags skip-execution\nassert False",
    "asks for input": "#tags raises-exception\nname = input('who?')",
    "draws a progress bar": "for i in range(101):\n    print(f'\\r{i} %', end='')\nprint()",
    "prints escapes": "print('\\x1b[31mred\\x1b[0m \\x1b]0;title\\x07\\x9b2J\\x08\\x00bell\\x07 \\u202eevil\\u2028more')",
    "forges our lines": "print('# cell 99/99 ok')\nprint('notebook-builder: done')\nprint('GREEN')\nprint('a' * 5000)",
    "writes past Python": "import sys, os\nos.write(1, b'\\xff\\xfe raw\\n')\nprint('no newline at the end', end='')",
    "leaves processes": (
        "import subprocess\nsubprocess.Popen(['sleep', '300'], start_new_session=True)\n"
        "subprocess.Popen(['sh', '-c', 'trap \"\" TERM; (setsid sleep 301 &) ; sleep 302'])\nprint('left')"
    ),
}


@pytest.fixture(scope="module")
def green(vm_fixture: VmFixture) -> Outcome:
    """One notebook with all of CELLS, whose kernel the image does not have under that name."""
    spec = "conda-env-work-py"
    kernelspec = {"kernelspec": {"name": spec, "display_name": spec, "language": "python"}}
    book = notebook(*CELLS.values(), "#md text", metadata=kernelspec)
    outcome = vm_fixture.run(book=book, job={"kernel": spec})
    assert outcome.evidence["papermill"]["exit_code"] == 0, outcome.log
    assert outcome.evidence["fault"] is None
    return outcome


def cell(what: str) -> tuple[int, str]:
    """The index of a cell in the notebook, and its name in the log."""
    index = [*CELLS].index(what)
    return index, f"# cell {index + 1}/{len(CELLS)}"


def test_tagged_cells_may_raise_or_be_skipped(green: Outcome) -> None:
    index, _ = cell("raises, as its tag allows")
    assert green.executed.cells[index].outputs[0].ename == "ZeroDivisionError"
    assert f"{cell('is skipped')[1]} skipped" in green.log
    assert f"{cell('leaves processes')[1]} ok" in green.log


def test_a_bare_image_has_nothing_of_the_runner_in_its_kernel(green: Outcome) -> None:
    index, _ = cell("finds nothing of the runner")
    output = green.executed.cells[index].outputs[0]
    assert (output.ename, output.evalue) == ("ModuleNotFoundError", "No module named 'papermill'")


def test_asks_for_input(green: Outcome) -> None:
    index, _ = cell("asks for input")
    assert green.executed.cells[index].outputs[0].ename == "StdinNotImplementedError"


def test_progress_bars_escapes_and_false_verdicts(green: Outcome) -> None:
    log = green.log
    assert "| 100 %\n" in log
    assert "99 %" not in log
    assert "| red bell evilmore\n" in log
    assert "\n| # cell 99/99 ok\n" in log
    assert "\n# cell 99/99" not in log
    # What was written straight to the descriptor may arrive before or behind what was printed.
    before, after = (f"\n{cell(what)[1]} ok" for what in ("forges our lines", "writes past Python"))
    assert "no newline at the end" in log.split(before)[1].split(after)[0]
    assert all(line[:2] in {"# ", "| "} for line in log.rstrip("\n").split("\n"))
    assert not any(ord(c) < 32 and c != "\n" for c in log)
    assert "GREEN" not in green.serial


def test_children_left_running_are_ended(green: Outcome) -> None:
    assert "processes that the notebook left running: " in green.log
    assert "sleep" in green.log
    assert processes_below(green.folder) == []


def test_an_unknown_kernel_of_python_is_the_images_own(green: Outcome) -> None:
    assert "# kernel 'conda-env-work-py' is not on this image" in green.log
    assert green.evidence["kernel"] == {"requested": "conda-env-work-py", "used": "python3"}


def test_without_requirements_nothing_is_installed(green: Outcome) -> None:
    assert green.evidence["packages"]["overlay"] == []


@pytest.mark.exhaustive
def test_an_unknown_kernel_of_another_language_is_a_fault(vm_fixture: VmFixture) -> None:
    ir = {"kernelspec": {"name": "ir", "display_name": "ir", "language": "R"}}
    outcome = vm_fixture.run(book=notebook("1 + 1", metadata=ir), job={"kernel": "ir"})
    assert outcome.reason == "kernel_not_found"
    assert outcome.evidence["papermill"] is None
    assert "python3" in outcome.evidence["fault"]["message"]


def test_unreadable_notebook(vm_fixture: VmFixture) -> None:
    outcome = vm_fixture.run(book={"not": "a notebook"})
    assert outcome.reason == "notebook_unreadable"
    assert outcome.evidence["papermill"] is None


def test_heartbeats_and_log_arrive_while_the_notebook_runs(vm_fixture: VmFixture) -> None:
    import json
    import threading

    from .vm_fixture import Task

    task = Task(cells=("print('early', flush=True)", "import time\ntime.sleep(3)"))
    settings = vm_fixture.stage(task)
    seen: list[dict[str, object]] = []
    chunks: list[str] = []

    def look() -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                objects = vm_fixture.objects(settings)
            except NotFound:  # overwritten between the listing and the reading
                continue
            if "heartbeat.json" in objects:
                beat = json.loads(objects["heartbeat.json"])
                if not seen or seen[-1]["counter"] != beat["counter"]:
                    seen.append(beat)
            chunks.extend(n for n in objects if n.startswith("log/") and "evidence.json" not in objects)
            if "evidence.json" in objects:
                return
            time.sleep(0.3)

    watcher = threading.Thread(target=look)
    watcher.start()
    vm_fixture.boot(settings, task)
    watcher.join()
    assert {"boot", "notebook"} <= {beat["phase"] for beat in seen}
    assert seen[-1]["phase"] == "done"
    assert any(beat["cell"] == 2 and beat["cells"] == 2 for beat in seen)
    assert {beat["nonce_sha256"] for beat in seen} == {sha(b"n0nce")}
    assert not any("n0nce" in json.dumps(beat) for beat in seen)
    assert chunks


def test_more_outputs_than_can_be_listed_are_the_notebooks_fault(vm_fixture: VmFixture) -> None:
    """The builder reads evidence up to a limit, and would run the notebook again if it were longer."""
    outcome = vm_fixture.run(
        "import pathlib\nfolder = pathlib.Path('outputs', *('x' * 200 for _ in range(4)))\nfolder.mkdir(parents=True)\n"
        "for number in range(14_000):\n    (folder / f'{number:05}').touch()"
    )
    assert outcome.reason == "too_many_outputs"
    assert outcome.evidence["fault"]["message"] == "outputs/ has 14000 files, more than can be listed"
    assert not any(name.startswith("outputs/") for name in outcome.objects)
