"""One instance of a revision: functions-framework in a process of its own, from the unpacked source.

It listens on a Unix socket in its home folder, not on a port, because it does not check who calls.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from localcloud.core.private_socket import connect
from localcloud.engines.function.revision import Revision
from localcloud.engines.supervisor import OwnedProcess

# Google's containers have four minutes; here a user waits.
_START_SECONDS = 60.0
_GLANCE_SECONDS = 0.01
_LAST_BYTES = 2000
# functions-framework joins its host and its port to gunicorn's address, which may be that of a Unix socket. So the
# port is a number of the instance.
_NUMBERS = itertools.count(8080)
_SOCKET = "http"


class StartFailed(Exception):
    """An instance does not listen on its port; str() is its last output."""


class Instance:
    """A running instance that listens on `socket`. `close` ends it with all its descendants."""

    def __init__(self, process: OwnedProcess, socket: Path) -> None:
        self.socket = socket
        self._process = process

    @classmethod
    def start(cls, revision: Revision, identity: Mapping[str, str], ending: threading.Event) -> Instance:
        """Start one, with the variables that lead to its account's metadata server; raises `StartFailed`.

        `ending` ends the wait until it listens, too.
        """
        python, number = revision.python(), next(_NUMBERS)
        before = revision.log.stat().st_size if revision.log.exists() else 0
        revision.home.mkdir(mode=0o700, exist_ok=True)
        with revision.log.open("ab") as log:
            process = OwnedProcess.start(
                _command(revision, python, number),
                env=_environment(revision, identity, python, number),
                cwd=revision.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        instance = cls(process, revision.home / f"{_SOCKET}:{number}")
        try:
            instance._await_listening(ending)
        except TimeoutError:
            instance.close()
            raise StartFailed(_last_lines(revision.log, before)) from None
        return instance

    @property
    def alive(self) -> bool:
        """True while its process runs."""
        return not self.ends_within(0)

    def ends_within(self, seconds: float) -> bool:
        """Wait at most so many seconds for its process to end by itself; True if it has."""
        try:
            self._process.wait(seconds)
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """End it; returns once it is gone."""
        self._process.kill()

    def _await_listening(self, ending: threading.Event) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while self.alive and time.monotonic() < deadline and not ending.is_set():
            try:
                connect(self.socket, 1).close()
            except OSError:
                time.sleep(_GLANCE_SECONDS)
            else:
                return
        raise TimeoutError


def _command(revision: Revision, python: Path, number: int) -> list[str]:
    home = os.path.relpath(revision.home, revision.folder)
    options = {
        "--target": revision.target,
        "--signature-type": revision.signature,
        "--host": f"unix:{home}/{_SOCKET}",
        "--port": str(number),
    }
    return [
        str(python),
        "-m",
        "functions_framework",
        *(part for option in options.items() for part in option),
    ]


def _environment(
    revision: Revision, identity: Mapping[str, str], python: Path, number: int
) -> dict[str, str]:
    """Return the whole environment. The function's variables come before the platform's."""
    service = revision.service.rpartition("/")[2]
    return {
        "PATH": f"{python.parent}{os.pathsep}{os.defpath}",
        "HOME": str(revision.home),
        # Where gunicorn puts a socket; a path of the state directory may be too long for one, and this is the source
        # folder.
        "XDG_RUNTIME_DIR": "/proc/self/cwd",
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
        **revision.variables,
        "PORT": str(number),
        "K_SERVICE": service,
        "K_REVISION": revision.name,
        "K_CONFIGURATION": service,
        "FUNCTION_TARGET": revision.target,
        "FUNCTION_SIGNATURE_TYPE": revision.signature,
        **identity,
    }


def _last_lines(log: Path, since: int) -> str:
    with log.open("rb") as file:
        file.seek(since)
        return file.read()[-_LAST_BYTES:].decode(errors="replace").strip()
