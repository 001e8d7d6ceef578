"""Notices failures that Jupyter lets pass, in the kernel's process, and reports each on its output channel.

They are errors of `%%bigquery`, commands of `!` that fail, folders and programs that a magic does not find, and
exceptions in threads and in tasks that nothing awaits. This module runs on the image's Python with the image's IPython:
standard library only.
"""

import asyncio
import contextlib
import gc
import importlib
import sys
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

# The type of our message, and of the request after the last cell. The client's module has the same constants.
NOTICE = "notebook_builder_notice"
END_REQUEST = "notebook_builder_end_request"
# IPython's functions that print that a folder or a program is missing, by the name of their magic.
_MAGICS = {"cd": "%cd", "shebang": "%%script"}


class Notices:
    """The hooks in one kernel."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._kernel = shell.kernel
        self._origins: weakref.WeakKeyDictionary[Any, dict[str, Any]] = weakref.WeakKeyDictionary()

    def install(self) -> None:
        """Set all hooks. Raises what an unknown IPython makes them raise."""
        self._kernel.shell_handlers[END_REQUEST] = self._end
        self._watch_threads()
        self._watch_loops()
        self._watch_commands()
        self._watch_magics()
        self._watch_queries()

    def send(self, kind: str, message: str, task: Any = None) -> None:
        """Report one failure for the cell that created `task`, else for the one that Jupyter shows its text under."""
        sys.stdout.flush()
        sys.stderr.flush()
        header = (self._origins.get(task) if task else None) or self._request()
        content = {"kind": kind, "message": message}
        self._kernel.session.send(self._kernel.iopub_socket, NOTICE, content, parent={"header": header})

    def _request(self) -> Any:
        """Return the header of the request whose output the current code prints."""
        return getattr(sys.stderr, "parent_header", None) or self._kernel.get_parent().get("header", {})

    def _watch_threads(self) -> None:
        shown = threading.excepthook

        def hook(failure: threading.ExceptHookArgs) -> None:
            shown(failure)
            if failure.exc_type is not SystemExit and failure.thread is not None:
                self.send("thread", f"thread {failure.thread.name}: {_error(failure.exc_value)}")

        threading.excepthook = hook

    def _watch_loops(self) -> None:
        """Watch event loops: the cell that creates a task, and exceptions that nobody awaits or callbacks raise."""
        loops: Any = asyncio.BaseEventLoop
        shown, create = loops.default_exception_handler, loops.create_task

        def handler(loop: Any, context: dict[str, Any]) -> None:
            shown(loop, context)
            if isinstance(error := context.get("exception"), BaseException):
                text = f"{context.get('message', 'event loop')}: {_error(error)}"
                self.send("thread", text, context.get("task") or context.get("future"))

        def create_task(loop: Any, *arguments: Any, **options: Any) -> Any:
            task = create(loop, *arguments, **options)
            with contextlib.suppress(TypeError):  # a task factory of the notebook can return anything
                self._origins[task] = self._request()
            return task

        loops.default_exception_handler, loops.create_task = handler, create_task

    def _watch_commands(self) -> None:
        """Watch the functions that run a command. IPython has put variables into it before, from the caller's frame."""
        commands: Any = importlib.import_module("ipykernel.zmqshell")
        captured: Any = importlib.import_module("IPython.utils._process_common")
        run, handle = commands.system, captured.process_handler

        def system(command: str) -> Any:
            code = run(command)
            self._check_command(command, code)
            return code

        def process_handler(command: Any, callback: Callable[[Any], Any], stderr: Any = None) -> Any:
            codes = []

            def ended(process: Any) -> Any:
                result = callback(process)
                codes.append(process.returncode)
                return result

            result = handle(command, ended, stderr)
            for code in codes:
                self._check_command(command, code)
            return result

        commands.system = system
        captured.process_handler = process_handler

    def _check_command(self, command: Any, code: Any) -> None:
        if code:
            first = str(command).strip().partition("\n")[0]
            self.send("shell", f"!{first[:200]} ended with exit code {code}")

    def _watch_magics(self) -> None:
        """Watch the magics of folders and scripts, which print that one is missing, and go on."""
        for name in ("osm", "script"):
            module: Any = importlib.import_module(f"IPython.core.magics.{name}")
            module.print = partial(self._print_for, module.__file__)

    def _print_for(self, file: str, *values: Any, **options: Any) -> None:
        """Print for a module of IPython; report what its magics print while they handle an error of their own code."""
        print(*values, **options)  # noqa: T201 - in the place of IPython's own print
        trace = sys.exc_info()[2]
        code = None if trace is None else trace.tb_frame.f_code
        if code is not None and code.co_filename == file and code.co_name in _MAGICS:
            self.send("shell", f"{_MAGICS[code.co_name]}: {' '.join(map(str, values))[:200]}")

    def _watch_queries(self) -> None:
        """Watch the magics that are loaded, and those that an extension registers later."""
        register = self._shell.register_magic_function

        def registered(function: Any, *arguments: Any, **options: Any) -> Any:
            result = register(function, *arguments, **options)
            self._watch_magic(function)
            return result

        self._shell.register_magic_function = registered
        for function in self._shell.magics_manager.magics["cell"].values():
            self._watch_magic(function)

    def _watch_magic(self, function: Any) -> None:
        """Wrap what both packages with a `%%bigquery` call with an error, to print it and go on."""
        name = getattr(function, "__module__", None) or ""
        module = sys.modules.get(name)
        show = getattr(module, "_handle_error", None)
        if "bigquery" not in name or show is None or hasattr(show, "watched"):
            return

        def handle_error(error: Any, *arguments: Any, **options: Any) -> Any:
            result = show(error, *arguments, **options)
            self.send("bigquery", f"%%bigquery: {_error(error)}")
            return result

        handle_error.watched = True  # type: ignore[attr-defined]
        module._handle_error = handle_error  # type: ignore[union-attr] # noqa: SLF001

    def _end(self, *_request: Any) -> None:
        """Report each failed task whose exception nothing has asked for. The request comes after the last cell."""
        for task in [value for value in gc.get_objects() if issubclass(type(value), asyncio.Task)]:
            # asyncio itself reports such a task when it is freed.
            if task.done() and not task.cancelled() and getattr(task, "_log_traceback", False):
                text = f"task {task.get_name()}, which nothing awaits: {_error(task.exception())}"
                self.send("thread", text, task)


def _error(error: Any) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
