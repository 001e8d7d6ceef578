"""The program that becomes a step: `python -I -S launcher.py PLAN` mounts the step's file system and runs the step.

The view is a mount namespace of its own, made in a user namespace, so that it needs no rights and goes away with the
step's last process: a root of tmpfs, every top-level entry of the host's root bound into it, and the build's
directories mounted on top. Where such namespaces are refused, the step runs in the plain directories and its log says
so. Only light standard modules are imported, and nothing of localcloud: each step waits for this to start.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
from collections.abc import Iterable

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
PARTS = ("new", "old")

# Docker's exit codes of a command that could not start.
NOT_PREPARED, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127

# Variables that hold a path of the step.
PATH_VARIABLES = (b"HOME", b"BUILDER_OUTPUT")

SCRIPT = "/builder/script/step"

# Python ignores these from its start on; a command expects the default.
PYTHONS_OWN = (signal.SIGPIPE, signal.SIGXFSZ)

PLAIN = (
    "WARNING: localcloud cannot give this step its own view of the file system ({}), so it runs in plain folders:"
    " paths that begin with /workspace or /builder do not work, and /tmp is this machine's;"
    " relative paths, $HOME and $BUILDER_OUTPUT do work{}"
)

# Settings of the kernel that forbid it, with the value that does and the value that does not. Ubuntu 24.04 has the
# first.
FORBIDDING = (
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("user.max_user_namespaces", "0", "10000"),
)

libc = ctypes.CDLL(None, use_errno=True)


class Plan:
    """The runner's order: a command and its directory, and the mounts.

    `mounts` are directories of the build; `kept` are folders of the host that these would hide.
    `plain` is a reason for not mounting anything, if there is one.
    """

    def __init__(self, file: str) -> None:
        with open(file, encoding="utf-8") as opened:  # noqa: PTH123  pathlib costs start-up time
            values = json.load(opened)
        self.argv: list[str] = values["argv"]
        self.directory: str = values["directory"]
        self.mounts: list[tuple[str, str]] = [(host, path) for host, path in values["mounts"]]
        self.kept: list[tuple[str, str]] = [(host, path) for host, path in values["kept"]]
        self.base: str = values["base"]
        self.plain: str | None = values["plain"]

    def on_host(self, path: str) -> str:
        """Path of the host for a path of the step; the same one where nothing is mounted."""
        for host, target in self.mounts:
            if path == target or path.startswith(target + "/"):
                return host + path[len(target) :]
        return path


def check(result: int, what: str) -> None:
    """Raise the OSError of a libc call that failed."""
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, flags: int, kind: str | None = None, options: str | None = None) -> None:
    """Mount by the system call; OSError when it fails."""
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    check(libc.mount(*encoded[:3], ctypes.c_ulong(flags), encoded[3]), f"mount {target}")


def pivot_root(new: str, old: str) -> None:
    """Change the root by the system call, for which libc has no function."""
    number = SYS_PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(f"pivot_root is not known on {os.uname().machine}")
    check(libc.syscall(ctypes.c_long(number), os.fsencode(new), os.fsencode(old)), "pivot_root")


def enter(base: str, *, user: bool) -> None:
    """Enter a new namespace whose root is a tmpfs with the host's root at /old and an empty one at /new."""
    uid, gid = os.getuid(), os.getgid()
    check(libc.unshare(CLONE_NEWNS | (CLONE_NEWUSER if user else 0)), "unshare")
    if user:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123
                file.write(text)
    mount("none", "/", MS_REC | MS_PRIVATE)
    mount("tmpfs", base, MS_NOSUID | MS_NODEV, "tmpfs", "mode=0755")
    for part in PARTS:
        os.mkdir(f"{base}/{part}")  # noqa: PTH102
    mount(f"{base}/new", f"{base}/new", MS_BIND)
    pivot_root(base, f"{base}/old")
    os.chdir("/")


def way(plan: Plan) -> bool:
    """Try in a child whether `enter` works with a user namespace or, for root, without; OSError if neither does.

    A failed try in this process would leave it with the user id of nobody.
    """
    if plan.plain:
        raise OSError(plan.plain)
    failure = ""
    for user in (True, False) if os.geteuid() == 0 else (True,):
        readable, writable = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                enter(plan.base, user=user)
            except OSError as error:
                os.write(writable, str(error.strerror or error).encode())
            finally:
                os._exit(0)
        os.close(writable)
        refusal = os.read(readable, 4096).decode()
        os.close(readable)
        os.waitpid(child, 0)
        if not refusal:
            return user
        failure = failure or refusal
    raise OSError(failure)


def remedy(settings: str = "/proc/sys") -> str:
    """The remedy, as the end of a sentence, if a setting below `settings` forbids user namespaces; else ""."""
    for name, forbidding, allowing in FORBIDDING:
        path = f"{settings}/{name.replace('.', '/')}"
        with contextlib.suppress(OSError), open(path, encoding="ascii") as file:  # noqa: PTH123
            if file.read().strip() == forbidding:
                return f"; what allows it: sudo sysctl {name}={allowing}"
    return ""


def show_host() -> None:
    """Show each entry of the host's root, at /old, in the new root at /new, except the folders that are the build's."""
    for name in set(os.listdir("/old")).difference(("workspace", "builder", "tmp")):  # noqa: PTH208
        # The step does not see an entry that cannot be bound, such as an automounter's folder.
        with contextlib.suppress(OSError):
            show(f"/old/{name}", f"/new/{name}")


def show(source: str, target: str) -> None:
    """Show one entry of a folder at another path: links are copied, all else is bound."""
    if os.path.islink(source):  # noqa: PTH114
        os.symlink(os.readlink(source), target)  # noqa: PTH115, PTH211
        return
    if os.path.isdir(source):  # noqa: PTH112
        os.mkdir(target)  # noqa: PTH102
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
    mount(source, target, MS_BIND | MS_REC)


def build_view(plan: Plan, *, user: bool) -> None:
    """Enter the step's file system, with no way back to the host's root."""
    enter(plan.base, user=user)
    show_host()
    for host, path in (*plan.mounts, *plan.kept):
        os.makedirs(f"/new{path}", exist_ok=True)  # noqa: PTH103
        mount(f"/old{host}", f"/new{path}", MS_BIND | MS_REC)
    os.chdir("/new")
    pivot_root(".", ".")  # the old root now lies on the new one, and needs no folder in it
    check(libc.umount2(b".", MNT_DETACH), "umount")
    os.chdir("/")


def go_to(directory: str, roots: Iterable[str]) -> None:
    """Change to a directory; make it first, as Docker does, where its nearest folder is in `roots`, the build's own.

    The step's "/" is such a root; the host's folders bound below it are not.
    """
    if not os.path.isdir(directory):  # noqa: PTH112
        above = directory
        while not os.path.lexists(above):
            above = os.path.dirname(above)  # noqa: PTH120
        real = os.path.realpath(above)
        if any(real == root or real.startswith(root + "/") for root in roots):
            os.makedirs(directory)  # noqa: PTH103
    os.chdir(directory)


def become(argv: list[str], environment: dict[bytes, bytes]) -> int:
    """Become the command; return an exit code, after a line in the log, if that fails."""
    for number in PYTHONS_OWN:
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(argv[0], argv, environment)  # noqa: S606  starting it is the purpose
    except (FileNotFoundError, NotADirectoryError):
        where = "no such file" if "/" in argv[0] else "executable file not found in $PATH"
        print_line(f'cannot start the step: "{argv[0]}": {where}')
        return NOT_FOUND
    except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
        print_line(f'cannot start the step: "{argv[0]}": {getattr(error, "strerror", None) or error}')
        return NOT_EXECUTABLE


def print_line(line: str) -> None:
    """Write a line to the step's output."""
    os.write(1, f"{line}\n".encode("utf-8", "surrogateescape"))


def initial_environment() -> dict[bytes, bytes]:
    """The environment as the runner gave it: Python has added a locale to os.environ."""
    with open("/proc/self/environ", "rb") as file:  # noqa: PTH123
        pairs = (entry.partition(b"=") for entry in file.read().split(b"\0") if entry)
    return {name: value for name, _, value in pairs}


def main(file: str) -> int:
    """Run one step; returns only if it could not be started."""
    plan = Plan(file)
    environment = initial_environment()
    try:
        user = way(plan)
    except OSError as refusal:
        print_line(PLAIN.format(refusal, remedy()))
        roots = [host for host, _ in plan.mounts]
        plan.directory = plan.on_host(plan.directory)
        plan.argv = [plan.on_host(part) if part == SCRIPT else part for part in plan.argv]
        for name in PATH_VARIABLES:
            environment[name] = os.fsencode(plan.on_host(os.fsdecode(environment[name])))
    else:
        build_view(plan, user=user)
        roots = [*(path for _, path in plan.mounts), "/builder", "/"]
    go_to(plan.directory, roots)
    return become(plan.argv, environment)


if __name__ == "__main__":
    try:
        code = main(sys.argv[1])
    except OSError as error:
        print_line(f"cannot prepare the step: {error}")
        code = NOT_PREPARED
    sys.exit(code)
