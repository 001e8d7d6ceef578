"""`make report`: the report of a build on localcloud opens, also if the build is red; `submit` prints its address."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = "build/report/storage/bucket/notebooks/results/run-1/index.html"


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("code", [0, 1])
def test_the_report_is_opened(tmp_path: Path, code: int) -> None:
    shutil.copyfile(ROOT / "Makefile", tmp_path / "Makefile")
    script(tmp_path / "python", f'mkdir -p "$(dirname {PAGE})"; echo "$@" > asked; touch {PAGE}; exit {code}')
    script(tmp_path / "bin/xdg-open", 'echo "$1" > opened')
    made = subprocess.run(
        ["make", "report", "--old-file=venv", f"PY={tmp_path}/python"],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (made.returncode == 0) is (code == 0), made.stderr
    assert (tmp_path / "opened").read_text() == f"{tmp_path}/{PAGE}\n"
    assert (
        tmp_path / "asked"
    ).read_text() == "-m localcloud submit --state build/report examples/bike-share\n"


def test_without_a_report_nothing_is_opened(tmp_path: Path) -> None:
    shutil.copyfile(ROOT / "Makefile", tmp_path / "Makefile")
    script(tmp_path / "python", "exit 2")
    script(tmp_path / "bin/xdg-open", 'echo "$1" > opened')
    made = subprocess.run(
        ["make", "report", "--old-file=venv", f"PY={tmp_path}/python"],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 2
    assert not (tmp_path / "opened").exists()
