"""The command line: options in, one command carried out, an exit code out."""

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

from builder import report
from builder.act.waiting import Cancellation, RealClock
from builder.commands import Context
from builder.errors import BuilderError, ExitCode, Interrupted, Problem
from builder.options import Options, load_options

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class _Command(Protocol):
    def execute(self, options: Options, context: Context) -> int: ...


def main() -> int:
    """Carry out the command that the process was started for, and return its exit code."""
    cancellation = Cancellation()
    # First of all: as PID 1 a process without handlers does not even see SIGTERM (docs/facts.md 4).
    for signum in _SIGNALS:
        signal.signal(signum, lambda number, _frame: cancellation.cancel(number))
    # Notebooks speak every alphabet; a build log that does not must not turn a run into a bug of ours.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    _configure_logging()
    clock = RealClock(cancellation)
    context = Context(folder=Path.cwd(), cancellation=cancellation, clock=clock, console=report.Console())
    try:
        return carry_out(sys.argv[1:], os.environ, context)
    except BuilderError as error:
        report.refused(error, of_event="NB_EVENT" in os.environ)
        return error.exit_code
    except Interrupted as interrupted:
        return interrupted.exit_code
    except BrokenPipeError:  # whoever read us has enough, as in `plan | head`
        return 128 + signal.SIGPIPE
    except Exception:
        logging.getLogger(__name__).exception("a bug in Notebook Builder; please report it with this log")
        return ExitCode.BUG


def _configure_logging() -> None:
    """Our own warnings and tracebacks to stderr; the libraries' retries are our business, not the build log's."""
    logging.getLogger().addHandler(logging.NullHandler())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.getLogger("builder").addHandler(handler)


def carry_out(argv: Sequence[str], env: Mapping[str, str], context: Context) -> int:
    """Load the options and hand over to the command's module. Raises BuilderError."""
    options = load_options(
        argv,
        env,
        lambda name: _read_file(context.folder / name),
        lambda rest: _mistakes(rest, context),
    )
    for warning in options.warnings:
        report.warning(warning)
    command = cast("_Command", importlib.import_module(f"builder.commands.{options.command}"))
    return command.execute(options, context)


def _mistakes(rest: Options, context: Context) -> Sequence[Problem]:
    from builder.commands.plan import mistakes

    return mistakes(rest, context)


def _read_file(path: Path) -> str | None:
    """A configuration file's text, None where there is none. Raises OSError or ValueError where it cannot be read."""
    return path.read_text(encoding="utf-8") if path.is_file() else None
