"""The program that owns one command and its descendants; supervisor.py starts it as `python -I -S reaper.py FD`.

It is a child subreaper: every descendant stays below this process, even after a double fork or setsid. When the socket
FD to the owner closes, also because the owner was killed, every descendant gets SIGKILL, the order's scratch folder is
removed, and this program ends. On the socket:

    owner -> reaper   4 bytes length and the order (see `parse_order`), then one byte per signal for the command
    reaper -> owner   lines: `started PID` or `failed ERRNO`, later `ended CODE` (-N for a signal)

Only light standard modules are imported, because a VM waits for this to start.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
# Signals that a terminal or an operator may send to the whole group. The reaper ignores them to outlive its command.
IGNORED = (
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
# Python's own start-up ignores these two; a command expects the default.
PYTHONS_OWN = (signal.SIGPIPE, signal.SIGXFSZ)
KILL_ROUND_MS = 5


class Order:
    """The command that the owner wants to be started."""

    def __init__(
        self, *, foreground: bool, cwd: bytes, scratch: bytes, argv: list[bytes], env: dict[bytes, bytes]
    ) -> None:
        self.foreground = foreground
        self.cwd = cwd
        self.scratch = scratch
        self.argv = argv
        self.env = env


def format_order(order: Order) -> bytes:
    """The order as bytes after its length. Raises ValueError if a part has a NUL."""
    parts = [
        b"1" if order.foreground else b"0",
        order.cwd,
        order.scratch,
        b"%d" % len(order.argv),
        *order.argv,
    ]
    parts += [name + b"=" + value for name, value in order.env.items()]
    if any(b"\0" in part for part in parts):
        message = "embedded null byte"
        raise ValueError(message)
    order_bytes = b"\0".join(parts)
    return len(order_bytes).to_bytes(4, "big") + order_bytes


def parse_order(order_bytes: bytes) -> Order:
    """Undo `format_order`, without the length."""
    foreground, cwd, scratch, count, *rest = order_bytes.split(b"\0")
    argv, env = rest[: int(count)], rest[int(count) :]
    pairs = (entry.partition(b"=") for entry in env)
    return Order(
        foreground=foreground == b"1",
        cwd=cwd,
        scratch=scratch,
        argv=argv,
        env={name: value for name, _, value in pairs},
    )


def descendants(root: int) -> list[int]:
    """Pids of all living descendants of the process `root`, parents first; zombies do not count."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208  pathlib costs start-up time
        if entry.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", "rb") as file:  # noqa: PTH123
                # The name in parentheses may hold anything, so count from its end: state, parent.
                state, parent = file.read().rpartition(b")")[2].split()[:2]
                if state not in (b"Z", b"X"):
                    children.setdefault(int(parent), []).append(int(entry))
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


class Reaper:
    """State of the running program: the socket to the owner, the command, and the wake-up pipe for SIGCHLD."""

    def __init__(self, control: int) -> None:
        self.control = control
        self.command: int | None = None
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.wake, woken = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(woken, False)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        self.inherited = {number: signal.signal(number, signal.SIG_IGN) for number in IGNORED}
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the owner blocked them while we started
        if self.libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")

    def report(self, line: str) -> None:
        """Send one line to the owner, which may have ended."""
        with contextlib.suppress(OSError):
            os.write(self.control, line.encode() + b"\n")

    def spawn(self, order: Order) -> None:
        """Start the command; OSError as exec, chdir or fork gave it."""
        readable, writable = os.pipe()
        reaper = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become(order, reaper, writable)
        os.close(writable)
        failure = os.read(readable, 16)
        os.close(readable)
        if failure:
            os.waitpid(pid, 0)
            raise OSError(int(failure), os.strerror(int(failure)))
        self.command = pid

    def _become(self, order: Order, reaper: int, writable: int) -> None:
        """In the child: replace this process by the command, or write the errno to `writable` (which exec closes)."""
        error_number = 0
        try:
            # If the reaper is killed, the command ends with it.
            self.libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() == reaper:
                if not order.foreground:
                    os.setsid()
                os.chdir(order.cwd)
                for number, action in self.inherited.items():
                    # A handler of Python's would be gone after exec anyway, and must not run before it either.
                    signal.signal(number, signal.SIG_IGN if action is signal.SIG_IGN else signal.SIG_DFL)
                for number in PYTHONS_OWN:
                    signal.signal(number, signal.SIG_DFL)
                os.execvpe(order.argv[0], order.argv, order.env)  # noqa: S606  starting it is the purpose
        except OSError as error:
            error_number = error.errno or 0
        finally:
            os.write(writable, b"%d" % error_number)
            os._exit(127)

    def serve(self) -> None:
        """Reap, report and pass signals on until the owner closes the socket."""
        poller = select.poll()
        poller.register(self.wake, select.POLLIN)
        poller.register(self.control, select.POLLIN)
        while True:
            for descriptor, _ in poller.poll():
                if descriptor == self.control and not self._pass_signals():
                    return
            self.reap()

    def _pass_signals(self) -> bool:
        try:
            numbers = os.read(self.control, 64)
        except OSError:
            return False
        for number in numbers:
            if self.command:  # not reaped yet, so its pid is still its own
                with contextlib.suppress(OSError):
                    os.kill(self.command, number)
        return bool(numbers)

    def reap(self) -> bool:
        """Collect the dead; False when no child is left, hence no descendant."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake, 512)
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return True
                if pid == self.command:
                    self.command = None
                    self.report(f"ended {os.waitstatus_to_exitcode(status)}")
        except ChildProcessError:
            return False

    def end_descendants(self) -> None:
        """Send SIGKILL until none is left: each death makes its children ours, and some may fork meanwhile."""
        poller = select.poll()
        poller.register(self.wake, select.POLLIN)
        while self.reap():
            if not kill_all(descendants(os.getpid())):
                return
            poller.poll(KILL_ROUND_MS)


def with_variable(setting: bytes) -> list[int]:
    """Pids of processes that were started with the environment variable `setting` (NAME=value)."""
    found = []
    for entry in os.listdir("/proc"):  # noqa: PTH208  pathlib costs start-up time
        if entry.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/environ", "rb") as file:  # noqa: PTH123
                if setting in file.read().split(b"\0"):
                    found.append(int(entry))
    return found


def kill_all(pids: list[int]) -> bool:
    """SIGKILL each; False if none of them may be killed (set-uid programs)."""
    refused = 0
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        except PermissionError:
            refused += 1
    return refused == 0 or refused < len(pids)


def read_order(control: int) -> Order | None:
    """Read the owner's order; None if the owner has ended."""
    received = b""
    while len(received) < 4 or len(received) < 4 + int.from_bytes(received[:4], "big"):  # noqa: PLR2004
        chunk = os.read(control, 65536)
        if not chunk:
            return None
        received += chunk
    return parse_order(received[4:])


def forget_stdio() -> None:
    """Close the command's pipes: their readers must see the end when the command ends."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)


def main(control: int) -> None:
    """Run one order from beginning to end."""
    os.set_inheritable(control, False)  # noqa: FBT003  positional only
    reaper = Reaper(control)
    order = read_order(control)
    if order is None:
        return
    try:
        reaper.spawn(order)
    except OSError as error:
        reaper.report(f"failed {error.errno}")
        return
    try:
        forget_stdio()
        os.chdir("/")
        reaper.report(f"started {reaper.command}")
        reaper.serve()
    finally:
        reaper.end_descendants()
        if order.scratch:
            import shutil  # here: its import would delay each start

            shutil.rmtree(order.scratch, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
