"""The environment of its own that the function runs in: localcloud's, so that `make venv` builds it once for both."""

from __future__ import annotations

from pathlib import Path

from localcloud.functions.environments import Environments

ROOT = Path(__file__).resolve().parents[2]


def python() -> Path:
    """Its interpreter; the packages of function/requirements.txt are installed when it is asked for first."""
    return Environments().python((ROOT / "function" / "requirements.txt").read_text())
