"""The lines of a build's log that the demo shows, and its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcloud.demo.terminal import Excerpt, Terminal

RED = """\
Starting Step #0 - "notebooks"
Step #0 - "notebooks": WARNING: localcloud cannot give this step its own view
Step #0 - "notebooks": demo  VM nb-1-a1t1 requested in us-central1-a: e2-standard-4
Step #0 - "notebooks": demo  VM nb-1-a1t1 runs in us-central1-a; waiting for its first heartbeat
Step #0 - "notebooks": demo  | what a cell prints: GREEN after all
Step #0 - "notebooks": demo  cell 1/3 ok 0.1 s
Step #0 - "notebooks": demo  cell 2/3 ok 3.8 s
Step #0 - "notebooks": demo  cell 3/3 failed after 1.9 s: BadRequest: 400
Step #0 - "notebooks": demo  | Traceback
Step #0 - "notebooks": demo  RED after 19.8 s: cell 3 of 3 failed: BadRequest: 400
Step #0 - "notebooks": demo  | >   2  rides = 1
Step #0 - "notebooks": demo  Correct the cell. The executed notebook has its whole output.
Step #0 - "notebooks": demo  VM nb-1-a1t1 deleted
Step #0 - "notebooks": verdict: RED, 0 of 1 notebooks green (exit code 1: a notebook failed)
Step #0 - "notebooks":     reason:   cell 3 of 3 failed
Step #1 - "deploy": WARNING: localcloud cannot give this step its own view
Step #1 - "deploy": topic bike-share created
Step #1 - "deploy": function bike-share: deploying; that takes some two minutes
verdict: GREEN, scheduled for 2026-11-28
"""
CELLS = ["demo  cell 1/3 ok 0.1 s", "demo  cell 2/3 ok 3.8 s"]
COUNTED = ["demo  cells 1 to 2 ok"]


@pytest.mark.parametrize(("cells", "good"), [(True, CELLS), (False, COUNTED)], ids=["each", "counted"])
def test_the_important_lines_are_shown_and_each_warning_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, cells: bool, good: list[str]
) -> None:
    Terminal(tmp_path / "logs").follow(RED, Excerpt(cells=cells))
    assert [line.removeprefix("  ") for line in capsys.readouterr().out.splitlines()] == [
        "WARNING: localcloud cannot give this step its own view",
        "demo  VM nb-1-a1t1 runs in us-central1-a; waiting for its first heartbeat",
        *good,
        "demo  cell 3/3 failed after 1.9 s: BadRequest: 400",
        "demo  RED after 19.8 s: cell 3 of 3 failed: BadRequest: 400",
        "demo  | >   2  rides = 1",
        "demo  Correct the cell. The executed notebook has its whole output.",
        "demo  VM nb-1-a1t1 deleted",
        "verdict: RED, 0 of 1 notebooks green (exit code 1: a notebook failed)",
        "topic bike-share created",
        "verdict: GREEN, scheduled for 2026-11-28",
    ]


def test_each_chapter_has_a_file_with_all_that_was_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal(tmp_path / "logs")
    terminal.say("before")
    terminal.begin(1, 2, "A good commit: it goes live")
    terminal.follow(RED, Excerpt(cells=True))
    terminal.end("The build is green")
    assert sorted(file.name for file in (tmp_path / "logs").iterdir()) == [
        "00-beginning.log", "01-a-good-commit.log"
    ]  # fmt: skip
    assert RED in (tmp_path / "logs/01-a-good-commit.log").read_text()
    printed = capsys.readouterr().out
    assert "=== 1/2  A good commit: it goes live ===" in printed
    assert "requested" not in printed
    assert terminal.place == 'chapter 1, "A good commit: it goes live"'
