"""The parts of a cell that its tags hide in a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Visibility(Enum):
    """The visibility of a part of a cell in a page: shown, folded, or removed."""

    SHOWN = "shown"
    FOLDED = "hide"
    REMOVED = "remove"


@dataclass(frozen=True)
class Hidden:
    """The parts of a cell that its tags hide.

    The tags are Jupyter Book's: `hide-input`, `remove-output`, `remove-cell`, and so on.
    """

    cell: bool = False
    source: Visibility = Visibility.SHOWN
    output: Visibility = Visibility.SHOWN

    @classmethod
    def of(cls, tags: Sequence[str]) -> Hidden:
        """Return what these tags hide; removing goes before folding."""

        def part(name: str) -> Visibility:
            if f"remove-{name}" in tags:
                return Visibility.REMOVED
            folded = f"hide-{name}" in tags or "hide-cell" in tags
            return Visibility.FOLDED if folded else Visibility.SHOWN

        return cls("remove-cell" in tags, part("input"), part("output"))
