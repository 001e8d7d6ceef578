"""A cloud of submit's own runs all builds with one runner, also those that steps start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE

_NOTED = """
import sys

import localcloud.__main__ as command_line


class Noted(command_line.Cloud):
    def __init__(self, state, **how):
        sys.stdout.write(f"runner {how['runner']}\\n")
        super().__init__(state, **how)


command_line.Cloud = Noted
sys.exit(command_line.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("flags", "runner"), [((), "process"), (("--runner", "docker"), "docker")], ids=["process", "docker"]
)
def test_the_runner_asked_for_is_the_cloud_s(tmp_path: Path, flags: tuple[str, ...], runner: str) -> None:
    environment = {**os.environ, "DOCKER": "false"}  # no engine: the build fails at once
    environment.pop("LOCALCLOUD_URL", None)
    (tmp_path / "cloudbuild.yaml").write_text("steps: [{name: ubuntu, args: ['true']}]\n")
    done = subprocess.run(
        [sys.executable, "-c", _NOTED, "submit", *flags, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert f"runner {runner}\n" in done.stdout
    assert "run unsandboxed, with your user's rights" in done.stderr
    assert done.returncode == (runner == "docker")
