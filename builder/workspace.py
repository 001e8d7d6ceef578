"""Which notebooks a run means, and which files are staged with each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StagedFile:
    """A file to stage: its repo-relative path, where its bytes are, their number, and the x-bit."""

    path: str
    source: Path
    size: int
    executable: bool
