"""Rules of the shell scripts that shellcheck, in `make lint`, does not have."""

from __future__ import annotations

import re

from tests.gcloud_commands import ROOT

FOLDERS = ("builder", "docker", "docs", "requirements", "setup", "tests/machine")
EVALUATES = re.compile(r"(?:^|[\s;&|({])eval\s")


def test_no_script_evaluates_text() -> None:
    """Text that becomes a command is how a name or a value could run a program."""
    scripts = [ROOT / ".ci/run", *(script for folder in FOLDERS for script in (ROOT / folder).rglob("*.sh"))]
    assert len(scripts) > 10
    found = [
        f"{script.relative_to(ROOT)}:{number}"
        for script in scripts
        for number, line in enumerate(script.read_text(encoding="utf-8").splitlines(), 1)
        if EVALUATES.search(line.partition(" #")[0])
    ]
    assert found == []
    assert EVALUATES.search('  eval "$1"')
