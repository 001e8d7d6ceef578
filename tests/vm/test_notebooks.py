"""Notebooks of every temper, each on a booted bare machine: the evidence tells what happened."""

from __future__ import annotations

import time

import pytest
from google.api_core.exceptions import NotFound

from .world import World, notebook, processes_below


def test_passes_with_typed_parameters_a_module_beside_it_and_outputs(world: World) -> None:
    evil = "$(touch /tmp/nb-canary) `id` ${IFS}; 'quotes\" \n second line %s {x}"
    outcome = world.run(
        "#tags parameters\nwhen = None\nrate = 0.0\nmany = []\nnested = {}",
        "import helper, os, pathlib\nprint(helper.greet('Grüße'))",
        "assert rate == 1e22 and type(rate) is float and many == [1, 2.5, None, True, 'ä😀'], (rate, many)\n"
        "assert nested == {'a b': {'deep': [1e-7]}}\nprint(repr(when))",
        "out = pathlib.Path(os.environ['NB_OUTPUT_DIR'])\nassert out == pathlib.Path.cwd() / 'outputs' and not any(out.iterdir())\n"
        "(out / 'sub').mkdir()\n(out / 'sub' / 'größe #1?.csv').write_text('a,b')\n(out / 'data.json').write_text('{}')\n"
        "(out / 'inside').symlink_to('data.json')\n(out / 'leak').symlink_to('/etc/passwd')\n(out / 'loop').symlink_to('.')\n"
        "(out / 'bad\\nname').write_text('x')\nos.mkfifo(out / 'pipe')",
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


def test_raises(world: World) -> None:
    outcome = world.run("1 + 1", "def f():\n    return 1 / 0\nf()", "print('never')")
    assert outcome.evidence["papermill"]["exit_code"] == 1
    assert outcome.evidence["fault"] is None
    assert "# cell 1/3 ok" in outcome.log
    assert "# cell 2/3 failed after" in outcome.log
    assert "ZeroDivisionError: division by zero" in outcome.log
    assert "\n| ----> 2     return 1 / 0\n" in outcome.log
    assert "papermill/execute.py" not in outcome.log
    assert "\n| never" not in outcome.log


def test_tagged_cells_may_raise_or_be_skipped(world: World) -> None:
    outcome = world.run(
        "#tags raises-exception\n1 / 0", "#tags skip-execution\nassert False", "#md text", "print('on')"
    )
    assert outcome.evidence["papermill"]["exit_code"] == 0, outcome.log
    assert outcome.evidence["fault"] is None
    assert outcome.executed.cells[0].outputs[0].ename == "ZeroDivisionError"
    assert "# cell 2/3 skipped" in outcome.log
    assert "# cell 3/3 ok" in outcome.log


def test_leaves_early(world: World) -> None:
    outcome = world.run("import sys\nsys.exit(0)", "assert False")
    assert outcome.evidence["papermill"]["exit_code"] == 0
    assert outcome.evidence["fault"] is None
    assert outcome.executed.cells[1].execution_count is None


def test_kernel_dies(world: World) -> None:
    outcome = world.run(
        "x = bytearray(90_000_000)", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "1"
    )
    assert outcome.evidence["papermill"]["exit_code"] == 138
    assert outcome.evidence["fault"]["reason"] == "kernel_died"
    assert outcome.evidence["fault"]["cell"] == 2
    assert "Traceback" not in outcome.log
    assert "in cell 2 of 3" in outcome.evidence["fault"]["message"]
    assert outcome.evidence["peak_memory_bytes"] > 100_000_000
    assert "demo.ipynb" in outcome.objects


def test_notebook_limit_keeps_what_was_done(world: World) -> None:
    outcome = world.run(
        "print('first')",
        "import time\nprint('second', flush=True)\nwhile True:\n    try:\n        time.sleep(60)\n    except BaseException:\n        pass",
        job={"timeout": 4},
    )
    assert outcome.reason == "notebook_timeout"
    assert outcome.evidence["fault"]["cell"] == 2
    assert outcome.text(0) == "first\n"
    assert outcome.text(1) == "second\n"
    assert outcome.evidence["papermill"]["seconds"] < 4 + 5
    assert processes_below(outcome.folder) == []


def test_cell_limit_with_a_cell_that_swallows_the_interrupt(world: World) -> None:
    outcome = world.run(
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


def test_flood_is_bounded_and_quick(world: World) -> None:
    outcome = world.run(
        "import sys\nfor i in range(250_000):\n    print('line', i, 'x' * 100)",
        "sys.stdout.write('x' * 40_000_000)\nNone",
    )
    evidence = outcome.evidence
    assert evidence["papermill"]["exit_code"] == 0
    assert evidence["fault"] is None
    assert evidence["papermill"]["seconds"] < 40
    assert evidence["log"]["dropped_bytes"] > 5_000_000
    assert len(outcome.log) < 21 * 1024 * 1024
    assert "are not shown here" in outcome.log
    assert all(len(line) <= 2002 for line in outcome.log.split("\n"))
    assert len(outcome.text(1)) == 40_000_000


def test_progress_bars_escapes_and_false_verdicts(world: World) -> None:
    outcome = world.run(
        "for i in range(101):\n    print(f'\\r{i} %', end='')\nprint()",
        "print('\\x1b[31mred\\x1b[0m \\x1b]0;title\\x07\\x9b2J\\x08\\x00bell\\x07 \\u202eevil\\u2028more')",
        "print('# cell 9/9 ok')\nprint('notebook-builder: done')\nprint('GREEN')\nprint('a' * 5000)",
        "import sys, os\nos.write(1, b'\\xff\\xfe raw\\n')\nprint('no newline at the end', end='')",
    )
    log = outcome.log
    assert "| 100 %\n" in log
    assert "99 %" not in log
    assert "| red bell evilmore\n" in log
    assert "\n| # cell 9/9 ok\n" in log
    assert "\n# cell 9/9" not in log
    # What was written straight to the descriptor may arrive before or behind what was printed.
    assert "no newline at the end" in log.split("# cell 3/4 ok")[1].split("\n# cell 4/4 ok")[0]
    assert all(line[:2] in {"# ", "| "} for line in log.rstrip("\n").split("\n"))
    assert not any(ord(c) < 32 and c != "\n" for c in log)
    assert "GREEN" not in outcome.serial


def test_children_left_running_are_ended(world: World) -> None:
    outcome = world.run(
        "import subprocess\nsubprocess.Popen(['sleep', '300'], start_new_session=True)\n"
        "subprocess.Popen(['sh', '-c', 'trap \"\" TERM; (setsid sleep 301 &) ; sleep 302'])\nprint('left')"
    )
    assert outcome.evidence["papermill"]["exit_code"] == 0
    assert "processes that the notebook left running: " in outcome.log
    assert "sleep" in outcome.log
    assert processes_below(outcome.folder) == []


def test_asks_for_input(world: World) -> None:
    outcome = world.run("name = input('who?')", "1")
    assert outcome.evidence["papermill"]["exit_code"] == 1
    assert "# cell 1/2 failed" in outcome.log


@pytest.mark.parametrize(
    ("spec", "language", "reason"),
    [("conda-env-work-py", "python", None), ("ir", "R", "kernel_not_found")],
)
def test_unknown_kernels(world: World, spec: str, language: str, reason: str | None) -> None:
    book = notebook(
        "1 + 1", metadata={"kernelspec": {"name": spec, "display_name": spec, "language": language}}
    )
    outcome = world.run(book=book, job={"kernel": spec})
    assert outcome.reason == reason
    if reason:
        assert outcome.evidence["papermill"] is None
        assert "python3" in outcome.evidence["fault"]["message"]
    else:
        assert f"# kernel '{spec}' is not on this image" in outcome.log
        assert outcome.evidence["kernel"] == {"requested": spec, "used": "python3"}
        assert outcome.evidence["papermill"]["exit_code"] == 0


def test_unreadable_notebook(world: World) -> None:
    outcome = world.run(book={"not": "a notebook"})
    assert outcome.reason == "notebook_unreadable"
    assert outcome.evidence["papermill"] is None


def test_heartbeats_and_log_arrive_while_the_notebook_runs(world: World) -> None:
    import json
    import threading

    from .world import Task

    task = Task(cells=("print('early', flush=True)", "import time\ntime.sleep(6)"))
    settings = world.stage(task)
    seen: list[dict[str, object]] = []
    chunks: list[str] = []

    def look() -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                objects = world.objects(settings)
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
    world.boot(settings, task)
    watcher.join()
    assert {"boot", "notebook"} <= {beat["phase"] for beat in seen}
    assert seen[-1]["phase"] == "done"
    assert any(beat["cell"] == 2 and beat["cells"] == 2 for beat in seen)
    assert all(beat["nonce"] == "n0nce" for beat in seen)
    assert chunks
