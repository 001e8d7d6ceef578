"""Measures a VM's start, from the startup script to a kernel, and the CPU seconds of a trivial notebook's VM."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

from builder import kit
from builder.kit.build import own_cpython
from builder.vm.bootstrap import unpack_by_python, unpack_kit
from localcloud.engines.vm.images import prefix
from tests.bench import ROUNDS, cpu_seconds, python, seconds, tell
from tests.vm.vm_fixture import Outcome, VmFixture, notebook

CELL = "import time\nprint(time.monotonic())"


def start(folder: Path) -> None:
    """Measure it on the bare image, with the kit in its bucket."""
    built = kit.load()
    folder.mkdir()
    vm_fixture = VmFixture(folder, built)
    try:
        _kernel_ready(vm_fixture)
        _processor(vm_fixture, folder)
    finally:
        vm_fixture.close()
    _unpacking(built)
    for archive in built.archives.values():
        tell(f"kit: {archive.name}", archive.size / 1e6, "MB")


def _run(vm_fixture: VmFixture) -> tuple[Outcome, float]:
    """Run a trivial notebook on a VM.

    Return what it left, and the seconds from the startup script to its first cell.
    """
    begun: list[float] = []
    outcome = vm_fixture.run(CELL, before=lambda: begun.append(time.monotonic()))
    return outcome, float(outcome.text(0)) - begun[0]


def _kernel_ready(vm_fixture: VmFixture) -> None:
    """From the startup script's begin to a kernel that executes, with pip's way to one beside it."""
    ready, piped = [], []
    for _ in range(ROUNDS):
        ready.append(_run(vm_fixture)[1])
        piped.append(_by_pip())
    ours, theirs = statistics.median(ready), statistics.median(piped)
    tell(
        "startup script to the first cell",
        ours,
        "s",
        compared_with="pip from the same wheels, no network, and a kernel on them",
        baseline=round(theirs, 3),
        ratio=round(ours / theirs, 3),
        least=round(min(ready), 3),
        goal=1.5,
    )


def _by_pip() -> float:
    """Seconds until a kernel answers on what pip has installed from the kit's wheels."""
    caches = (kit.ROOT / "build" / "kit" / "wheels").glob(f"{own_cpython()}-*")
    wheels = max(caches, key=lambda path: path.stat().st_mtime)
    names = [str(path) for path in wheels.glob("*.whl") if not path.name.startswith("uv-")]
    interpreter = prefix("bare") / "bin" / "python3"

    def install_and_start() -> None:
        python("-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(folder), *names)
        _start_kernel(
            [str(interpreter), "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"],
            {"PYTHONPATH": str(folder)},
        )

    with tempfile.TemporaryDirectory() as folder:
        return seconds(install_and_start)


def _start_kernel(command: list[str], environment: Mapping[str, str]) -> None:
    manager = KernelManager()
    manager._kernel_spec = KernelSpec(argv=command, language="python", display_name="bench")
    manager.start_kernel(env={"PATH": os.environ["PATH"], **environment})
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def _processor(vm_fixture: VmFixture, folder: Path) -> None:
    """CPU seconds of everything on the VM, against papermill alone."""
    (folder / "demo.ipynb").write_text(json.dumps(notebook(CELL)))
    ours, bare = [], []
    for _ in range(ROUNDS):
        ours.append(cpu_seconds(lambda: _run(vm_fixture)))
        bare.append(cpu_seconds(lambda: python("-m", "papermill", "demo.ipynb", os.devnull, cwd=folder)))
    vm, papermill = statistics.median(ours), statistics.median(bare)
    tell(
        "VM's CPU for a trivial notebook",
        vm,
        "CPU s",
        compared_with="bare papermill",
        baseline=round(papermill, 3),
        ratio=round(vm / papermill, 3),
    )


def _unpacking(built: kit.Kit) -> None:
    """The image's tar against Python's tarfile."""
    archive = built.archives[own_cpython()].path
    by_tar, by_python = [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            by_tar.append(seconds(lambda: unpack_kit(archive, Path(folder, "kit"))))
        with tempfile.TemporaryDirectory() as folder:
            by_python.append(seconds(lambda: unpack_by_python(archive, Path(folder, "kit"))))
    ours, theirs = statistics.median(by_tar), statistics.median(by_python)
    tell(
        "kit unpacked by tar",
        ours,
        "s",
        compared_with="by Python's tarfile",
        baseline=round(theirs, 3),
        ratio=round(ours / theirs, 3),
    )
