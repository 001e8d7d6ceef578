"""A temporary directory: a small process removes it after the owner's end, even if the owner is killed."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# If the owner was killed, its servers and VMs are still ending, and may write.
_TRIES = 50
_PAUSE_SECONDS = 0.1


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    """Yield a new directory, and remove it afterwards."""
    path = Path(tempfile.mkdtemp(prefix="localcloud-"))
    leash = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with leash:  # closes the pipe, which is the signal, and waits
        yield path


def _remove(path: Path) -> None:
    for _ in range(_TRIES):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
        time.sleep(_PAUSE_SECONDS)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    _remove(Path(sys.argv[1]))
