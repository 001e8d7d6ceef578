"""One module per command, each with `execute(options, context)`; imported only when its command is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from builder.act.waiting import Cancellation, RealClock
from builder.report import Console


@dataclass(frozen=True)
class Context:
    """What every command has from its process: the workspace folder, the stop sign, the clock, the console."""

    folder: Path
    cancellation: Cancellation
    clock: RealClock
    console: Console
