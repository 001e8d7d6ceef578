"""`python -m localcloud demo`: the CI and CD of a notebook, shown on this machine.

A good commit goes live, a broken one does not, its fix does; then the schedule and a message run the live notebook.
Everything is done as a user does it: a git repo with its cloudbuild.yaml, a build of each commit, Google's own clients;
only the cloud is local. The terminal shows the main lines; one file for each chapter has all output.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
import traceback
from pathlib import Path

from localcloud.cloud import Cloud
from localcloud.core.state_folder import StateInUse, locked
from localcloud.demo.chapters import Demo
from localcloud.demo.terminal import Terminal, UnexpectedEnd, shown

_ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = _ROOT / "examples" / "bike-share"
_INTERRUPTED = 130
_USAGE = 2


def main(folder: Path | None = None, example: Path = EXAMPLE) -> int:
    """Run the demo on the repo `example`, in a new `folder`; return 0, or 1 at the first unexpected end.

    Return 2 while a cloud works in the folder of the last demo.
    """
    folder = folder or _ROOT / "build" / "demo"
    try:
        _remove(folder)
    except StateInUse as error:
        sys.stderr.write(f"{error}; end it, then start the demo again\n")
        return _USAGE
    terminal = Terminal(folder / "logs")
    try:
        _play(terminal, folder, example)
    except KeyboardInterrupt:
        terminal.say("\nInterrupted. What ran has been ended.")
        return _INTERRUPTED
    except UnexpectedEnd as unexpected:
        return _stopped(terminal, str(unexpected))
    except Exception as error:  # noqa: BLE001  the outermost edge: the traceback goes to the log
        terminal.note(traceback.format_exc())
        return _stopped(terminal, f"expected no failure; {type(error).__name__}: {error}")
    return 0


def _remove(folder: Path) -> None:
    """Remove the folder of the last demo; raises `StateInUse` while a cloud works in it."""
    lock = folder / "cloud" / "lock"
    with locked(lock) if lock.exists() else contextlib.nullcontext():
        shutil.rmtree(folder, ignore_errors=True)


def _stopped(terminal: Terminal, why: str) -> int:
    sys.stderr.write(f"\nThe demo stopped at {terminal.place}: {why}. The log is {shown(terminal.log)}\n")
    return 1


def _play(terminal: Terminal, folder: Path, example: Path) -> None:
    started = time.monotonic()
    shutil.copytree(example, folder / "repo")
    with Cloud(folder / "cloud") as cloud:
        terminal.say(f"A Google Cloud on this machine answers at {cloud.url}; no Google account is involved.")
        terminal.say(
            f"The repo {shown(folder / 'repo')} has a notebook, and a cloudbuild.yaml that runs and deploys it."
        )
        terminal.say(
            f"The main lines of each build's log are shown here; the full logs are in {shown(folder / 'logs')}."
        )
        demo = Demo(cloud, folder / "repo", terminal)
        for number, (title, act) in enumerate(demo.chapters, 1):
            terminal.begin(number, len(demo.chapters), title)
            act()
        demo.nothing_is_left()
        demo.show_bucket()
    terminal.say(f"\nThe demo ended as expected, after {time.monotonic() - started:.0f} s.")
