"""The command line: loads the options, carries out one command, and returns its exit code."""

from __future__ import annotations

import importlib
import io
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

from builder.commands import Context
from builder.errors import BadInput, BuilderError, ExitCode, Interrupted, Problem
from builder.options import Options, load_options
from builder.options.commands import PLANNING
from builder.report.console import Console, warn
from builder.report.ending import refused
from builder.waiting import Cancellation, RealClock

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class _Command(Protocol):
    def execute(self, options: Options, context: Context) -> int: ...


def main() -> int:
    """Carry out the command that the process was started for. Returns its exit code."""
    cancellation = Cancellation()
    # Before anything else: a process without handlers does not see SIGTERM if it is PID 1 (docs/facts.md 4).
    for signum in _SIGNALS:
        signal.signal(signum, lambda number, _frame: cancellation.cancel(signal.Signals(number)))
    # A notebook can print any letter; a log that cannot show one must not end the run.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    _configure_logging()
    clock = RealClock(cancellation)
    context = Context(folder=Path.cwd(), cancellation=cancellation, clock=clock, console=Console())
    try:
        return carry_out(sys.argv[1:], os.environ, context)
    except BuilderError as error:
        refused(error, of_event="NB_EVENT" in os.environ)
        return error.exit_code
    except Interrupted as interrupted:
        return interrupted.exit_code
    except BrokenPipeError:  # the reader closed the pipe, as in `plan | head`
        return 128 + signal.SIGPIPE
    except Exception:
        logging.getLogger(__name__).exception("a bug in Notebook Builder; please report it with this log")
        return ExitCode.BUG


def _configure_logging() -> None:
    """Send the builder's own warnings and tracebacks to stderr, and nothing that the libraries log."""
    logging.getLogger().addHandler(logging.NullHandler())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.getLogger("builder").addHandler(handler)


def carry_out(argv: Sequence[str], env: Mapping[str, str], context: Context) -> int:
    """Load the options and execute the command's module. Returns the exit code. Raises BuilderError."""
    options, problems = load_options(argv, env, lambda name: _read_file(context.folder / name))
    if problems:
        raise BadInput(tuple(dict.fromkeys([*problems, *_mistakes(options, context)])))
    context.console.structured = options.log_format == "json"
    for warning in options.warnings:
        warn(warning)
    command = cast("_Command", importlib.import_module(f"builder.commands.{options.command}"))
    return command.execute(options, context)


def _mistakes(options: Options, context: Context) -> Sequence[Problem]:
    """Return the mistakes in the notebooks that the options name."""
    if options.command not in PLANNING:
        return ()
    from builder.commands.plan import mistakes

    return mistakes(options, context)


def _read_file(path: Path) -> str | None:
    """The text of a configuration file; None if it does not exist.

    Raises OSError or ValueError if it cannot be read.
    """
    return path.read_text(encoding="utf-8") if path.is_file() else None
