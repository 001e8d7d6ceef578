"""The owner's side of processes that end with their owner: a child command and every descendant.

`OwnedProcess` holds each VM, the helper servers and the command of `exec`. The work is done by reaper.py, a process
between the owner and the command; the two are tied by a socket, whose end is the signal to end everything. That holds
when the owner is killed too, and whichever thread started the command (a parent-death signal would be bound to it).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from localcloud.engines import reaper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Stream = int | IO[bytes] | None
# Ending everything takes some 20 ms; processes stuck in the kernel can take longer.
KILL_TIMEOUT = 10.0


class OwnedProcess:
    """A running command and its descendants; all of them end with `kill()`, or when this process ends in any way.

    Use it as a context manager, or call `kill()` at the end, also after the command has ended by itself: what it left
    behind in the background lives until then. All methods may be called from any thread.
    """

    def __init__(
        self,
        supervisor: subprocess.Popen[bytes],
        leash: socket.socket,
        pid: int,
        on_gone: Callable[[], None] | None,
    ) -> None:
        """Not for callers: use `start`."""
        self.pid = pid
        self.stdin, self.stdout, self.stderr = supervisor.stdin, supervisor.stdout, supervisor.stderr
        self._supervisor = supervisor
        self._leash = leash
        self._lock = threading.Lock()
        self._code: int | None = None
        self._ended = threading.Event()
        self._gone = threading.Event()
        self._on_gone = on_gone
        threading.Thread(target=self._listen, name=f"owned-{pid}", daemon=True).start()

    @classmethod
    def start(
        cls,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        scratch: Path | None = None,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        foreground: bool = False,
        on_gone: Callable[[], None] | None = None,
    ) -> Self:
        """Start a command under its own supervisor.

        `env` is the whole environment (None: this process's). The streams are as subprocess.Popen takes them, PIPE
        included. A `foreground` command stays in this process's session and process group, so that it may read the
        terminal and gets its Ctrl-C; any other gets a session of its own. The supervisor removes the folder `scratch`
        at its end, also if this process was killed. `on_gone` is called, in a thread of its own,
        when the supervisor has ended, by `kill()` or by itself. Raises OSError when the command cannot be started.
        """
        environment = os.environb if env is None else {os.fsencode(k): os.fsencode(v) for k, v in env.items()}
        order = reaper.Order(
            foreground=foreground,
            cwd=os.fsencode(cwd or Path.cwd()),
            scratch=os.fsencode(scratch or ""),
            argv=[os.fsencode(argument) for argument in argv],
            env=dict(environment),
        )
        ours, theirs = socket.socketpair()
        with theirs, _blocked_signals():
            supervisor = subprocess.Popen(
                [sys.executable, "-I", "-S", reaper.__file__, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                env={k: v for k, v in os.environ.items() if k == "LD_LIBRARY_PATH"},
                start_new_session=not foreground,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
            )
        try:
            return cls(supervisor, ours, _hand_over(ours, reaper.format_order(order), argv[0]), on_gone)
        except BaseException:
            ours.close()
            with supervisor:  # closes its pipes, waits for its end
                raise

    def signal(self, signum: int) -> None:
        """Send a signal to the command itself (not to its descendants); nothing happens when it has ended."""
        with self._lock, contextlib.suppress(OSError):
            self._leash.send(bytes([signum]))

    def wait(self, timeout: float | None = None) -> int:
        """Exit code of the command, -N when signal N ended it; TimeoutError after `timeout` seconds."""
        if not self._ended.wait(timeout):
            message = f"process {self.pid} is still running after {timeout} s"
            raise TimeoutError(message)
        return -signal.SIGKILL if self._code is None else self._code

    def descendants(self) -> list[int]:
        """Pids of the command (while it runs) and of everything that descends from it."""
        return [] if self._gone.is_set() else reaper.descendants(self._supervisor.pid)

    def kill(self) -> None:
        """Kill the command and all descendants; return once they are gone. TimeoutError if they do not end."""
        with self._lock, contextlib.suppress(OSError):
            self._leash.shutdown(socket.SHUT_WR)
        self._supervisor.send_signal(signal.SIGCONT)  # something may have stopped it
        if self._gone.wait(KILL_TIMEOUT):
            return
        left = self.descendants()
        reaper.kill_all([*left, self._supervisor.pid])
        message = (
            f"processes {left} below process {self.pid} did not end within {KILL_TIMEOUT:.0f} s of SIGKILL"
        )
        raise TimeoutError(message)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream:
                stream.close()

    def _listen(self) -> None:
        """Wait for the command's exit code, then for the end of the supervisor."""
        received = b""
        with contextlib.suppress(OSError):
            while data := self._leash.recv(64):
                received += data
                if received.endswith(b"\n"):
                    self._code = int(received.split()[1])
                    self._ended.set()
        self._supervisor.wait()
        with self._lock:
            self._leash.close()
        self._ended.set()
        self._gone.set()
        if self._on_gone:
            self._on_gone()


@contextlib.contextmanager
def _blocked_signals() -> Iterator[None]:
    """Start a supervisor with the signals blocked that it will ignore: a Ctrl-C must not end it during its start."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, reaper.IGNORED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _hand_over(leash: socket.socket, order: bytes, program: str) -> int:
    """Send the order to the supervisor; return the command's pid, or raise the OSError of its start."""
    answer = b""
    with contextlib.suppress(ConnectionError):
        leash.sendall(order)
        while not answer.endswith(b"\n"):
            data = leash.recv(1)  # bytewise: the next line belongs to the listener
            if not data:
                break
            answer += data
    word, _, number = answer.decode().partition(" ")
    if word == "started":
        return int(number)
    if word == "failed":
        raise OSError(int(number), os.strerror(int(number)), program)
    message = f"the supervisor of {program} ended before it could start it"
    raise RuntimeError(message)
