"""The runner's course without a VM: what a stop leaves, what may stand in outputs' place, how cells are numbered."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import nbformat
import pytest
from papermill.engines import NotebookExecutionManager
from papermill.parameterize import parameterize_notebook

from builder.judge.executed_notebook import expected_cells
from builder.model import Notebook
from builder.plan.notebooks import read_notebook
from builder.vm import bootstrap
from builder.vm.protocol import (
    ExpectedGpus,
    Job,
    JobMetadata,
    LeaseTerms,
    StagedObject,
    StagedWorkspace,
    StoredObject,
)
from builder.vm.runner import attempt as attempt_module
from builder.vm.runner import gpu, outputs, processes, results
from builder.vm.runner import notebook as notebook_module
from builder.vm.runner.app import main, recorded_faults
from builder.vm.runner.attempt import Attempt
from builder.vm.runner.cell_progress import Progress
from builder.vm.runner.fault import Fault
from builder.vm.runner.frames import Reader
from builder.vm.runner.log import Log
from builder.vm.runner.notebook import Papermill
from builder.vm.runner.pages.page import pages
from builder.vm.runner.papermill_end import Ended, Seen
from builder.vm.runner.papermill_request import PapermillRequest, injected
from builder.vm.runner.reports import Reports
from builder.vm.runner.settings import Settings

JOB = Job(
    run="run-1",
    job="demo",
    notebook="books/demo.ipynb",
    name="demo",
    workspace=StagedWorkspace("w", "0", 1),
    parameters=None,
    notebook_sha256="0",
    kernel=None,
    timeout=60,
    cell_timeout=None,
    accelerator=ExpectedGpus("nvidia-tesla-t4", 2),
    heartbeat_seconds=2,
)
METADATA = JobMetadata(
    storage_endpoint="http://127.0.0.1:9",
    compute_endpoint="http://127.0.0.1:9",
    secretmanager_endpoint="http://127.0.0.1:9",
    bucket="b",
    kits={},
    job=StagedObject("job.json", "0"),
    attempt_prefix="attempt-1/",
    run="run-1",
    job_id="demo",
    attempt=1,
    nonce="n",
    boot_timeout=60,
    run_limit=100,
    max_run_duration=3600,
    lease=LeaseTerms("lease.json", 300),
)


@pytest.fixture
def attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Attempt:
    """An attempt whose papermill has ended well and left one output; what it stores is dropped."""
    monkeypatch.setattr(attempt_module, "Bucket", lambda *_: None)
    made = Attempt(Settings(tmp_path, time.monotonic(), METADATA))
    made.facts.ended = Ended(0, 1.0, None)
    folder = tmp_path / "work/books/outputs"
    folder.mkdir(parents=True)
    (folder / "rides.csv").write_text("1")
    monkeypatch.setattr(made, "upload", lambda name, _source: StoredObject(name, 1, "AAAAAA==", 1))
    return made


def store_results(attempt: Attempt) -> None:
    """The run's last step, as the run takes it."""
    results.begin(attempt)
    with recorded_faults(attempt):
        results.store(attempt, JOB)


def test_outputs_are_stored(attempt: Attempt) -> None:
    store_results(attempt)
    assert [stored.name for stored in attempt.facts.stored] == ["outputs/rides.csv"]
    assert attempt.facts.fault is None


def test_a_vm_that_is_taken_back_does_not_wait_for_long_uploads(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The evidence needs the rest of the notice."""
    monkeypatch.setattr(results, "PREEMPTED_SECONDS", 0.0)
    release = threading.Event()
    monkeypatch.setattr(attempt, "upload", lambda *_: release.wait(20))
    attempt._on_preemption()
    store_results(attempt)
    release.set()
    assert attempt.facts.stored == []
    assert attempt.facts.fault is not None
    assert attempt.facts.fault.reason == "preempted"


def test_an_output_whose_upload_times_out_is_a_fault(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file on a network disk can raise this, too."""

    def time_out(*_arguments: object) -> StoredObject:
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    monkeypatch.setattr(attempt, "upload", time_out)
    store_results(attempt)
    assert attempt.facts.fault is not None
    assert attempt.facts.fault.reason == "storage"


def test_a_fault_after_the_first_one_is_in_the_log(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    """For example, an upload that fails after a preemption: its output is missing, and the log says why."""
    lines: list[str] = []
    monkeypatch.setattr(attempt.log, "line", lines.append)
    first, later = Fault("preempted", "taken back"), Fault("storage", "the bucket is gone")
    for fault in (first, later, first):
        with recorded_faults(attempt):
            raise fault
    assert attempt.facts.fault is first
    assert lines == ["then: storage: the bucket is gone"]


def test_a_stop_before_the_outputs_are_stored_is_a_fault(attempt: Attempt) -> None:
    attempt.stopping.set()
    store_results(attempt)
    assert attempt.facts.stored == []
    assert attempt.facts.fault is not None
    assert attempt.facts.fault.reason == "runner"
    assert "before its results were stored" in attempt.facts.fault.message


def test_a_vm_that_is_taken_back_before_the_outputs_are_stored_says_so(attempt: Attempt) -> None:
    """It stores what it can, and is no green result."""
    attempt._on_preemption()
    store_results(attempt)
    assert [stored.name for stored in attempt.facts.stored] == ["outputs/rides.csv"]
    assert attempt.facts.fault is not None
    assert attempt.facts.fault.reason == "preempted"
    assert attempt.heartbeat.last_phase == "preempted"


def test_a_stop_leaves_the_fault_that_there_was(attempt: Attempt) -> None:
    attempt.stopping.set()
    attempt.facts.fault = Fault("disk_full", "full")
    store_results(attempt)
    assert attempt.facts.fault.reason == "disk_full"


def test_a_link_in_place_of_outputs_publishes_nothing(attempt: Attempt) -> None:
    folder = attempt.tree / "books/outputs"
    folder.rename(folder.with_name("old"))
    folder.symlink_to("old")
    store_results(attempt)
    assert attempt.facts.stored == []
    assert [(s.path, s.why) for s in attempt.facts.skipped] == [
        ("outputs", "symbolic link in place of the folder")
    ]


def test_a_link_or_file_named_outputs(tmp_path: Path) -> None:
    assert outputs.scan(tmp_path / "outputs") == ([], [])
    (tmp_path / "outputs").write_text("1")
    found, skipped = outputs.scan(tmp_path / "outputs")
    assert (found, [s.why for s in skipped]) == ([], ["not a folder"])
    (tmp_path / "outputs").unlink()
    (tmp_path / "outputs").symlink_to("nowhere")
    assert outputs.scan(tmp_path / "outputs")[1][0].path == "outputs"


REQUEST = PapermillRequest(
    folder=Path(),
    cwd=Path(),
    notebook="d.ipynb",
    name="d",
    kernel="python3",
    language="python",
    parameters={},
    injected="",
    environment={},
    timeout=60.0,
    cell_timeout=None,
)


def ended(monkeypatch: pytest.MonkeyPatch, code: int, stopping: threading.Event) -> Ended:
    """Return the end of a run whose papermill exits at once, with this exit code."""
    monkeypatch.setattr(notebook_module, "STOP_SECONDS", 0.5)
    monkeypatch.setattr(processes, "end_descendants", lambda **_: [])
    papermill = Papermill.__new__(Papermill)
    request_read, papermill._request = os.pipe()
    papermill._frames, frames_write = os.pipe()
    os.close(frames_write)
    papermill._seen = Seen(3, 2, running=True)
    papermill._reader = Reader()
    papermill._raw = b""
    with subprocess.Popen(["/bin/sh", "-c", f"exit {code}"], stdout=subprocess.PIPE) as child:
        papermill._child = child
        try:
            return papermill.run(
                REQUEST, Log(lambda *_: None), lambda *_: None, lambda: "stopped" if stopping.is_set() else ""
            )
        finally:
            os.close(request_read)
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
    assert fault.reason == "notebook_failed"


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
    monkeypatch.setattr(bootstrap, "reach", lambda *_: None)
    monkeypatch.setattr(bootstrap, "fetch_kit", lambda _job, target, _deadline: target.touch())
    monkeypatch.setattr(bootstrap, "unpack_kit", lambda *_: None)
    monkeypatch.setattr(bootstrap, "start_runner", lambda *_: (None, relaying))
    monkeypatch.setattr(bootstrap, "watch", watch)
    monkeypatch.setattr(bootstrap, "end_descendants", lambda _deadline: None)
    job = {
        "boot_timeout": 600,
        "run_limit": 1000,
        "attempt": 1,
        "storage_endpoint": "https://storage.googleapis.com",
    }
    bootstrap.run_job(job)
    assert deadlines == [
        bootstrap.STARTED + 600 + 1000
    ]  # a kit, or a GPU, may be as late as the boot's limit


def test_a_gpu_is_asked_for_by_name_and_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    wanted = JOB.accelerator
    assert wanted is not None
    with pytest.raises(Fault, match=r"^nvidia-tesla-t4 x 2 was asked for, but nvidia-smi says: "):
        gpu.wait_for_gpu(wanted, time.monotonic(), lambda _line: None)


def test_one_gpu_instead_of_two_is_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho 'GPU 0: Tesla T4 (UUID: GPU-1)'\n[ ! -e \"$0.both\" ] || echo 'GPU 1: Tesla T4'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    wanted, said = ExpectedGpus("nvidia-tesla-t4", 2), list[str]()
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
def test_runner_judge_and_pages_number_cells_alike(
    monkeypatch: pytest.MonkeyPatch, parameters: dict[str, Any], tags: list[list[str]]
) -> None:
    v4 = nbformat.v4
    cells = [v4.new_code_cell(f"x = {n}", metadata={"tags": tag}) for n, tag in enumerate(tags)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = v4.new_notebook(
        cells=[v4.new_markdown_cell("# x", metadata={"tags": []}), *cells], metadata={"kernelspec": kernel}
    )
    content = nbformat.writes(book).encode()
    source = read_notebook("demo.ipynb", content)
    assert isinstance(source, Notebook)
    request = {"injected": injected(json.loads(content), parameters)}
    book.metadata["papermill"] = {}
    if parameters:
        book = parameterize_notebook(book, parameters, kernel_name="python3", language="python")
    manager = NotebookExecutionManager(book, progress_bar=False)
    events: list[dict[str, Any]] = []
    monkeypatch.setattr("builder.vm.runner.reports.send_event", lambda _to, **event: events.append(event))
    Progress(manager, Reports(-1, {}), request)
    for cell in book.cells:
        cell.metadata["papermill"] = {}
        manager.cell_start(cell)
    assert events[0] == {"event": "cells", "cells": len(source.code_cells)}
    told = [event["cell"] for event in events[1:]]
    assert told == [
        expected_cell.number for expected_cell in expected_cells(source, injected=bool(parameters))
    ]
    book.cells[-1].outputs = [v4.new_output("error", ename="ValueError", evalue="bad", traceback=[])]
    page = pages(json.loads(nbformat.writes(book)), "demo", Path(), request["injected"])[0]
    assert f"cell {told[-1]} of {len(source.code_cells)}</a>: <code>ValueError: bad" in page
    assert page.count("parameters of this run") == len(parameters)


def test_metadata_of_another_schema_is_refused_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({**METADATA.document(), "schema": 2, "home": str(tmp_path), "started": 1.0}))
    monkeypatch.setattr(os, "umask", lambda _mask: 0)
    abandoned: list[bool] = []
    papermill = cast("Papermill", SimpleNamespace(abandon=lambda: abandoned.append(True)))
    assert main([str(path)], papermill) == 1
    assert capsys.readouterr().out == "failed: metadata: nb-job: its schema is 2, and 1 was expected\n"
    assert abandoned == [True]
