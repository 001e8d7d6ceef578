"""The runner's course without a VM: what a stop leaves, what may stand in outputs' place, how cells are numbered."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, cast

import nbformat
import pytest
from papermill.engines import NotebookExecutionManager
from papermill.parameterize import parameterize_notebook

from builder.judge.executed import slots
from builder.model import Notebook
from builder.plan.notebooks import read_notebook
from builder.vm import bootstrap
from builder.vm.runner import app, gpu, outputs, processes
from builder.vm.runner import notebook as notebook_module
from builder.vm.runner.app import Runner
from builder.vm.runner.frames import Reader
from builder.vm.runner.log import Log
from builder.vm.runner.notebook import Ended, Order, Papermill, replaces_injected
from builder.vm.runner.papermill_process import Progress, Reports
from builder.vm.runner.settings import Accelerator, Fault, Job, LeaseTerms, Settings, Staged
from builder.vm.runner.storage import Stored

JOB: dict[str, Any] = {
    "job": "demo",
    "notebook": "books/demo.ipynb",
    "name": "demo",
    "workspace": {"object": "w", "sha256": "0"},
    "notebook_sha256": "0",
    "timeout": 60,
    "accelerator": {"type": "nvidia-tesla-t4", "count": 2},
}


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """A runner whose papermill has ended well and left one output; what it stores goes nowhere."""
    settings = Settings(
        home=tmp_path,
        started=time.monotonic(),
        storage_endpoint="http://127.0.0.1:9",
        secretmanager_endpoint="http://127.0.0.1:9",
        bucket="b",
        job=Staged("job.json", "0"),
        attempt_prefix="attempt-1/",
        run="run-1",
        job_id="demo",
        attempt=1,
        nonce="n",
        boot_timeout=60,
        lease=LeaseTerms("lease.json", 300),
        uv=Staged("uv.tar.gz", "0"),
    )
    monkeypatch.setattr(app, "Bucket", lambda *_: None)
    made = Runner(settings, cast("Papermill", None))
    made.facts.job = Job.parse(json.dumps(JOB).encode())
    made.facts.ended = Ended(0, 1.0, None)
    folder = tmp_path / "work/books/outputs"
    folder.mkdir(parents=True)
    (folder / "rides.csv").write_text("1")
    monkeypatch.setattr(made, "_create", lambda name, _source: Stored(name, 1, "AAAAAA==", "1"))
    return made


def test_outputs_are_stored(runner: Runner) -> None:
    runner._upload()
    assert [stored.name for stored in runner.facts.stored] == ["outputs/rides.csv"]
    assert runner.facts.fault is None


def test_a_stop_before_the_outputs_are_stored_is_a_fault(runner: Runner) -> None:
    runner.stopping.set()
    runner._upload()
    assert runner.facts.stored == []
    assert runner.facts.fault is not None
    assert runner.facts.fault.reason == "runner"
    assert "before its results were stored" in runner.facts.fault.message


def test_a_stop_leaves_the_fault_that_there_was(runner: Runner) -> None:
    runner.stopping.set()
    runner.facts.fault = Fault("disk_full", "full")
    runner._upload()
    assert runner.facts.fault.reason == "disk_full"


def test_a_link_in_place_of_outputs_publishes_nothing(runner: Runner) -> None:
    folder = runner.tree / "books/outputs"
    folder.rename(folder.with_name("old"))
    folder.symlink_to("old")
    runner._upload()
    assert runner.facts.stored == []
    assert [(s.path, s.why) for s in runner.facts.skipped] == [
        ("outputs", "symbolic link in place of the folder")
    ]


def test_what_else_may_be_in_place_of_outputs(tmp_path: Path) -> None:
    assert outputs.scan(tmp_path / "outputs") == ([], [])
    (tmp_path / "outputs").write_text("1")
    found, skipped = outputs.scan(tmp_path / "outputs")
    assert (found, [s.why for s in skipped]) == ([], ["not a folder"])
    (tmp_path / "outputs").unlink()
    (tmp_path / "outputs").symlink_to("nowhere")
    assert outputs.scan(tmp_path / "outputs")[1][0].path == "outputs"


ORDER = Order(
    folder=Path(),
    cwd=Path(),
    notebook="d.ipynb",
    name="d",
    kernel="python3",
    language="python",
    parameters={},
    replaces_injected=False,
    environment={},
    timeout=60.0,
    cell_timeout=None,
)


def ended(monkeypatch: pytest.MonkeyPatch, code: int, stopping: threading.Event) -> Ended:
    """How the run of a papermill ends that is gone at once, with this exit code."""
    monkeypatch.setattr(notebook_module, "STOP_SECONDS", 0.5)
    monkeypatch.setattr(processes, "end_descendants", lambda **_: [])
    papermill = Papermill.__new__(Papermill)
    order_read, papermill._order = os.pipe()
    papermill._frames, frames_write = os.pipe()
    os.close(frames_write)
    papermill._seen = notebook_module.Seen(3, 2, running=True)
    papermill._reader = Reader()
    papermill._raw = b""
    with subprocess.Popen(["/bin/sh", "-c", f"exit {code}"], stdout=subprocess.PIPE) as child:
        papermill._child = child
        try:
            return papermill.run(
                ORDER, Log(lambda *_: None), lambda *_: None, lambda: "stopped" if stopping.is_set() else ""
            )
        finally:
            os.close(order_read)
            os.close(papermill._frames)


@pytest.mark.parametrize("code", [143, 138])
def test_a_papermill_that_ends_with_its_vm_is_no_dead_kernel(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    stopping = threading.Event()
    told = threading.Timer(0.1, stopping.set)  # papermill is told first, and is gone before we are
    told.start()
    fault = ended(monkeypatch, code, stopping).fault
    told.join()
    assert fault is not None
    assert (fault.reason, fault.cell) == ("runner", 2)


def test_a_papermill_that_ends_by_itself_is_the_notebooks_affair(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = ended(monkeypatch, 143, threading.Event()).fault
    assert fault is not None
    assert fault.reason == "kernel_died"


def test_a_late_boot_does_not_cost_the_notebook_its_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deadlines: list[float] = []
    relaying = threading.Thread(target=lambda: None)
    relaying.start()

    def watch(_runner: object, deadline: float) -> int:
        deadlines.append(deadline)
        return 0

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(bootstrap, "STARTED", time.monotonic() - 500)
    monkeypatch.setattr(bootstrap, "fetch_kit", lambda _job, target, _deadline: target.touch())
    monkeypatch.setattr(bootstrap, "unpack_kit", lambda *_: None)
    monkeypatch.setattr(bootstrap, "start_runner", lambda *_: (None, relaying))
    monkeypatch.setattr(bootstrap, "watch", watch)
    monkeypatch.setattr(bootstrap, "end_descendants", lambda _deadline: None)
    bootstrap.run_job({"boot_timeout": 600, "run_limit": 1000, "attempt": 1})
    assert 900 < deadlines[0] - time.monotonic() <= 1000


def test_a_gpu_is_asked_for_by_name_and_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    wanted = Job.parse(json.dumps(JOB).encode()).accelerator
    assert wanted == Accelerator("nvidia-tesla-t4", 2)
    with pytest.raises(Fault, match=r"^nvidia-tesla-t4 x 2 was asked for, but nvidia-smi says: "):
        gpu.wait_for_gpu(wanted, time.monotonic(), lambda _line: None)


def test_one_gpu_of_two_is_not_what_was_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho 'GPU 0: Tesla T4 (UUID: GPU-1)'\n[ ! -e \"$0.both\" ] || echo 'GPU 1: Tesla T4'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    wanted, said = Accelerator("nvidia-tesla-t4", 2), list[str]()
    with pytest.raises(Fault, match=r"nvidia-tesla-t4 x 2 was asked for, but nvidia-smi lists 1$"):
        gpu.wait_for_gpu(wanted, time.monotonic(), said.append)
    (tmp_path / "nvidia-smi.both").touch()
    gpu.wait_for_gpu(wanted, time.monotonic(), said.append)
    assert [line[:6] for line in said] == ["GPU 0:", "GPU 1:"]


@pytest.mark.parametrize("parameters", [{}, {"days": 7}], ids=["no parameters", "parameters"])
@pytest.mark.parametrize(
    "tags",
    [
        [[], [], []],
        [[], ["parameters"], []],
        [["parameters"], ["injected-parameters"], []],
        [["injected-parameters"], [], ["injected-parameters"]],
    ],
    ids=["plain", "declares", "committed after papermill", "injected twice"],
)
def test_runner_and_judge_number_cells_alike(
    monkeypatch: pytest.MonkeyPatch, parameters: dict[str, Any], tags: list[list[str]]
) -> None:
    v4 = nbformat.v4
    cells = [v4.new_code_cell(f"x = {n}", metadata={"tags": tag}) for n, tag in enumerate(tags)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = v4.new_notebook(
        cells=[v4.new_markdown_cell("# x", metadata={"tags": []}), *cells], metadata={"kernelspec": kernel}
    )
    source = read_notebook("demo.ipynb", nbformat.writes(book).encode())
    assert isinstance(source, Notebook)
    order = {"parameters": parameters, "replaces_injected": replaces_injected(json.loads(source.content))}
    book.metadata["papermill"] = {}
    if parameters:
        book = parameterize_notebook(book, parameters, kernel_name="python3", language="python")
    manager = NotebookExecutionManager(book, progress_bar=False)
    events: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "builder.vm.runner.papermill_process.send_event", lambda _to, **event: events.append(event)
    )
    Progress(manager, Reports(-1, {}), order)
    for cell in book.cells:
        cell.metadata["papermill"] = {}
        manager.cell_start(cell)
    assert events[0] == {"event": "cells", "cells": len(source.code_cells)}
    told = [event["cell"] for event in events[1:]]
    assert told == [slot.number for slot in slots(source, injected=bool(parameters))]
