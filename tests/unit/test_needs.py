"""Tests the requirements of `make venv`: one sentence names each thing that is missing, and nothing is made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("sh", "make", "git")
OLD = "import platform, sys; sys.version_info = (3, 10, 12); platform.python_version = lambda: '3.10.12'"
OTHER = "import platform; platform.machine = lambda: 'aarch64'"
WITHOUT_VENV = "import sys; sys.modules['ensurepip'] = None"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder of programs, the whole PATH of a bare machine, beside a checkout whose path has a space."""
    checkout = tmp_path / "a checkout"
    shutil.copytree(ROOT / "requirements", checkout / "requirements")
    shutil.copyfile(ROOT / "Makefile", checkout / "Makefile")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in PROGRAMS:
        (programs / name).symlink_to(shutil.which(name) or name)
    return programs


def python(machine: Path, before: str = "pass") -> None:
    """A python3 that first does something to itself."""
    file = machine / "python3"
    file.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -c "{before}; exec(__import__(\'sys\').argv[2])" "$@"\n'
    )
    file.chmod(0o755)


def make(machine: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        [machine / "make", *arguments],
        cwd=machine.parent / "a checkout",
        env={**environment, "PATH": str(machine)},
        capture_output=True,
        text=True,
        check=False,
    )


def sentence(machine: Path) -> str:
    """Return the message of `make venv` before make's own last line."""
    done = make(machine, "venv")
    assert done.returncode == 2
    assert done.stdout == ""
    assert not (machine.parent / "a checkout" / ".venv").exists()
    *said, last = done.stderr.splitlines()
    assert last.startswith("make: *** ")
    assert len(said) == 1
    return said[0]


def test_a_missing_python_is_reported(machine: Path) -> None:
    assert sentence(machine).startswith(
        "notebook-builder needs Python 3.11 or newer, and there is no python3 here (Debian, Ubuntu: apt-get install"
    )


def test_a_named_python_that_is_missing_is_reported(machine: Path) -> None:
    python(machine)
    done = make(machine, "venv", "PYTHON=/opt/some where/python3.13")
    assert "there is no /opt/some where/python3.13 here" in done.stderr


@pytest.mark.parametrize(
    ("before", "told"),
    [(OLD, "is Python 3.10.12 on Linux x86_64"), (OTHER, "on Linux aarch64")],
    ids=["old", "other-processor"],
)
def test_an_unsuitable_python_is_reported(machine: Path, before: str, told: str) -> None:
    python(machine, before)
    said = sentence(machine)
    assert said.startswith("notebook-builder needs Python 3.11 or newer on Linux x86-64; ")
    assert told in said


def test_a_python_without_venv_is_reported(machine: Path) -> None:
    python(machine, WITHOUT_VENV)
    assert sentence(machine) == (
        "notebook-builder needs the venv module of Python (Debian, Ubuntu: apt-get install python3-venv)"
    )


def test_a_missing_git_is_reported(machine: Path) -> None:
    python(machine)
    (machine / "git").unlink()
    assert sentence(machine) == "notebook-builder needs git (Debian, Ubuntu: apt-get install git)"


def test_a_machine_with_all_of_it_will_do(machine: Path) -> None:
    python(machine)
    done = subprocess.run(
        [ROOT / "requirements" / "needs.sh", "python3"],
        env={"PATH": str(machine)},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
