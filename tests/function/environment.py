"""The environment of its own that the function runs in: what function/requirements.txt names, and nothing of this checkout."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_REQUIREMENTS = ROOT / "function" / "requirements.txt"


def python() -> Path:
    """Its interpreter; built when it is asked for the first time, once per content of the requirements."""
    version = "{}{}".format(*sys.version_info)
    digest = hashlib.sha256(_REQUIREMENTS.read_bytes() + version.encode()).hexdigest()[:16]
    folder = ROOT / "build" / "function-tests" / digest
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            _build(folder / "venv")
            (folder / "ready").touch()
    return folder / "venv" / "bin" / "python"


def _build(venv: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", venv], check=True)
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", venv / "bin" / "python"]
    wanted = ["install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps"]
    subprocess.run([*pip, *wanted, "--requirement", _REQUIREMENTS], check=True)
    subprocess.run([venv / "bin" / "python", "-m", "compileall", "-q", venv / "lib"], check=False)
