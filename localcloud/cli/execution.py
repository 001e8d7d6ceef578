"""Runs the command of `exec` under a supervisor, and forwards localcloud's signals to it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from localcloud.engines.supervisor import OwnedProcess

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FORWARDED = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)

# si_code of a signal that the kernel made itself, as for a Ctrl-C typed at the terminal.
_SI_KERNEL = 0x80
_NOT_FOUND = 127
_NOT_EXECUTABLE = 126


def hold_signals() -> None:
    """Block the signals that are forwarded; call it before any thread starts, so that all of them inherit it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)


def run(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run a command in the current folder with variables added; returns its exit code, 128+N for a signal N.

    When it ends, its background processes are ended too. Call `hold_signals` first.
    """
    early = signal.sigpending() & set(FORWARDED)
    if early:
        return 128 + int(min(early))
    try:
        process = OwnedProcess.start(
            command, env={**os.environ, **variables}, cwd=Path.cwd(), foreground=True
        )
    except OSError as error:
        sys.stderr.write(f"localcloud: cannot run {command[0]}: {error.strerror}\n")
        return _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE
    with process:
        threading.Thread(target=_forward, args=(process,), name="forward-signals", daemon=True).start()
        code = process.wait()
    return code if code >= 0 else 128 - code


def _forward(process: OwnedProcess) -> None:
    while True:
        received = signal.sigwaitinfo(FORWARDED)
        # The terminal sends its Ctrl-C to the command too, which is in the same process group.
        if received.si_code != _SI_KERNEL:
            process.signal(received.si_signo)
