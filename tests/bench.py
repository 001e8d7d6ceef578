"""`make bench`: the figures that we promise, as JSON lines, each beside what it is compared with in the same run.

Absolute times say little on a shared machine; the ratio against something measured in the same minute does. Each line
has name, value, unit, compared_with, baseline, and the goal where there is one. The long notebook runs for
NB_BENCH_SECONDS (default 20; the goal was set for 60).
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from google.auth.credentials import AnonymousCredentials
from google.cloud import compute_v1
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

from builder import kit
from builder.vm.bootstrap import unpack_kit
from localcloud.cloud import Cloud
from localcloud.machine.images import prefix
from tests.e2e.world import BUCKET, ROOT, Builder, Repo, notebook

ROUNDS = 3
SECONDS = int(os.environ.get("NB_BENCH_SECONDS", "20"))
_IMPORTS = "import google.cloud.compute_v1, google.cloud.storage"


def tell(name: str, value: float, unit: str, **more: str | float) -> None:
    """Print one figure."""
    print(json.dumps({"name": name, "value": round(value, 3), "unit": unit, **more}), flush=True)


def seconds(action: Callable[[], object]) -> float:
    """How long an action takes."""
    started = time.monotonic()
    action()
    return time.monotonic() - started


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
    for name, pause, goal in (("trivial", 0, "5 s more"), (f"{SECONDS} s", SECONDS, "1.10 times")):
        repo.write({"demo.ipynb": notebook("x = 1", f"import time; time.sleep({pause})", "print(x)")})
        ours, bare, inserts, verdicts, imports = [], [], [], [], []
        for _ in range(ROUNDS if not pause else 1):
            bare.append(
                seconds(lambda: python("-m", "papermill", "demo.ipynb", "/dev/null", cwd=builder.folder))
            )
            imports.append(seconds(lambda: python("-c", _IMPORTS)))
            total, to_insert, to_verdict = _timed_run(builder)
            ours.append(total)
            inserts.append(to_insert)
            verdicts.append(to_verdict)
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


def _timed_run(builder: Builder) -> tuple[float, float, float]:
    """Seconds from start to end, from start to the insert, and from evidence to verdict."""
    started = time.time()
    process, environment = builder.start(NB_NOTEBOOKS="demo.ipynb")
    told = 0.0
    assert process.stdout is not None
    for line in process.stdout:
        if " GREEN after " in line:
            told = time.time()
    assert process.wait() == 0
    ended = time.time()
    staging = builder.cloud.state / "storage" / BUCKET / builder.prefix / "staging" / environment["NB_RUN_ID"]
    evidence = next(staging.glob("*/attempt-1/evidence.json")).stat().st_mtime
    return ended - started, insert_time(builder) - started, told - evidence


def insert_time(builder: Builder) -> float:
    """When the newest insert reached Compute Engine."""
    operations = compute_v1.ZoneOperationsClient(
        credentials=AnonymousCredentials(), client_options={"api_endpoint": builder.cloud.url}
    )
    listed = operations.list(project="local-project", zone="us-central1-a")
    inserts = [item.insert_time for item in listed if item.operation_type == "insert"]
    return max(datetime.fromisoformat(text).timestamp() for text in inserts)


def kit_to_kernel() -> None:
    """From a kit on disk to a kernel that answers, against pip installing the same wheels without a network."""
    interpreter = prefix("bare") / "bin" / "python3"

    def by_kit(folder: Path) -> None:
        unpack_kit(kit.locate(), folder)  # as the VM does it
        launcher = next(folder.rglob("kernel_launcher.py"))
        _start_kernel([str(interpreter), str(launcher), "-f", "{connection_file}"], {})

    def by_pip(folder: Path) -> None:
        cpython = f"cp{sys.version_info[0]}{sys.version_info[1]}"
        wheels = max(
            (ROOT / "build" / "kit" / "wheels").glob(f"{cpython}-*"), key=lambda path: path.stat().st_mtime
        )
        names = [str(path) for path in wheels.glob("*.whl")]
        python("-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(folder), *names)
        _start_kernel(
            [str(interpreter), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            {"PYTHONPATH": str(folder)},
        )

    ours = statistics.median(_in_folder(by_kit) for _ in range(ROUNDS))
    theirs = _in_folder(by_pip)
    tell(
        "kit to ready kernel",
        ours,
        "s",
        compared_with="pip from the same wheels, no network",
        baseline=round(theirs, 3),
        ratio=round(ours / theirs, 3),
        goal=2.0,
    )
    tell("kit size", kit.locate().stat().st_size / 1e6, "MB")


def _in_folder(action: Callable[[Path], None]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return seconds(lambda: action(Path(folder)))


def _start_kernel(command: list[str], environment: Mapping[str, str]) -> None:
    manager = KernelManager()
    manager._kernel_spec = KernelSpec(argv=command, language="python", display_name="bench")
    manager.start_kernel(env={"PATH": os.environ["PATH"], **environment})
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def main() -> None:
    """Measure everything."""
    from tests.bench_schedule import schedule

    folder = Path(tempfile.mkdtemp(prefix="notebook-builder-bench-"))
    try:
        repo = Repo(folder / "repo")
        repo.folder.mkdir()
        repo.git("init", "--quiet", "--initial-branch=main")
        repo.write({"demo.ipynb": notebook("x = 1")})
        prefix("bare")
        with Cloud(folder / "cloud", buckets=[BUCKET]) as cloud:
            builder = Builder(cloud, repo.folder)
            bad_input(builder)
            notebooks(builder, repo)
            schedule(Builder(cloud, repo.folder), repo)
        kit_to_kernel()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
