"""The output of the demo: chapters, commands, important lines of a build's log; and files that have all of it."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

_STEP = re.compile(r'^Step #\d+(?: - "[^"]*")?: ')
_CELL_OK = re.compile(r"^(\S+)  cell (\d+)/\d+ ok\b")
_IMPORTANT = re.compile(
    r"^\S+  (?:VM \S+ (?:runs|deleted)|cell \d|GREEN |RED )|^verdict: |^(?:topic|function|schedule) \S+ \w+$"
)
_RED = re.compile(r"^\S+  RED ")
_EXCERPT = re.compile(r"^\S+  \|")


class UnexpectedEnd(Exception):
    """A chapter had an unexpected end; str() says what was expected, and what happened."""


class Excerpt:
    """Picks the important lines of a build's log. Without `cells`, successful cells are only counted."""

    def __init__(self, *, cells: bool) -> None:
        self._cells = cells
        self._good: list[tuple[str, int]] = []
        self._failed = False

    def of(self, line: str) -> list[str]:
        """The lines to show for the next line of the log; none for most of them."""
        text = _STEP.sub("", line.rstrip())
        if self._failed:  # the failed cell's source, and then one line on what to do
            self._failed = _EXCERPT.match(text) is not None
            return [text]
        self._failed = _RED.match(text) is not None
        good = _CELL_OK.match(text)
        if good and not self._cells:
            self._good.append((good[1], int(good[2])))
            return []
        if text.startswith("WARNING: "):
            return [text]
        return [*self._counted(), text] if _IMPORTANT.match(text) else []

    def _counted(self) -> list[str]:
        good, self._good = self._good, []
        return [f"{good[0][0]}  cells {good[0][1]} to {good[-1][1]} ok"] if good else []


class Terminal:
    """Prints the demo, and writes each chapter's log into a file in `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._begun = time.monotonic()
        self._warned: set[str] = set()
        self.place = "its beginning"
        self.log = folder / "00-beginning.log"

    def begin(self, number: int, of: int, title: str) -> None:
        """Begin a chapter."""
        self._begun = time.monotonic()
        self.place = f'chapter {number}, "{title}"'
        name = re.sub(r"\W+", "-", title.partition(":")[0].lower()).strip("-")
        self.log = self._folder / f"{number:02}-{name}.log"
        self.say(f"\n=== {number}/{of}  {title} ===")

    def end(self, result: str) -> None:
        """Print the chapter's end, and the place of its log."""
        self.say(f"=> {result} ({time.monotonic() - self._begun:.0f} s; {shown(self.log)})")

    def say(self, text: str) -> None:
        """Print, and write to the log."""
        print(text, flush=True)
        self.note(text + "\n")

    def note(self, text: str) -> None:
        """Write only to the chapter's log."""
        with self.log.open("a", encoding="utf-8", errors="replace") as file:
            file.write(text)

    def follow(self, lines: str, excerpt: Excerpt) -> None:
        """Write whole lines of a build's log to the chapter's, and print the important ones; a warning only once."""
        self.note(lines)
        for text in (text for line in lines.splitlines() for text in excerpt.of(line)):
            if text not in self._warned:
                print(f"  {text}", flush=True)
            if text.startswith("WARNING: "):
                self._warned.add(text)


def shown(path: Path) -> str:
    """The path as the user would type it."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
