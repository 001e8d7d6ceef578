"""The function's environment. It is localcloud's, so that `make venv` builds it once for both."""

from __future__ import annotations

from pathlib import Path

from localcloud.engines.function.environments import Environments

ROOT = Path(__file__).resolve().parents[2]


def python() -> Path:
    """The interpreter of the environment. The first call installs the packages of function/requirements.txt."""
    return Environments().python((ROOT / "function" / "requirements.txt").read_text())
