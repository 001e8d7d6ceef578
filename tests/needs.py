"""Programs of the machine that some tests need beside the virtual environment: `@pytest.mark.needs("chromium")`.

`make test` leaves such tests out. `make test-all` runs those whose programs are there, and names the others in one line
at its end.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pytest

from tests.patience import PATIENCE

SKIPPED = "this machine lacks: "
DOCKER = os.environ.get("DOCKER", "docker")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@dataclass(frozen=True)
class Need:
    """Something of the machine: its name in a sentence, how to get it, and a look whether it is there."""

    name: str
    advice: str
    is_there: Callable[[], bool]


def succeeds(*command: str) -> bool:
    """Return whether the command can be run and ends with 0."""
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


NEEDS = {
    "chromium": Need("Chromium", "apt-get install chromium", lambda: CHROMIUM is not None),
    "engine": Need(
        "a Docker engine",
        "docker/engine.sh start, as root",
        lambda: succeeds(DOCKER, "version", "--format", "{{.Server.Version}}"),
    ),
    "gcloud": Need("gcloud", "the Google Cloud CLI's package", lambda: shutil.which("gcloud") is not None),
    "qemu": Need(
        "QEMU, debootstrap and root",
        "apt-get install qemu-system-x86 debootstrap, as root",
        lambda: os.geteuid() == 0 and all(map(shutil.which, ("qemu-system-x86_64", "debootstrap", "mke2fs"))),
    ),
    "root": Need("root", "run as root", lambda: os.geteuid() == 0),
    "namespaces": Need(
        "user namespaces",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or run as root",
        lambda: succeeds("unshare", "--map-root-user", "--net", "--mount", "true"),
    ),
}


@functools.cache
def is_there(need: str) -> bool:
    """Return whether this machine has what `need` names; KeyError for an unknown name."""
    return NEEDS[need].is_there()


def count_skipped(reports: Iterable[pytest.TestReport]) -> Counter[str]:
    """Return how many of the skipped tests lacked each need."""
    reasons = [str(report.longrepr[2]) for report in reports if isinstance(report.longrepr, tuple)]
    return Counter(reason.rpartition(SKIPPED)[2] for reason in reasons if SKIPPED in reason)


def sentence(missing: Mapping[str, int]) -> str:
    """Return one line about the tests that were not run, by what they need; `missing` counts the tests of each need."""
    parts = [
        f"{count} need {NEEDS[name].name} ({NEEDS[name].advice})" for name, count in sorted(missing.items())
    ]
    return f"Not run on this machine: {'; '.join(parts)}."
