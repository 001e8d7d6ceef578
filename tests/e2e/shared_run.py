"""A run with many notebooks, done once and looked at by many tests, whichever worker each of them lands on."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from localcloud.profile import GRANTS
from tests.e2e.builder_process import Finished
from tests.granting import UNDEPLOYED

RUNNER = "builder-of-runs"
# What the account of shared runs may do: what `builder` may, but for the role that only `check` needs.
FRUGAL = tuple(
    replace(grant, account=RUNNER)
    for grant in (*GRANTS, *UNDEPLOYED)
    if grant.account == "notebook-builder" and grant.role != "roles/storage.bucketViewer"
)


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[], Finished]) -> Finished:
    """Return what `make` returns in the first worker that asks; the others wait for it and read it."""
    folder = common_folder(factory)
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = folder / f"{name}.json"
        if not kept.exists():
            made = asdict(make())
            kept.write_text(json.dumps({**made, "bucket": str(made["bucket"])}))
        known = json.loads(kept.read_text())
    return Finished(**{**known, "bucket": Path(known["bucket"])})


def common_folder(factory: pytest.TempPathFactory) -> Path:
    """Return a folder of this session that all its workers see."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
