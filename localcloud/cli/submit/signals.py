"""Stop signals for a program with threads: the main thread handles the first, the second ends the program."""

from __future__ import annotations

import os
import signal
import threading

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Interrupted(Exception):
    """A signal came before there was a build; `number` is its number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number


class Stop:
    """The user's wish to stop. Make it before any thread or process starts, so that all inherit the blocked signals.

    Then Ctrl-C does not kill helpers in the same process group, and the build can still be cancelled.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._came = threading.Event()
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
        threading.Thread(target=self._listen, name="stop-signals", daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Wait for a signal; True if one has come."""
        return self._came.wait(seconds)

    def check(self) -> None:
        """Raise `Interrupted` if a signal has come."""
        if self.number is not None:
            raise Interrupted(self.number)

    def _listen(self) -> None:
        self.number = signal.sigwaitinfo(_STOPPING).si_signo
        self._came.set()
        again = signal.sigwaitinfo(_STOPPING).si_signo
        os._exit(128 + again)
