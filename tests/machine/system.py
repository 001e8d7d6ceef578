"""Debian systems for the tests, each made once by system.sh and kept in build/machine by a hash of what makes it."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "machine"
SOURCES = (Path(__file__).with_name("system.sh"), ROOT / "docker" / "debian.sh")


@dataclass(frozen=True)
class System:
    """A bootable system: the files of kernel, first file system, and disk."""

    kernel: Path
    initrd: Path
    disk: Path


def system(suite: str) -> System:
    """Return Debian `suite`, and make it first if it is missing, in some three minutes.

    Raises `CalledProcessError` if it cannot be made.
    """
    KEPT.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(b"".join(source.read_bytes() for source in SOURCES)).hexdigest()[:16]
    folder = KEPT / f"{suite}-{key}"
    with (KEPT / f"{suite}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            for earlier in KEPT.glob(f"{suite}-*"):
                shutil.rmtree(earlier)
            making = KEPT / f"making-{suite}"
            shutil.rmtree(making, ignore_errors=True)
            subprocess.run([SOURCES[0], suite, making], check=True)
            making.rename(folder)
    return System(folder / "vmlinuz", folder / "initrd.img", folder / "disk.img")
