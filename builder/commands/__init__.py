"""One module per command, each with `execute(options, context)`.

A module is imported only when its command is asked for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from builder.errors import Interrupted
from builder.report.console import Console
from builder.waiting import Cancellation, RealClock, run_in_background

T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    """The process of a command: the workspace folder, the cancellation, the clock and the console."""

    folder: Path
    cancellation: Cancellation
    clock: RealClock
    console: Console

    def carry_out(self, work: Callable[[], T], cancelled: Callable[[Interrupted], int]) -> T:
        """Do the work beside the main thread, which receives the signals.

        After a signal `cancelled` prints the last lines, and the process exits with the code that it returns: threads
        may be in calls that last longer than the few seconds that a cancelled build has.
        """
        try:
            return run_in_background(work, self.cancellation)
        except Interrupted as interrupted:
            code = cancelled(interrupted)
            sys.stdout.flush()
            os._exit(code)
