"""Helpers for tests of both runners: orders, workspaces, and the traces of a step on this machine."""

from __future__ import annotations

import dataclasses
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import psutil

from localcloud.engines.build import StepOrder, Worker

DAEMON = "import os,time\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\ntime.sleep(600)"


class Run(Protocol):
    """Runs the next step of a worker: exit code and output."""

    def __call__(self, script: str | None = None, **changes: object) -> tuple[int, str]: ...


def order(index: int, script: str | None = None, **changes: object) -> StepOrder:
    plain = StepOrder(index, "bash", None, (), script, {}, {}, "/workspace")
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def finish(worker: Worker, step: StepOrder) -> tuple[int, str]:
    running = worker.start(step)
    output = running.output.read().decode()
    return running.wait(), output


def runs(worker: Worker, **usual: object) -> Run:
    indexes = iter(range(1000))

    def run_next(script: str | None = None, **changes: object) -> tuple[int, str]:
        return finish(worker, order(next(indexes), script, **{**usual, **changes}))

    return run_next


def mounts_naming(text: str) -> list[str]:
    """The mounts from or on a path with this text in it."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if text in line]


def processes_naming(text: str) -> list[int]:
    return [p.pid for p in psutil.process_iter(["cmdline"]) if text in " ".join(p.info["cmdline"] or [])]


def tgz(path: Path, files: Mapping[str, tuple[bytes, int]]) -> Path:
    """Pack files, given by content and mode."""
    with tarfile.open(path, "w:gz") as archive:
        for name, (content, mode) in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            archive.addfile(member, io.BytesIO(content))
    return path
