"""Lets the thread that runs a build wait for its helpers, or for a stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from localcloud.services.cloudbuild.job import Ending

_T = TypeVar("_T")


class EndedError(Exception):
    """The build ends here: a step failed, or it was stopped."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.detail)
        self.ending = ending


class Watch:
    """The events that a build's thread waits for. Any thread may call `stop` and `notify`, also the clock's."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._stop: Ending | None = None
        self._bug: BaseException | None = None

    def stop(self, ending: Ending) -> None:
        """End the build with this result; the first call counts."""
        with self._changed:
            self._stop = self._stop or ending
            self._changed.notify_all()

    def notify(self, change: Callable[[], object]) -> None:
        """Make a change that the build's thread waits for."""
        with self._changed:
            change()
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Make the build's thread raise an error, a bug of localcloud's."""

        def change() -> None:
            self._bug = self._bug or error

        self.notify(change)

    def wait(self, awaited: Callable[[], _T]) -> _T:
        """Wait until `awaited()` is true and return it; raises `EndedError` after a stop, and a reported bug."""
        with self._changed:
            self._changed.wait_for(lambda: self._stop or self._bug or awaited())
            if self._bug is not None:
                raise self._bug
            if self._stop is not None:
                raise EndedError(self._stop)
            return awaited()

    def check(self) -> None:
        """Raise `EndedError` after a stop."""
        with self._changed:
            if self._stop is not None:
                raise EndedError(self._stop)

    def during(self, action: Callable[[], _T]) -> _T:
        """Return or raise the result of `action`; after a stop, leave it running and raise `EndedError`.

        An action that does several things calls `check` before each.
        """
        results: list[_T] = []
        errors: list[Exception] = []

        def work() -> None:
            try:
                result = action()
            except Exception as error:  # noqa: BLE001  raised again below, in the thread that waits
                self.notify(partial(errors.append, error))
            else:
                self.notify(partial(results.append, result))

        threading.Thread(target=work, name="build-work", daemon=True).start()
        self.wait(lambda: results or errors)
        if errors:
            raise errors[0]
        return results[0]
