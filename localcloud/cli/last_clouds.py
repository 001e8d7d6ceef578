"""The state directories of the last clouds that `submit` started, so that reports stay after the command."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from localcloud.core.state_folder import IN_USE, StateInUse, locked

MAX_KEPT = 3  # directories that stay
FOLDER = Path(__file__).resolve().parents[2] / "build" / "submit"
_CLOUD = "lock"  # of a Cloud that works in the directory


@contextlib.contextmanager
def directory(folder: Path = FOLDER) -> Iterator[Path]:
    """Yield a new directory, which only this user can read. It stays until `MAX_KEPT` later ones exist.

    Directories that another process works in are not removed. Raises OSError.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix=f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}-", dir=folder))
    with locked(path / IN_USE):
        _remove_old(folder, path)
        yield path


def _remove_old(folder: Path, own: Path) -> None:
    """Remove all but the newest directories. Their names begin with the time."""
    for old in sorted(folder.iterdir(), reverse=True)[MAX_KEPT:]:
        if old == own:
            continue
        with contextlib.suppress(StateInUse, OSError), locked(old / IN_USE), locked(old / _CLOUD):
            shutil.rmtree(old, ignore_errors=True)


def tell(state: Path, since: float, *, given: bool) -> None:
    """Print the reports in this state that were written after `since`, and how long the state stays.

    `given`: the user has named the directory.
    """
    pages = [
        page for page in (state / "storage").rglob("results/*/index.html") if page.stat().st_mtime >= since
    ]
    for page in sorted(pages):
        sys.stderr.write(f"Report: {page.resolve().as_uri()}\n")
    until = "" if given else f" `submit` keeps the last {MAX_KEPT}; --state DIR keeps one for longer."
    sys.stderr.write(f"The state of this cloud stays in {state.resolve()}.{until}\n")
    sys.stderr.flush()
