"""Tests the build log of a notebook that prints without limit: it is bounded and clean, and reports the rest."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.builder_process import BUCKET, Builder, Finished, Repo, notebook
from tests.patience import PATIENCE

MAX_MEMORY = 400 * 2**20
MIN_MEMORY = 20 * 2**20  # of any Python with Google's clients: less was not measured
MAX_LINE = 2_100


@dataclass
class Watched:
    """A finished run, and the most memory its builder ever had, in bytes."""

    done: Finished
    memory: int


def watched(builder: Builder, **options: str) -> Watched:
    process, environment = builder.start("run", **options)
    peak = 0

    def look() -> None:
        nonlocal peak
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                return
            found = re.search(r"VmHWM:\s+(\d+) kB", status)
            peak = max(peak, int(found[1]) * 1024) if found else peak
            time.sleep(0.1)

    threading.Thread(target=look, daemon=True).start()
    try:
        output, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    bucket = builder.cloud.state / "storage" / BUCKET
    return Watched(
        Finished(process.returncode, output, environment["NB_RUN_ID"], bucket, builder.prefix), peak
    )


@pytest.mark.exhaustive
def test_a_flood_is_bounded_for_the_builder_and_whole_in_the_notebook(builder: Builder, repo: Repo) -> None:
    repo.write(
        {
            "flood.ipynb": notebook(
                "for number in range(200_000):\n    print('line', number, 'x' * 60)",
                "import sys\nsys.stdout.write('y' * 30_000_000)\nNone",
                "for done in range(101):\n    print(f'\\r{done} %', end='', flush=True)\nprint()\nprint('the end')",
            ),
        }
    )
    found = watched(builder, NB_NOTEBOOKS="*.ipynb")
    done = found.done
    assert done.code == 0, done.output[-3000:]
    assert MIN_MEMORY < found.memory < MAX_MEMORY
    lines = done.output.split("\n")
    assert max(len(line) for line in lines) < MAX_LINE
    assert len(done.output) < 25 * 2**20
    assert "flood  | line 0 " in done.output
    assert re.search(r"^flood  [\d.]+ (MB|bytes) of output are not shown here", done.output, re.MULTILINE)
    assert [line for line in lines if line.startswith("flood  | 100 %")]
    assert not [line for line in lines if line.startswith("flood  | 99 %")]
    assert lines.index("flood  | the end") < lines.index(
        next(x for x in lines if x.startswith("flood  GREEN"))
    )
    executed = done.published("flood")["flood.ipynb"]
    assert b"line 199999 " in executed
    assert len(executed) > 40_000_000
    assert len(done.published("flood")["run.log"]) < 25 * 2**20

    assert not [char for char in done.output if ord(char) < 32 and char not in "\n\t"]
    assert [line for line in lines if line.startswith("verdict:")] == [
        "verdict: GREEN, 1 of 1 notebooks green (exit code 0)"
    ]
