"""`options`: prints the table of all options, from which README and docs/options.md are made."""

from __future__ import annotations

from builder import report
from builder.commands import Context
from builder.errors import ExitCode
from builder.options import Options
from builder.options.docs import render_options


def execute(options: Options, _context: Context) -> int:
    """Print the table in the format asked for."""
    report.document(render_options(options.format))
    return ExitCode.GREEN
