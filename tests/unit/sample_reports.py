"""Reports of runs that never were: small ones for tests of one format, large ones for sizes and pictures."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from builder.act.result import Event, JobResult, RunResult, VmTime
from builder.errors import ExitCode
from builder.model import CellFailure, CellRun, CellState, GcsLocation, Verdict
from builder.report.run_report import PastRun, RunReport

LOCATION = GcsLocation("acme-notebooks", "ci")
BEGAN = "2026-11-29T06:00:00+00:00"
SOURCE = (
    'rides = load("rides.csv")\n\nday = rides.groupby("day").sum()\nassert day.total.min() > 0, "no rides"\n'
)
GREEN = Verdict(ExitCode.GREEN, "green", "all 5 code cells ran, and 4 objects are in Cloud Storage")
RED = Verdict(
    ExitCode.NOTEBOOK_FAILED,
    "cell_failed",
    "cell 3 of 5 failed: AssertionError: no rides",
    "Correct the cell. The executed notebook has its whole output.",
    CellFailure(3, 5, SOURCE, 4, "AssertionError: no rides", "Cell In[4], line 4\nAssertionError: no rides"),
)
LOST = Verdict(
    ExitCode.ENVIRONMENT_FAILED, "vm_lost", "VM nb-1 is gone\nand left no evidence.", "Run it again."
)


def cells(
    failed: int | None = None, times: tuple[float, ...] = (0.1, 2.5, 1.25, 0.3, 4.0)
) -> tuple[CellRun, ...]:
    """The injected cell and the notebook's own; those after `failed` did not run."""
    injected = CellRun(0, CellState.PASSED, 1, 0.01, "# Parameters", "")
    own = []
    for number, seconds in enumerate(times, start=1):
        if failed is None or number < failed:
            state = CellState.PASSED
        else:
            state = CellState.FAILED if number == failed else CellState.NOT_RUN
        ran = state is not CellState.NOT_RUN
        text = f"printed by cell {number}\n" if ran else ""
        count, took = (number + 1, seconds) if ran else (None, None)
        own.append(CellRun(number, state, count, took, f"step_{number}()", text))
    return (injected, *own)


def job(name: str, verdict: Verdict, **more: Any) -> JobResult:
    """A job of this verdict with everything that a report can show."""
    failed = verdict.failure.cell if verdict.failure else None
    there = verdict.exit_code in {ExitCode.GREEN, ExitCode.NOTEBOOK_FAILED}
    values: dict[str, Any] = {
        "notebook": f"reports/{name}.ipynb",
        "parameters": {"today": "2026-11-29", "limit": 10},
        "attempts": 1 if there else 3,
        "seconds": 41.5,
        "output": f"gs://acme-notebooks/ci/results/run-1/{name}/" if there else "",
        "name": name,
        "has_notebook": there,
        "image": "projects/deeplearning-platform-release/global/images/common-cpu-v20261101",
        "packages": ("pandas==3.0.1", "bigquery-magics==0.16.0"),
        "files": (
            f"{name}.ipynb",
            f"{name}.html",
            f"{name}-clean.html",
            "outputs/rides.csv",
            "outputs/a b.png",
        )
        if there
        else (),
        "cells": cells(failed) if there else (),
        "vms": (VmTime(1, f"nb-{name}", "us-central1-a", "e2-standard-4", "STANDARD", 44.0),),
        "events": (
            Event(0.4, f"VM nb-{name} requested in us-central1-a: e2-standard-4"),
            Event(8.1, f"VM nb-{name} runs in us-central1-a; waiting for its first heartbeat"),
        ),
        "python": "3.12.3",
        "kernel": "python3",
    }
    return JobResult(job=name, verdict=verdict, **{**values, **more})


def report(*jobs: JobResult, code: ExitCode = ExitCode.GREEN, **more: Any) -> RunReport:
    """The report of a run with these jobs."""
    values: dict[str, Any] = {"build": "b1", "commit": "0123456789abcdef0123456789abcdef01234567"}
    result = RunResult("run-1", jobs, [], code, began=BEGAN, seconds=63.2)
    return RunReport(result, LOCATION, **{**values, **more})


def large(count: int, *, red: int, seed: int = 7) -> RunReport:
    """A run of `count` notebooks with forty cells each, `red` of them red, and twenty earlier runs."""
    chance = random.Random(seed)
    jobs = []
    history = {}
    for number in range(count):
        verdict = (RED if number % 2 else LOST) if number < red else GREEN
        times = tuple(chance.expovariate(0.5) for _ in range(40))
        name = f"model-{number:03}"
        here = job(name, verdict, seconds=sum(times))
        if here.cells:
            here = job(name, verdict, seconds=sum(times), cells=cells(3 if verdict is RED else None, times))
        jobs.append(here)
        start = datetime(2026, 11, 1, tzinfo=UTC)
        history[name] = [
            PastRun(
                f"run-{day}",
                (start + timedelta(days=day)).isoformat(),
                "red" if chance.random() < 0.1 else "green",
                sum(times) * chance.uniform(0.7, 1.3),
            )
            for day in range(19)
        ]
    return report(*jobs, code=ExitCode.NOTEBOOK_FAILED if red else ExitCode.GREEN, history=history)
