"""SIGTERM while a VM runs: until the builder asks for its deletion, and until the builder is gone."""

from __future__ import annotations

import signal
import statistics
import time
from functools import partial

from tests.bench import ROUNDS, tell
from tests.e2e.builder_process import Builder, Repo, notebook, until
from tests.patience import PATIENCE

_DELETE = "compute.instances.delete"


def sigterm(builder: Builder, repo: Repo) -> None:
    """The goals are promises: docs/reliability.md."""
    repo.write({"demo.ipynb": notebook("import time; time.sleep(600)")})
    asked, gone = [], []
    for _ in range(ROUNDS):
        before = _deletes(builder)
        process, _ = builder.start(NB_NOTEBOOKS="demo.ipynb")
        assert process.stdout is not None
        assert any(" runs in " in line for line in process.stdout)
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        until(partial(_asked, builder, before), "a delete", PATIENCE)
        asked.append(time.monotonic() - started)
        process.communicate(timeout=PATIENCE)
        gone.append(time.monotonic() - started)
        assert process.returncode == signal.SIGTERM + 128
    tell("SIGTERM to the VM's delete", statistics.median(asked), "s", slowest=round(max(asked), 3), goal=2.0)
    tell("SIGTERM to the builder's end", statistics.median(gone), "s", slowest=round(max(gone), 3), goal=8.0)


def _deletes(builder: Builder) -> int:
    return int(builder.cloud.inventory()["calls"].get(_DELETE, 0))


def _asked(builder: Builder, before: int) -> bool:
    return _deletes(builder) > before
