"""papermill's own process: its command line, with an engine that reports cells and output to the runner.

Started early, it loads papermill while the workspace is still on its way, and waits for its order on a pipe.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import signal
import sys
import time
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
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.iorw import LocalHandler, papermill_io
from traitlets.config import Config

from .frames import send_event, send_output
from .redaction import Redactor, Stream
from .settings import INJECTED

ENGINE = "notebook-builder"
# nbclient gives up when a cell's output has not all arrived this long after its reply. Its default of 4 s ends
# notebooks that print a lot.
OUTPUT_SECONDS = 600
MAX_ERROR = 500


class Reports:
    """Sends events and output without secrets: events are cut, and the pieces of two streams come in turns.

    Afterwards neither would show what they held.
    """

    def __init__(self, descriptor: int, secrets: dict[str, str]) -> None:
        self._descriptor = descriptor
        self._redactor = Redactor(secrets)
        self._streams = {name: Stream(self._redactor) for name in ("stdout", "stderr")}

    def output(self, text: str, name: str = "") -> None:
        """Send output, of a stream where it has a name."""
        data = text.encode("utf-8", "replace")
        stream = self._streams.get(name)
        if stream is None:
            send_output(self._descriptor, self._redactor.data(data))
            return
        made = stream.feed(data)
        # A line of its own is known by itself, and need not wait for the rest of a value.
        send_output(self._descriptor, made + stream.end() if b"\n" in stream.held else made)

    def end_output(self) -> None:
        """Send what the streams hold back."""
        for stream in self._streams.values():
            if stream.held:
                send_output(self._descriptor, stream.end())

    def __call__(self, **event: Any) -> None:
        """Send one."""
        cut = {
            key: self._redactor.text(value)[:MAX_ERROR] if isinstance(value, str) else value
            for key, value in event.items()
        }
        send_event(self._descriptor, **cut)


class Progress:
    """Turns papermill's callbacks into events. Cells are the code cells of the input, numbered from 1; 0 is papermill's."""

    def __init__(self, manager: NotebookExecutionManager, send: Reports, order: dict[str, Any]) -> None:
        self._manager = manager
        self._send = send
        self._started = 0.0
        code = [cell for cell in manager.nb.cells if cell.cell_type == "code"]
        # Without parameters, one that an earlier run has left is a cell like any other.
        injected = next((cell for cell in code if _is_injected(cell)), None) if order["parameters"] else None
        if not order["replaces_injected"]:
            code = [cell for cell in code if cell is not injected]
        self._numbers = {id(cell): number for number, cell in enumerate(code, start=1)}
        if injected is not None:
            self._numbers[id(injected)] = 0
        self._start, self._complete = manager.cell_start, manager.cell_complete
        manager.cell_start = self.cell_start
        manager.cell_complete = self.cell_complete
        send(event="cells", cells=len(code))

    def cell_start(self, cell: Any, cell_index: int | None = None, **kwargs: Any) -> None:
        """Stands in for the manager's callback."""
        self._started = time.monotonic()
        if cell.cell_type == "code":
            self._send(event="start", cell=self._numbers[id(cell)])
        self._start(cell, cell_index=cell_index, **kwargs)

    def cell_complete(self, cell: Any, cell_index: int | None = None, **kwargs: Any) -> None:
        """Stands in for the manager's callback, which papermill also calls while an exception is on its way."""
        exception = sys.exc_info()[1]
        self._complete(cell, cell_index=cell_index, **kwargs)
        if cell.cell_type == "code":
            status, error = _outcome(cell, exception)
            seconds = round(time.monotonic() - self._started, 3)
            number = self._numbers[id(cell)]
            self._send.end_output()
            self._send(event="end", cell=number, status=status, seconds=seconds, error=error)


def _is_injected(cell: Any) -> bool:
    return INJECTED in cell.metadata.get("tags", [])


def _outcome(cell: Any, exception: BaseException | None) -> tuple[str, str]:
    """Return how a cell ended, and its error in one line."""
    if isinstance(exception, CellTimeoutError):
        return "timeout", "it reached the time limit for a cell"
    if isinstance(exception, DeadKernelError):
        return "died", "the kernel died"
    if isinstance(exception, BaseException):
        return "failed", f"{type(exception).__name__}: {exception}"
    errors = [output for output in cell.outputs if output.output_type == "error"]
    if cell.metadata.papermill.get("exception"):
        # IPython's hooks for exceptions can leave the cell without an error output.
        return "failed", f"{errors[-1].ename}: {errors[-1].evalue}" if errors else "an error without output"
    if errors:
        return "ok", f"raised {errors[-1].ename}, as its tag allows"
    return ("ok", "") if cell.execution_count is not None or not cell.source.strip() else ("skipped", "")


class Client(PapermillNotebookClient):  # type: ignore[misc]  # papermill is untyped
    """Sends output straight to the runner: a log handler would add newlines that the notebook never wrote."""

    send: Reports

    def log_output_message(self, output: Any) -> None:
        """Stands in for papermill's, which writes to a logger."""
        if output.output_type == "stream":
            self.send.output("".join(output.text), output.name)
        elif output.output_type != "error" and "text/plain" in output.get("data", {}):
            self.send.output("".join(output.data["text/plain"]) + "\n")


def make_engine(send: Reports, order: dict[str, Any]) -> type[NBClientEngine]:
    """Return papermill's own engine, with the client and the callbacks above."""

    class Engine(NBClientEngine):  # type: ignore[misc]  # papermill is untyped
        """The engine registered as `notebook-builder`."""

        @classmethod
        def execute_managed_notebook(
            cls, nb_man: NotebookExecutionManager, kernel_name: str, **kwargs: Any
        ) -> Any:
            # What people see are the names of their own notebook, not of our working files.
            nb_man.nb.metadata.papermill["input_path"] = order["notebook"]
            nb_man.nb.metadata.papermill["output_path"] = order["name"] + ".ipynb"
            Progress(nb_man, send, order)
            _save_on_sigterm(nb_man)
            client = Client(
                nb_man,
                kernel_name=kernel_name,
                timeout=kwargs.get("execution_timeout"),
                startup_timeout=kwargs.get("start_timeout", 60),
                iopub_timeout=OUTPUT_SECONDS,
                log=logging.getLogger("papermill"),
                log_output=True,
                config=_connection(order),
            )
            client.send = send
            return client.execute(env={**os.environ, **order["secrets"]})

    return Engine


def _connection(order: dict[str, Any]) -> Config:
    """How we talk to the kernel: for Python by sockets with a name of their own, which nobody else can take.

    Jupyter's way is to pick free TCP ports and hope that they still are when the kernel comes up. Kernels of other languages may
    know nothing else.
    """
    if order["language"] != "python":
        return Config()
    # The @ makes it a name in Linux's abstract namespace: no file, and no path that could be too long.
    return Config(
        {"ConnectionFileMixin": {"transport": "ipc", "ip": f"@notebook-builder-{uuid.uuid4().hex}"}}
    )


def _save_on_sigterm(manager: NotebookExecutionManager) -> None:
    """At a limit the runner ends us: the notebook as it stands is saved first."""

    def save(signum: int, _frame: object) -> None:
        with contextlib.suppress(Exception):
            manager.save()
        os._exit(128 + signum)

    signal.signal(signal.SIGTERM, save)


class WholeFiles(LocalHandler):  # type: ignore[misc]  # papermill is untyped
    """Writes a notebook beside its place and moves it there: a full disk or a kill leaves the last whole one."""

    def write(self, buf: str, path: str) -> None:
        """Stands in for papermill's, which truncates first."""
        target = Path(self._cwd or ".", path)
        fresh = target.with_name(target.name + ".new")
        try:
            fresh.write_text(buf, encoding="utf-8")
        except OSError:
            fresh.unlink(missing_ok=True)
            raise
        fresh.replace(target)


def forgive_tagged_errors(judge: Callable[[Any, str], None]) -> Callable[[Any, str], None]:
    """Return papermill's check for error outputs, blind to cells tagged `raises-exception`.

    nbclient and Jupyter let such a cell raise; papermill 2.7 runs on after it and then fails all the same.
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


class _Warnings(logging.Handler):
    """papermill's warnings become notes; its chatter about cells, which the events tell better, goes nowhere."""

    def __init__(self, send: Reports) -> None:
        super().__init__(logging.WARNING)
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send(event="note", text=record.getMessage())


def run(descriptor: int, order: dict[str, Any]) -> None:
    """Run papermill's command line; its exit code becomes ours."""
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    send = Reports(descriptor, order["secrets"])
    logging.getLogger().addHandler(_Warnings(send))
    # Only this one: of two local handlers papermill sets the folder of the first and writes with the last.
    papermill_io.reset()
    papermill_io.register("local", WholeFiles())
    papermill_engines.register(ENGINE, make_engine(send, order))
    # What papermill prints when the kernel has died tells where papermill was, which the events tell better.
    papermill.cli.traceback = types.SimpleNamespace(print_exc=lambda: None)
    papermill.execute.raise_for_execution_errors = forgive_tagged_errors(
        papermill.execute.raise_for_execution_errors
    )
    arguments = [*order["arguments"], "--engine", ENGINE, "--log-output", "--no-progress-bar"]
    if order["parameters"]:
        # JSON is not quite YAML (1e5, escapes above U+FFFF), and papermill reads YAML.
        Path("parameters.yaml").write_text(
            yaml.safe_dump(order["parameters"], sort_keys=False), encoding="utf-8"
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
    """Return a failed cell's own traceback, without the path through papermill on which it travelled."""
    if isinstance(error, PapermillExecutionError | CellTimeoutError | NoSuchKernel):
        return f"{error}\n"
    return "".join(traceback.format_exception(error))


def main(arguments: list[str]) -> int:
    """Wait for the order on the first descriptor; report on the second."""
    orders, frames = int(arguments[0]), int(arguments[1])
    with os.fdopen(orders, "rb") as pipe:
        text = pipe.read()
    if text:
        run(frames, json.loads(text))
    return 0
