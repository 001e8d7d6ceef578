"""Runs on a real Debian with Google's own guest agent: startup script, runner, kernel, preemption, shutdown.

Software emulation is about ten times slower than a VM: a run takes two to five minutes here, most of it the boot.
"""

from __future__ import annotations

import pytest

from tests.e2e.builder_process import Builder, Finished, notebook
from tests.machine.conftest import Start

pytestmark = [pytest.mark.needs("qemu"), pytest.mark.timeout(1800)]

WORK = """
import os, pathlib, sys, typing_extensions
pathlib.Path("outputs/facts.txt").write_text(f"{os.getuid()} {sys.version_info[1]} {sys.executable} {typing_extensions.__file__}")
"""
REACHED = "cell 2 has begun"
# The serial port is the machine's, and a real notebook is root.
HANG = f"""
import time
open("/dev/ttyS0", "w").write("{REACHED}\\n")
time.sleep(3600)
"""
SHUT_DOWN = "import subprocess, time\nsubprocess.run(['shutdown', '-h', 'now'])\ntime.sleep(3600)"


def run(builder: Builder, **options: str) -> Finished:
    """Run the notebook once, with a boot limit for emulation."""
    options = {
        "NB_NOTEBOOKS": "demo.ipynb",
        "NB_IMAGE_PROJECT": "debian-cloud",
        "NB_IMAGE_FAMILY": "debian-12",
        "NB_BOOT_TIMEOUT": "1200",
        "NB_MAX_ATTEMPTS": "1",
        **options,
    }
    return builder.run(**options)


@pytest.mark.parametrize(("suite", "python"), [("bookworm", "11"), ("trixie", "13")])
def test_green(builder_on: Start, suite: str, python: str) -> None:
    """The system's Python and packages, as root. Debian 12's typing-extensions is too old for the kernel (R1)."""
    builder = builder_on(suite, {"demo.ipynb": notebook(WORK)})
    done = run(builder)
    assert done.code == 0, done.output
    facts = done.published("demo")["outputs/facts.txt"].decode().split()
    assert facts[:3] == ["0", python, "/usr/bin/python3"]
    too_old = "typing-extensions of the kit (" in done.output
    assert too_old == (suite == "bookworm")
    assert facts[3].startswith("/usr/lib/python3/dist-packages/") != too_old
    assert [name for name in builder.left() if name.startswith("nb-")] == []


def test_preempted_while_a_cell_runs(builder_on: Start) -> None:
    """R8: only the metadata server says so in time. What was written until then is in the bucket."""
    at_cell_2 = {"method": "vm.life", "action": "preempt", "args": {"at": REACHED, "notice": 120}}
    builder = builder_on("bookworm", {"demo.ipynb": notebook(WORK, HANG)}, at_cell_2)
    done = run(builder, NB_PROVISIONING="spot")
    assert done.code == 6, done.output
    assert done.job("demo")["reason"] == "preempted"
    published = done.published("demo")
    assert published["outputs/facts.txt"].startswith(b"0 11 ")
    assert REACHED.encode() in published["demo.ipynb"]


def test_notebook_that_shuts_its_machine_down(builder_on: Start) -> None:
    builder = builder_on("bookworm", {"demo.ipynb": notebook(SHUT_DOWN)})
    done = run(builder)
    assert done.code == 6, done.output
    assert done.job("demo")["reason"] == "vm_lost"
    assert "is TERMINATED and left no evidence" in done.output
    assert [name for name in builder.left() if name.startswith("nb-")] == []
