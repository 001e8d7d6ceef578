"""How the thread that runs a build waits: for what its helpers tell, and for the word to stop, whichever is first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from localcloud.cloudbuild.job import Ending

_T = TypeVar("_T")


class EndedError(Exception):
    """The build goes no further."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.detail)
        self.ending = ending


class Watch:
    """What a build's thread waits on. `stop` and `tell` may be called from any thread, the clock's too."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._stop: Ending | None = None
        self._bug: BaseException | None = None

    def stop(self, ending: Ending) -> None:
        """Have the build end so; the first who says it counts."""
        with self._changed:
            self._stop = self._stop or ending
            self._changed.notify_all()

    def tell(self, change: Callable[[], object]) -> None:
        """Make a change that the build's thread waits for."""
        with self._changed:
            change()
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Have the build end with a bug of ours, which its thread raises."""

        def change() -> None:
            self._bug = self._bug or error

        self.tell(change)

    def wait(self, news: Callable[[], _T]) -> _T:
        """Wait until `news()` is true and return it; raises `EndedError` on the word to stop, and a bug as it is."""
        with self._changed:
            self._changed.wait_for(lambda: self._stop or self._bug or news())
            if self._bug is not None:
                raise self._bug
            if self._stop is not None:
                raise EndedError(self._stop)
            return news()

    def check(self) -> None:
        """Raise `EndedError` after the word to stop."""
        with self._changed:
            if self._stop is not None:
                raise EndedError(self._stop)

    def during(self, action: Callable[[], _T]) -> _T:
        """Return what `action` returns or raise what it raises; it is left alone when the word to stop comes first.

        An action that does several things calls `check` before each.
        """
        results: list[_T] = []
        errors: list[Exception] = []

        def work() -> None:
            try:
                result = action()
            except Exception as error:  # noqa: BLE001  raised again below, in the thread that waits
                self.tell(partial(errors.append, error))
            else:
                self.tell(partial(results.append, result))

        threading.Thread(target=work, name="build-work", daemon=True).start()
        self.wait(lambda: results or errors)
        if errors:
            raise errors[0]
        return results[0]
