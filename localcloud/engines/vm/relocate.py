"""Copies the running base interpreter into a Python prefix of its own, without references to the original.

Left out is what a minimal VM image lacks as well: venv, ensurepip, pip, site-packages, IDLE, Tk, the test suites,
headers. Covers interpreters whose standard library lies below their prefix (Debian's /usr, /usr/local, pyenv, uv), with
a libpython linked in or shared, on glibc.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

LEFT_OUT = {
    "site-packages",
    "dist-packages",
    "ensurepip",
    "venv",
    "idlelib",
    "tkinter",
    "turtledemo",
    "turtle.py",
    "test",
    "tests",
    "idle_test",
    "sitecustomize.py",
    "usercustomize.py",
    "EXTERNALLY-MANAGED",
}
# The build's static library and Makefile; test modules; bytecode for -O; libraries of Tk.
LEFT_OUT_PATTERN = re.compile(r"config-3\.|_test|_xx|xxlimited|.*_test\.|.*\.opt-[12]\.pyc$|_tkinter")
# Without the `home` line this file makes no virtual environment; it only switches the user's own site-packages off.
# Python would look for those in the home folder of the user database, since a VM's environment names no HOME.
NO_USER_SITE = "include-system-site-packages = false\n"


@dataclass(frozen=True)
class Interpreter:
    """The paths of an installed interpreter's parts: the real files, no links."""

    executable: Path
    prefix: Path
    stdlib: Path
    library: Path | None

    @property
    def library_folder(self) -> Path:
        """The path of its standard library below its prefix, and below the prefix of a copy."""
        return self.stdlib.relative_to(self.prefix)


def running() -> Interpreter:
    """Return the parts of this process's base interpreter, also from inside a virtual environment."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    mapped = {Path(fields[5]) for line in maps if len(fields := line.split(maxsplit=5)) > 5}  # noqa: PLR2004
    return Interpreter(
        executable=Path("/proc/self/exe").resolve(),
        prefix=Path(sys.base_prefix).resolve(),
        stdlib=Path(os.__file__).resolve().parent,
        library=next((path for path in mapped if re.match(r"libpython3\.\d+t?\.so", path.name)), None),
    )


def relocate(source: Interpreter, target: Path) -> None:
    """Copy `source` to the folder `target`: bin/python3, the standard library, and its libpython if it has one."""
    (target / "bin").mkdir(parents=True)
    program = source.executable.read_bytes()
    if source.library:
        program = _with_own_library(program, source.library.name)
        (target / "lib").mkdir()
        shutil.copyfile(source.library, target / "lib" / OWN_LIBRARY)
    copy = target / "bin" / "python3"
    copy.write_bytes(program)
    copy.chmod(0o755)
    shutil.copytree(
        source.stdlib,
        target / source.library_folder,
        ignore=lambda _folder, names: {name for name in names if _left_out(name)},
        ignore_dangling_symlinks=True,
        dirs_exist_ok=True,
    )
    (target / "pyvenv.cfg").write_text(NO_USER_SITE)


def _left_out(name: str) -> bool:
    return name in LEFT_OUT or LEFT_OUT_PATTERN.match(name) is not None


OWN_LIBRARY = "py.so"


def _with_own_library(program: bytes, name: str) -> bytes:
    """Make the ELF file load the libpython beside it: the name that it needs becomes a path relative to the file.

    The dynamic linker takes a needed name with a slash as a path, and knows $ORIGIN. The new name fits into the place
    of the old one (20 characters and more), so nothing in the file moves. Interpreters that already do so stay as they
    are.
    """
    old = b"\0" + name.encode() + b"\0"
    new = f"$ORIGIN/../lib/{OWN_LIBRARY}".encode()
    return program.replace(old, b"\0" + new.ljust(len(old) - 2, b"\0") + b"\0")
