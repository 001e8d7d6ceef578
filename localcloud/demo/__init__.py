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
from localcloud.demo.story import Story
from localcloud.demo.telling import Surprise, Telling, shown

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
    telling = Telling(folder / "logs")
    try:
        _tell(telling, folder, example)
    except KeyboardInterrupt:
        telling.say("\nInterrupted. What ran has been ended.")
        return _INTERRUPTED
    except Surprise as surprise:
        return _stopped(telling, str(surprise))
    except Exception as error:  # noqa: BLE001  the outermost edge: the traceback goes to the log
        telling.note(traceback.format_exc())
        return _stopped(telling, f"expected no failure; {type(error).__name__}: {error}")
    return 0


def _remove(folder: Path) -> None:
    """Remove the folder of the last demo; raises `StateInUse` while a cloud works in it."""
    lock = folder / "cloud" / "lock"
    with locked(lock) if lock.exists() else contextlib.nullcontext():
        shutil.rmtree(folder, ignore_errors=True)


def _stopped(telling: Telling, why: str) -> int:
    sys.stderr.write(f"\nThe story stops at {telling.place}: {why}. The log is {shown(telling.log)}\n")
    return 1


def _tell(telling: Telling, folder: Path, example: Path) -> None:
    started = time.monotonic()
    shutil.copytree(example, folder / "repo")
    with Cloud(folder / "cloud") as cloud:
        telling.say(f"A Google Cloud on this machine answers at {cloud.url}; no Google account is involved.")
        telling.say(
            f"The repo {shown(folder / 'repo')} has a notebook, and a cloudbuild.yaml that runs and deploys it."
        )
        telling.say(
            f"You see what matters of each build's log; the whole of it is in {shown(folder / 'logs')}."
        )
        story = Story(cloud, folder / "repo", telling)
        for number, (title, act) in enumerate(story.chapters, 1):
            telling.begin(number, len(story.chapters), title)
            act()
        story.nothing_is_left()
        story.show_bucket()
    telling.say(f"\nThe story ends as it should, after {time.monotonic() - started:.0f} s.")
