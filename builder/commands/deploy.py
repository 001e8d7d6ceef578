"""`deploy`: puts notebooks live that a recorded run found green."""

from __future__ import annotations

from builder.commands import Context
from builder.errors import BadInput, Problem
from builder.options import Options
from builder.options.table import NOT_YET


def execute(options: Options, _context: Context) -> int:
    """Refuse: the rest of it is still to come."""
    raise BadInput([Problem("command", options.command, NOT_YET)])
