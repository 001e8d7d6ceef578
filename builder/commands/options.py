"""`options`: prints the table of all options, from which README and docs/options.md are made."""

from __future__ import annotations

from builder.commands import Context
from builder.errors import ExitCode
from builder.options import Options
from builder.options.docs import render_options
from builder.report.console import print_document


def execute(options: Options, _context: Context) -> int:
    """Print the table in the format asked for."""
    print_document(render_options(options.format))
    return ExitCode.GREEN
