"""Limits the time for each piece of a notebook, so that one piece cannot prevent the whole page.

The libraries for Markdown, code and formulas take quadratic time for some texts, and fail for others. A limit counts
the process's own CPU seconds, so that a busy machine does not change the result.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PIECE_SECONDS = 10.0  # for one piece; the runner waits 120 s for both pages
NOTEBOOK_SECONDS = 60.0  # for all pieces of a notebook
_AGAIN_SECONDS = 0.1  # a library's callback can swallow the first interruption


class TooSlow(BaseException):
    """A piece took too long. Not an `Exception`, since a library that catches those must end too."""


class Patience:
    """The time limit for the pieces of one notebook. Only for a process's main thread, since it uses a signal."""

    def __init__(self, piece: float = PIECE_SECONDS, notebook: float = NOTEBOOK_SECONDS) -> None:
        self._piece = piece
        self._left = notebook

    def attempt(self, render: Callable[[], str]) -> str | None:
        """Return the result of `render`; None if it fails or reaches its limit."""
        limit = min(self._piece, self._left)
        if limit <= 0:
            return None
        began = time.process_time()
        try:
            with _interrupted_after(limit):
                return render()
        except (Exception, TooSlow):  # noqa: BLE001 - libraries raise whatever their lists and dictionaries do
            return None
        finally:
            self._left -= time.process_time() - began


@contextmanager
def _interrupted_after(seconds: float) -> Iterator[None]:
    before = signal.signal(signal.SIGVTALRM, _interrupt)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, _AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _interrupt(_number: int, _frame: Any) -> None:
    raise TooSlow
