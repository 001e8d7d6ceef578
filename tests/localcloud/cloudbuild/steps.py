"""What tests of both runners share: orders, rooms, and looks at what a step has left on this machine."""

from __future__ import annotations

import dataclasses
import io
import tarfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import psutil

from localcloud.cloudbuild.runner import Room, StepOrder

DAEMON = "import os,time\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\ntime.sleep(600)"


class Run(Protocol):
    """Runs the next step of a room: exit code and output."""

    def __call__(self, script: str | None = None, **changes: object) -> tuple[int, str]: ...


def order(index: int, script: str | None = None, **changes: object) -> StepOrder:
    plain = StepOrder(index, "bash", None, (), script, {}, {}, "/workspace")
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def finish(room: Room, step: StepOrder) -> tuple[int, str]:
    running = room.start(step)
    output = running.output.read().decode()
    return running.wait(), output


def runs(room: Room, **usual: object) -> Run:
    indexes = iter(range(1000))

    def run_next(script: str | None = None, **changes: object) -> tuple[int, str]:
        return finish(room, order(next(indexes), script, **{**usual, **changes}))

    return run_next


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def mounts_naming(text: str) -> list[str]:
    """What is mounted from or on a path with this text in it."""
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
