"""One instance of a revision: functions-framework in a process of its own, from the unpacked source and nothing else."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from localcloud.listener import HOST
from localcloud.machine.supervisor import OwnedProcess
from localcloud.run.revision import Revision

# Google's containers have four minutes; whoever waits here sits at the machine.
_START_SECONDS = 60.0
_GLANCE_SECONDS = 0.01
_LAST_BYTES = 2000


class StartFailed(Exception):
    """An instance does not listen on its port; str() is what it last printed."""


class Instance:
    """A running instance that listens on `port` of this machine. `close` ends it with all its descendants."""

    def __init__(self, process: OwnedProcess, port: int) -> None:
        self.port = port
        self._process = process

    @classmethod
    def start(cls, revision: Revision, identity: Mapping[str, str], ending: threading.Event) -> Instance:
        """Start one, with the variables that lead to its account's metadata server; raises `StartFailed`.

        `ending` ends the wait until it listens, too.
        """
        python, port = revision.python(), _free_port()
        before = revision.log.stat().st_size if revision.log.exists() else 0
        revision.home.mkdir(exist_ok=True)
        with revision.log.open("ab") as log:
            process = OwnedProcess.start(
                _command(revision, python, port),
                env=_environment(revision, identity, python, port),
                cwd=revision.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        instance = cls(process, port)
        try:
            instance._await_listening(ending)
        except TimeoutError:
            instance.close()
            raise StartFailed(_last_words(revision.log, before)) from None
        return instance

    @property
    def alive(self) -> bool:
        """Whether its process still runs."""
        return not self.ends_within(0)

    def ends_within(self, seconds: float) -> bool:
        """Wait so long at the most for its process to end by itself; say whether it has."""
        try:
            self._process.wait(seconds)
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """End it; returns when it is gone."""
        self._process.kill()

    def _await_listening(self, ending: threading.Event) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while self.alive and time.monotonic() < deadline and not ending.is_set():
            try:
                socket.create_connection((HOST, self.port), timeout=1).close()
            except OSError:
                time.sleep(_GLANCE_SECONDS)
            else:
                return
        raise TimeoutError


def _command(revision: Revision, python: Path, port: int) -> list[str]:
    options = {
        "--target": revision.target,
        "--signature-type": revision.signature,
        "--host": HOST,
        "--port": str(port),
    }
    return [
        str(python),
        "-m",
        "functions_framework",
        *(part for option in options.items() for part in option),
    ]


def _environment(revision: Revision, identity: Mapping[str, str], python: Path, port: int) -> dict[str, str]:
    """Return the whole environment. What the function brings comes before what the platform sets."""
    service = revision.service.rpartition("/")[2]
    return {
        "PATH": f"{python.parent}{os.pathsep}{os.defpath}",
        "HOME": str(revision.home),
        # Where gunicorn puts a socket; a path of the state directory may be too long for one, and this is the source folder.
        "XDG_RUNTIME_DIR": "/proc/self/cwd",
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
        **revision.variables,
        "PORT": str(port),
        "K_SERVICE": service,
        "K_REVISION": revision.name,
        "K_CONFIGURATION": service,
        "FUNCTION_TARGET": revision.target,
        "FUNCTION_SIGNATURE_TYPE": revision.signature,
        **identity,
    }


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as bound:
        port: int = bound.getsockname()[1]
    return port


def _last_words(log: Path, since: int) -> str:
    with log.open("rb") as file:
        file.seek(since)
        return file.read()[-_LAST_BYTES:].decode(errors="replace").strip()
