"""The last lines of a run as golden text: one file per row of the fault matrix in tests/fault_matrix/.

`NB_RECORD=1 make test T=tests/integration/test_fault_matrix.py` writes the files. Read the difference as a user would.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "fault_matrix"
_BAR = "-" * 72
# What differs from run to run: names with hashes, times, durations, sizes and addresses of this machine.
_VARIABLE = (
    (re.compile(r"\bnb-[0-9a-f]{12}-a(\d)t(\d)"), r"nb-HASH-a\1t\2"),
    (re.compile(r"attempt-(\d)-[0-9a-f]+"), r"attempt-\1-NONCE"),
    (re.compile(r"\b20\d\d-\d\d-\d\dT[\d:.+-]+(Z|\b)"), "TIME"),
    (re.compile(r"\b20\d\d-\d\d-\d\d \d\d:\d\d UTC"), "TIME"),
    (re.compile(r"after \d+(?:\.\d+)? (?:h|min|s)(?: \d+ (?:min|s))*"), "after SECONDS"),
    (re.compile(r"\b\d+ s past its deadline"), "SECONDS past its deadline"),
    (re.compile(r"'[0-9a-f]{16}'"), "'NONCE'"),
    (re.compile(r"nb-deadline=\d+"), "nb-deadline=TIME"),
    (re.compile(r"http://127\.0\.0\.1:\d+"), "http://CLOUD"),
    # The builder looks at a VM whose host failed while it stops, or after it has stopped.
    (re.compile(r"\bis STOPPING and left\b"), "is TERMINATED and left"),
)


def last_lines(log: str, says: str = "") -> str:
    """The lines from the last bar on, without what differs from run to run; before them, the line with these words."""
    lines = log.splitlines()
    start = max(number for number, line in enumerate(lines) if line == _BAR)
    earlier = [line for line in lines[:start] if says and says in line]
    return steady("".join(f"{line}\n" for line in [*earlier, *lines[start + 1 :]]))


def steady(text: str) -> str:
    """The text with a word in the place of all that differs from run to run."""
    for pattern, word in _VARIABLE:
        text = pattern.sub(word, text)
    return text


def check(name: str, text: str) -> None:
    """Compare the text with the golden file of this name."""
    path = FOLDER / f"{name}.txt"
    if os.environ.get("NB_RECORD"):
        path.write_text(text)
    assert path.read_text() == text
