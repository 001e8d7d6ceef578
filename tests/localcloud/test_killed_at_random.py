"""SIGKILL of localcloud at a random moment, from its start until its VM runs: no process, file or mount stays.

`make test-all` does it a few times, and `make soak` 200 times. NB_SEED chooses the moments.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.localcloud.test_exec import BOOT, EXEC
from tests.polling import eventually

_KILLS = 5
_KILLS_OF_A_SOAK = 200


def processes_of(folder: Path) -> list[str]:
    """The processes that have a folder below this one, or name one in their command line or environment."""
    own, name, found = os.getpid(), os.fsencode(folder), []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == own:
            continue
        with contextlib.suppress(OSError):
            parts = [(entry / part).read_bytes() for part in ("cmdline", "environ", "stat")]
            is_ours = name in parts[0] or name in parts[1] or name in os.fsencode((entry / "cwd").readlink())
            if is_ours and parts[2].rpartition(b")")[2].split()[0] not in b"ZX":
                found.append(f"{entry.name}: {parts[0].replace(bytes(1), b' ').decode()}")
    return found


def mounts_of(folder: Path) -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(folder) in line]


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Start localcloud, whose temporary files are in the folder, with a command that boots a VM."""
    script = folder / "boot.py"
    script.write_text(BOOT)
    (folder / "temporary").mkdir(exist_ok=True)
    return subprocess.Popen(
        [*EXEC, "--", "python", str(script)],
        env={**os.environ, "TMPDIR": str(folder / "temporary")},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL


def assert_gone(folder: Path) -> None:
    eventually(lambda: not processes_of(folder), lambda: processes_of(folder))
    assert mounts_of(folder) == []
    eventually(
        lambda: not any((folder / "temporary").iterdir()),
        lambda: sorted(map(str, (folder / "temporary").rglob("*"))),
    )


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(_KILLS, marks=pytest.mark.exhaustive),
        pytest.param(_KILLS_OF_A_SOAK, marks=[pytest.mark.soak, pytest.mark.timeout(0)]),
    ],
)
def test_after_a_sigkill_at_a_random_moment_nothing_is_left(tmp_path: Path, kills: int) -> None:
    seed = os.environ.get("NB_SEED", "1")
    draw = random.Random(f"{seed} {kills}")
    began = time.monotonic()
    with start(tmp_path) as process:  # this one is killed while its VM runs
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        until_ready = time.monotonic() - began
        eventually(  # the VM runs; its script starts a moment later
            lambda: any("sleep 603" in line for line in processes_of(tmp_path)),
            lambda: processes_of(tmp_path),
        )
        kill(process)
    assert_gone(tmp_path)
    for number in range(kills):
        with start(tmp_path) as process:
            time.sleep(draw.random() * until_ready)
            kill(process)
        assert_gone(tmp_path)
        print(f"NB_SEED={seed}: {number + 1} of {kills} kills", end="\r")
