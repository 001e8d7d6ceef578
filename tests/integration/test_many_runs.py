"""Many runs in one process: memory, threads, open files and temporary files are the same at the end as before.

`make test-all` has 30 runs on one of three days, too few to tell memory that runs leave from memory that the allocator
keeps. `make soak` has 2,000, and compares memory too.
"""

from __future__ import annotations

import ctypes
import gc
import json
import multiprocessing
import os
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pytest

from builder.errors import ExitCode
from builder.kit import Kit
from builder.report.console import Console
from localcloud.core.iam import email
from localcloud.services.storage import pace
from tests.integration.cloud_fixture import CloudFixture
from tests.integration.killable import Order, run_order
from tests.integration.simulated_guests import green
from tests.patience import PATIENCE


@dataclass(frozen=True)
class Series:
    """So many runs, of which the first ones fill the caches of the process.

    `memory` is the most that the others may multiply its memory by; None: any.
    """

    runs: int
    first: int
    memory: float | None


_processes = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Usage:
    """The resources that the process holds between two runs."""

    objects: int  # those that Python's garbage collector knows
    memory: int  # bytes
    threads: int
    open_files: int
    temporary_files: int


def _usage() -> Usage:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # freed memory counts as free
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Usage(
        objects=len(gc.get_objects()),
        memory=pages * os.sysconf("SC_PAGE_SIZE"),
        threads=threading.active_count(),
        open_files=len(os.listdir("/proc/self/fd")),  # noqa: PTH208  a Path object would be one more
        temporary_files=len(os.listdir(tempfile.gettempdir())),  # noqa: PTH208
    )


def _settled(like: Usage | None) -> Usage:
    """The usage, when the threads of the last run have ended."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = _usage()
        if like is None or (found.threads <= like.threads and found.open_files <= like.open_files):
            return found
        if time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def _carry_out(order: Order, series: Series) -> None:
    """In the process: carry out the runs, and write down what it holds after the first ones and after the last."""
    gc.unfreeze()  # as in a builder's own process; warm.py stops the collector for forks that live for a second
    gc.enable()
    tempfile.tempdir = str(order.folder / "temporary")
    Path(tempfile.tempdir).mkdir()
    codes: set[ExitCode] = set()
    first: Usage | None = None
    with (order.folder / "runs.log").open("w", buffering=1) as log:
        for number in range(1, series.runs + 1):
            codes.add(
                run_order(replace(order, run_id=f"run-{number}", event=f"event-{number}"), Console(log))
            )
            if number == series.first:
                first = _settled(None)
    found = [asdict(first or _usage()), asdict(_settled(first))]
    (order.folder / "usage.json").write_text(json.dumps({"codes": sorted(codes), "usage": found}))
    os._exit(0)


@pytest.mark.parametrize(
    "series",
    [
        pytest.param(Series(30, 12, None), id="30", marks=pytest.mark.exhaustive),
        pytest.param(Series(2000, 200, 1.05), id="2000", marks=[pytest.mark.soak, pytest.mark.timeout(0)]),
    ],
)
def test_a_process_holds_no_more_after_many_runs(
    cloud_fixture: CloudFixture,
    small_kit: Kit,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    series: Series,
) -> None:
    monkeypatch.setattr(
        pace, "_BURST", 10_000.0
    )  # the runs write the same day's folder, and the clock is moved
    cloud_fixture.use_prefix(tmp_path.name)
    cloud_fixture.guests = [green]
    plan = cloud_fixture.plan(tmp_path / "repo", NB_EVENT='{"today": "2018-04-01"}')
    token = cloud_fixture.iam.token(email("notebook-builder"))[0]
    order = Order(cloud_fixture.url, cloud_fixture.clock_address, token, plan, "", None, small_kit, tmp_path)
    process = _processes.Process(target=_carry_out, args=(order, series), daemon=True)
    process.start()
    process.join()
    found = json.loads((tmp_path / "usage.json").read_text())
    assert found["codes"] == [ExitCode.GREEN], (tmp_path / "runs.log").read_text()[-2000:]
    assert len(cloud_fixture.inserted()) == series.runs
    first, last = (Usage(**one) for one in found["usage"])
    print(f"{series.runs} runs, after {series.first} of them: {first}, at the end: {last}")
    assert last.threads <= first.threads
    assert last.open_files <= first.open_files
    assert first.temporary_files == last.temporary_files == 0
    # Objects of a thread that ends are counted or not: a few more are no leak, one more per run is.
    assert last.objects - first.objects < series.runs - series.first, "runs leave objects"
    assert series.memory is None or last.memory < first.memory * series.memory
