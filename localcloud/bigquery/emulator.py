"""The bqemulator process: started by the first call that needs it, ended with localcloud; and the requests made to it."""

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

from localcloud.errors import ApiError, unimplemented
from localcloud.machine.supervisor import OwnedProcess
from localcloud.service import Json

ENVIRONMENT = Path(sys.prefix) / "bigquery"
_LAUNCHER = "localcloud.bigquery.launcher"
_ANALYSIS = "/localcloud/analysis"
_ROOT = Path(__file__).resolve().parents[2]
_START_LIMIT = 60.0
_QUERY_LIMIT = 600.0
_READY = re.compile(rb"^ready (\d+)\n", re.MULTILINE)


class Emulator:
    """One emulator, not yet started. What it holds is in its memory, and gone with it."""

    def __init__(self, folder: Path) -> None:
        """`folder` takes its log and its temporary files; made when it starts."""
        self._folder = folder
        self._lock = threading.Lock()
        self._process: OwnedProcess | None = None
        self._url = ""
        self._closed = False
        self._pool = urllib3.PoolManager(
            maxsize=16, retries=False, timeout=urllib3.Timeout(connect=5, read=_QUERY_LIMIT)
        )

    def close(self) -> None:
        """End the process, and start none any more."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.__exit__()
                self._process = None
        self._pool.clear()

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, Json]:
        """Pass a request on (path with query) and return status and JSON; `ApiError` 501 or 503 without an emulator."""
        url = self._running() + path
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            answer = self._pool.request(method, url, body=body or None, headers=headers)
            content: Any = json.loads(answer.data or b"{}")
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise self._broken(repr(error)) from error
        return answer.status, content if isinstance(content, dict) else {}

    def analyse(self, query: str, project: str, dataset: tuple[str, str] | None) -> Json:
        """What a query reads and writes and what is wrong with it; see analysis.py."""
        asked = {"query": query, "project": project, "dataset": dataset}
        status, found = self.ask("POST", _ANALYSIS, json.dumps(asked).encode())
        if "reads" not in found:
            raise self._broken(f"{status} for the analysis of a query")
        return found

    def _running(self) -> str:
        with self._lock:
            if self._closed:
                raise self._broken("localcloud is ending")
            if self._process is None:
                self._process, self._url = self._start()
            return self._url

    def _start(self) -> tuple[OwnedProcess, str]:
        python = ENVIRONMENT / "bin" / "python"
        if not python.exists():
            raise unimplemented(
                f"localcloud's BigQuery is not installed ({python} is missing): run `make venv`."
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            process = OwnedProcess.start(
                [str(python), "-m", _LAUNCHER, str(self._folder)],
                # Nothing of the user's own: its settings can come from variables and from a file in the working directory.
                env={"PATH": os.defpath, "PYTHONPATH": str(_ROOT), "HOME": str(self._folder)},
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        port = _port(process)
        if port is None:
            process.__exit__()
            raise self._broken("it did not start")
        return process, f"http://127.0.0.1:{port}"

    @property
    def _log(self) -> Path:
        return self._folder / "emulator.log"

    def _broken(self, what: str) -> ApiError:
        message = (
            f"localcloud's BigQuery emulator did not do its part: {what}; its messages are in {self._log}"
        )
        return ApiError(503, "backendError", message)


def _port(process: OwnedProcess) -> int | None:
    """Wait until the emulator tells its port; None when it ends first, or takes too long."""
    assert process.stdout is not None  # noqa: S101  it was given a pipe
    limit = time.monotonic() + _START_LIMIT
    said = b""
    while True:
        found = _READY.search(said)
        if found is not None:
            return int(found[1])
        readable, _, _ = select.select([process.stdout], [], [], max(0, limit - time.monotonic()))
        more = os.read(process.stdout.fileno(), 65536) if readable else b""
        if not more:
            return None
        said += more
