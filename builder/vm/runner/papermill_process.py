"""papermill's own process: its command line, with an engine that reports cells and output to the runner.

It starts early, loads papermill while the workspace is fetched, and waits for its request on a pipe.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import signal
import sys
import traceback
import types
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import papermill.cli
import papermill.execute
import yaml
from jupyter_client.kernelspec import NoSuchKernel
from nbclient.exceptions import CellTimeoutError
from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.iorw import LocalHandler, papermill_io
from traitlets.config import Config

from .cell_progress import Progress
from .kernel_client import Client
from .reports import Reports

ENGINE = "notebook-builder"
# nbclient's timeout for the rest of a cell's output after the cell's reply. Its default of 4 s ends notebooks that
# print a lot.
OUTPUT_SECONDS = 600


def make_engine(send: Reports, request: dict[str, Any]) -> type[NBClientEngine]:
    """Return papermill's own engine, with the client and the callbacks above."""

    class Engine(NBClientEngine):  # type: ignore[misc]  # papermill is untyped
        """The engine registered as `notebook-builder`."""

        @classmethod
        def execute_managed_notebook(
            cls, nb_man: NotebookExecutionManager, kernel_name: str, **kwargs: Any
        ) -> Any:
            # Users see the names of their own notebook, not of our working files.
            nb_man.nb.metadata.papermill["input_path"] = request["notebook"]
            nb_man.nb.metadata.papermill["output_path"] = request["name"] + ".ipynb"
            progress = Progress(nb_man, send, request)
            _save_on_sigterm(nb_man)
            client = Client(
                nb_man,
                send=send,
                progress=progress,
                kernel_name=kernel_name,
                timeout=kwargs.get("execution_timeout"),
                startup_timeout=kwargs.get("start_timeout", 60),
                iopub_timeout=OUTPUT_SECONDS,
                log=logging.getLogger("papermill"),
                log_output=True,
                config=_connection(request),
            )
            return client.execute(env={**os.environ, **request["secrets"]})

    return Engine


def _connection(request: dict[str, Any]) -> Config:
    """Return the connection to the kernel: for Python, sockets with a unique name.

    Jupyter picks free TCP ports, which another process can take before the kernel starts. Kernels of other languages
    can lack support for anything else.
    """
    if request["language"] != "python":
        return Config()
    # The @ makes it a name in Linux's abstract namespace: there is no file, and no path that could be too long.
    return Config(
        {"ConnectionFileMixin": {"transport": "ipc", "ip": f"@notebook-builder-{uuid.uuid4().hex}"}}
    )


def _save_on_sigterm(manager: NotebookExecutionManager) -> None:
    """Save the notebook in its current state when the runner ends this process at a limit."""

    def save(signum: int, _frame: object) -> None:
        with contextlib.suppress(Exception):
            manager.save()
        os._exit(128 + signum)

    signal.signal(signal.SIGTERM, save)


class WholeFiles(LocalHandler):  # type: ignore[misc]  # papermill is untyped
    """Writes a notebook to a new file and renames it, so that a full disk or a kill leaves the last complete one."""

    def write(self, buf: str, path: str) -> None:
        """Replaces papermill's method, which truncates the file first."""
        target = Path(self._cwd or ".", path)
        fresh = target.with_name(target.name + ".new")
        try:
            fresh.write_text(buf, encoding="utf-8")
        except OSError:
            fresh.unlink(missing_ok=True)
            raise
        fresh.replace(target)


def forgive_tagged_errors(judge: Callable[[Any, str], None]) -> Callable[[Any, str], None]:
    """Return papermill's check for error outputs, without cells tagged `raises-exception`.

    nbclient and Jupyter let such a cell raise. papermill 2.7 continues after it, and fails at the end.
    """

    def check(notebook: Any, output_path: str) -> None:
        tagged = [
            c for c in notebook.cells if "raises-exception" in c.metadata.get("tags", []) and "outputs" in c
        ]
        outputs = [cell.outputs for cell in tagged]
        for cell in tagged:
            cell.outputs = []
        try:
            judge(notebook, output_path)
        except PapermillExecutionError:
            for cell, kept in zip(tagged, outputs, strict=True):
                cell.outputs = kept
            papermill.execute.write_ipynb(notebook, output_path)
            raise
        for cell, kept in zip(tagged, outputs, strict=True):
            cell.outputs = kept

    return check


# The builder has checked the names. papermill's inference misses lines with a second `=`, and passes all parameters.
_INFERENCE = ("Passed unknown parameter", "Unable to parse line")


class _Warnings(logging.Handler):
    """Sends papermill's warnings as events, and drops its messages about cells, which the events replace."""

    def __init__(self, send: Reports) -> None:
        super().__init__(logging.WARNING)
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if not text.startswith(_INFERENCE):
            self._send(event="note", text=text)


def run(descriptor: int, request: dict[str, Any]) -> None:
    """Run papermill's command line. Its exit code becomes this process's."""
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    send = Reports(descriptor, request["secrets"])
    logging.getLogger().addHandler(_Warnings(send))
    # No other handler: of two local ones, papermill sets the folder of the first and writes with the last.
    papermill_io.reset()
    papermill_io.register("local", WholeFiles())
    papermill_engines.register(ENGINE, make_engine(send, request))
    # papermill's traceback after the kernel's death shows papermill's position, which the events have too.
    papermill.cli.traceback = types.SimpleNamespace(print_exc=lambda: None)
    papermill.execute.raise_for_execution_errors = forgive_tagged_errors(
        papermill.execute.raise_for_execution_errors
    )
    arguments = [*request["arguments"], "--engine", ENGINE, "--log-output", "--no-progress-bar"]
    if request["parameters"]:
        # JSON is not quite YAML (1e5, escapes above U+FFFF), and papermill reads YAML.
        Path("parameters.yaml").write_text(
            yaml.safe_dump(request["parameters"], sort_keys=False), encoding="utf-8"
        )
        arguments += ["-f", "parameters.yaml"]
    try:
        papermill.cli.papermill.main([*arguments, "input.ipynb", "output.ipynb"], prog_name="papermill")
    except Exception as error:  # noqa: BLE001 - reported whole, and turned into the exit code
        full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        send(event="error", type=type(error).__name__, text=str(error), disk_full=full)
        send.output(explain(error))
        # The exit code that the interpreter gives to what papermill raises.
        sys.exit(1)


def explain(error: Exception) -> str:
    """Return a failed cell's own traceback, without papermill's frames."""
    if isinstance(error, PapermillExecutionError | CellTimeoutError | NoSuchKernel):
        return f"{error}\n"
    return "".join(traceback.format_exception(error))


def main(arguments: list[str]) -> int:
    """Wait for the request on the first descriptor; report on the second."""
    requests, frames = int(arguments[0]), int(arguments[1])
    with os.fdopen(requests, "rb") as pipe:
        text = pipe.read()
    if text:
        run(frames, json.loads(text))
    return 0
