"""The bqemulator process, which the first call starts and localcloud's end ends, and the requests to it."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import urllib3

from localcloud.core.errors import ApiError, unimplemented
from localcloud.core.private_socket import PrivatePool
from localcloud.core.service import Json
from localcloud.engines.supervisor import OwnedProcess

ENVIRONMENT = Path(sys.prefix) / "bigquery"
_LAUNCHER = "localcloud.engines.bigquery.launcher"
_ANALYSIS = "/localcloud/analysis"
_ROOT = Path(__file__).resolve().parents[3]
_START_LIMIT = 60.0
_LIMITS = urllib3.Timeout(connect=5, read=600)
_SOCKET = "http"  # as in launcher.py, which is imported only in an environment of its own
_READY = re.compile(rb"^ready\n", re.MULTILINE)


class Emulator:
    """One emulator, not yet started, and started again after its end. Its data is in memory and ends with it."""

    def __init__(self, folder: Path) -> None:
        """`folder` gets its log and its temporary files, and is made at its start."""
        self._folder = folder
        self._lock = threading.Lock()
        self._process: OwnedProcess | None = None
        self._closed = False
        self._pool = PrivatePool(folder / _SOCKET, size=16)

    def close(self) -> None:
        """End the process, and start no other."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.__exit__()
                self._process = None
        self._pool.close()

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, Json]:
        """Pass a request on (path with query) and return status and JSON; `ApiError` 501 or 503 without an emulator."""
        self._run()
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            answer = self._pool.request(method, path, body=body or None, headers=headers, timeout=_LIMITS)
            content: Any = json.loads(answer.data or b"{}")
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise self._broken(repr(error)) from error
        return answer.status, content if isinstance(content, dict) else {}

    def analyse(self, query: str, project: str, dataset: tuple[str, str] | None) -> Json:
        """The tables that a query reads and writes, and its faults; see analysis.py."""
        asked = {"query": query, "project": project, "dataset": dataset}
        status, found = self.ask("POST", _ANALYSIS, json.dumps(asked).encode())
        if "reads" not in found:
            raise self._broken(f"{status} for the analysis of a query")
        return found

    def _run(self) -> None:
        with self._lock:
            if self._closed:
                raise self._broken("localcloud is ending")
            if self._process is not None and _has_ended(self._process):
                self._process.__exit__()
                self._process = None
            if self._process is None:
                self._process = self._start()

    def _start(self) -> OwnedProcess:
        python = ENVIRONMENT / "bin" / "python"
        if not python.exists():
            raise unimplemented(
                f"localcloud's BigQuery is not installed ({python} is missing): run `make venv`."
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        with self._log.open("ab") as log:
            process = OwnedProcess.start(
                [str(python), "-m", _LAUNCHER, str(self._folder)],
                # Without the user's settings, which can come from variables and from a file in the working directory.
                env={"PATH": os.defpath, "PYTHONPATH": str(_ROOT), "HOME": str(self._folder)},
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        if not _is_ready(process):
            process.__exit__()
            raise self._broken("it did not start")
        return process

    @property
    def _log(self) -> Path:
        return self._folder / "emulator.log"

    def _broken(self, what: str) -> ApiError:
        message = (
            f"localcloud's BigQuery emulator did not do its part: {what}; its messages are in {self._log}"
        )
        return ApiError(503, "backendError", message)


def _has_ended(process: OwnedProcess) -> bool:
    try:
        process.wait(0)
    except TimeoutError:
        return False
    return True


def _is_ready(process: OwnedProcess) -> bool:
    """Return True once the emulator says so; False if it ends first or takes too long."""
    assert process.stdout is not None  # noqa: S101  it was given a pipe
    limit = time.monotonic() + _START_LIMIT
    said = b""
    while True:
        if _READY.search(said):
            return True
        readable, _, _ = select.select([process.stdout], [], [], max(0, limit - time.monotonic()))
        more = os.read(process.stdout.fileno(), 65536) if readable else b""
        if not more:
            return False
        said += more
