"""The last lines of `deploy`."""

from __future__ import annotations

from builder.errors import ExitCode
from builder.plain_text import log_line
from builder.report.console import Console
from builder.report.ending import verdict_line


def deployed(console: Console, message: str) -> None:
    """Print the verdict of a deployment."""
    verdict_line(console, "GREEN", log_line(message.removesuffix(".")), ExitCode.GREEN)


def not_deployed(console: Console, code: int, action: str) -> None:
    """Print the last lines after a signal. `action`: the flag of `deploy` with its value; "" for a promotion."""
    verdict_line(console, "RED", "cancelled by a signal", code)
    if action == "rollback":
        advice = "Check `deploy --status` first: a second rollback can go back one more step."
    else:
        command = f"deploy --{action}" if action else "deploy"
        advice = f"Run `{command}` again: it continues from the current state."
    console.line(f"  do: {advice}")
