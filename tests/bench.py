"""`make bench`: the figures that we promise, as JSON lines, each beside what it is compared with in the same run.

Absolute times say little on a shared machine; the ratio against something measured in the same minute does. Each line
has name, value, unit, compared_with, baseline, and the goal where there is one. What a VM's start costs stands in
bench_start.py, many notebooks in bench_many.py, the way to a scheduled result in bench_schedule.py, the end by SIGTERM
in bench_signal.py.

The defaults are the sizes that the goals name. CI measures less: NB_BENCH_SECONDS (60) is the time of the long
notebook, NB_BENCH_NOTEBOOKS (24) the number of trivial ones, NB_BENCH_ROUNDS (3) how often each figure is measured.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from google.cloud import compute_v1
from google.oauth2.credentials import Credentials

from localcloud.cloud import Cloud
from localcloud.engines.vm.images import prefix
from tests.e2e.builder_process import BUCKET, ROOT, Builder, Repo, notebook
from tests.granting import granting

ROUNDS = int(os.environ.get("NB_BENCH_ROUNDS", "3"))
SECONDS = int(os.environ.get("NB_BENCH_SECONDS", "60"))
_IMPORTS = "import google.cloud.compute_v1, google.cloud.storage"


def tell(name: str, value: float, unit: str, **more: str | float) -> None:
    """Print one figure."""
    print(json.dumps({"name": name, "value": round(value, 3), "unit": unit, **more}), flush=True)


def seconds(action: Callable[[], object]) -> float:
    """Return the seconds that an action takes."""
    started = time.monotonic()
    action()
    return time.monotonic() - started


def cpu_seconds(action: Callable[[], object]) -> float:
    """Return the CPU seconds of the processes that an action starts and waits for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    action()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def python(*arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> int:
    """Run this interpreter quietly; its exit code."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, check=False).returncode


def bad_input(builder: Builder) -> None:
    """From process start to exit 2, with Python's own start beside it."""
    environment = builder.environment(NB_TIMEOUT="soon", NB_NOTEBOOKS="demo.ipynb")
    entry = str(ROOT / "entrypoint.py")
    assert python(entry, "run", cwd=builder.folder, env=environment) == 2
    ours = [seconds(lambda: python(entry, "run", cwd=builder.folder, env=environment)) for _ in range(5)]
    bare = [seconds(lambda: python("-c", "pass")) for _ in range(5)]
    tell(
        "bad input to exit 2",
        statistics.median(ours),
        "s",
        compared_with="python -c pass",
        baseline=round(statistics.median(bare), 3),
        goal=0.5,
    )


def notebooks(builder: Builder, repo: Repo) -> None:
    """A run of one notebook against bare papermill, its way to the insert, and its way from evidence to verdict."""
    for name, pause, goal in (("trivial", 0, "4 s more"), (f"{SECONDS} s", SECONDS, "1.08 times at 60 s")):
        repo.write({"demo.ipynb": notebook("x = 1", f"import time; time.sleep({pause})", "print(x)")})
        ours, bare, inserts, verdicts, imports, processors = [], [], [], [], [], []
        for _ in range(1 if pause else ROUNDS):
            bare.append(
                seconds(lambda: python("-m", "papermill", "demo.ipynb", "/dev/null", cwd=builder.folder))
            )
            imports.append(seconds(lambda: python("-c", _IMPORTS)))
            timed = _timed_run(builder)
            ours.append(timed.total)
            inserts.append(timed.to_insert)
            verdicts.append(timed.to_verdict)
            processors.append(timed.processor)
        run, papermill = statistics.median(ours), statistics.median(bare)
        tell(
            f"one notebook ({name}) through run",
            run,
            "s",
            compared_with="bare papermill",
            baseline=round(papermill, 3),
            more=round(run - papermill, 3),
            ratio=round(run / papermill, 3),
            goal=goal,
        )
        if pause:
            continue
        start, imported = statistics.median(inserts), statistics.median(imports)
        tell(
            "process start to instances.insert",
            start / imported,
            "ratio",
            compared_with="importing compute and storage alone",
            baseline=round(imported, 3),
            goal=1.4,
        )
        tell("evidence written to verdict printed", statistics.median(verdicts), "s", goal=2.0)
        tell(
            "builder's CPU for a trivial notebook",
            statistics.median(processors),
            "CPU s",
            compared_with="importing compute and storage alone",
            baseline=round(cpu_seconds(lambda: python("-c", _IMPORTS)), 3),
        )


@dataclass(frozen=True)
class Timed:
    """Seconds of one run.

    From start to end, from start to the insert, from evidence to verdict; and the builder's own CPU.
    """

    total: float
    to_insert: float
    to_verdict: float
    processor: float


def _timed_run(builder: Builder) -> Timed:
    """Run one notebook to a green end."""
    started = time.time()
    process, environment = builder.start(NB_NOTEBOOKS="demo.ipynb")
    told = 0.0
    assert process.stdout is not None
    for line in process.stdout:
        if " GREEN after " in line:
            told = time.time()
    _, status, usage = os.wait4(process.pid, 0)  # this process alone, apart from the VM
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    ended = time.time()
    staging = builder.cloud.state / "storage" / BUCKET / builder.prefix / "staging" / environment["NB_RUN_ID"]
    evidence = next(staging.glob("*/attempt-1-*/evidence.json")).stat().st_mtime
    processor = usage.ru_utime + usage.ru_stime
    return Timed(ended - started, insert_time(builder) - started, told - evidence, processor)


def insert_time(builder: Builder) -> float:
    """When the newest insert reached Compute Engine."""
    operations = compute_v1.ZoneOperationsClient(
        credentials=Credentials(token=builder.cloud.iam.owner_token),
        client_options={"api_endpoint": builder.cloud.url},
    )
    listed = operations.list(project="local-project", zone="us-central1-a")
    inserts = [item.insert_time for item in listed if item.operation_type == "insert"]
    return max(datetime.fromisoformat(text).timestamp() for text in inserts)


def main() -> None:
    """Measure everything."""
    from tests.bench_many import many
    from tests.bench_schedule import schedule
    from tests.bench_signal import sigterm
    from tests.bench_start import start

    folder = Path(tempfile.mkdtemp(prefix="notebook-builder-bench-"))
    try:
        repo = Repo(folder / "repo")
        repo.folder.mkdir()
        repo.git("init", "--quiet", "--initial-branch=main")
        repo.write({"demo.ipynb": notebook("x = 1")})
        prefix("bare")
        with Cloud(folder / "cloud", buckets=[BUCKET], profile=granting()) as cloud:
            builder = Builder(cloud, repo.folder)
            bad_input(builder)
            notebooks(builder, repo)
            sigterm(builder, repo)
            many(builder, repo)
            schedule(Builder(cloud, repo.folder), repo)
        start(folder / "start")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
