"""A kit of a few bytes, for tests in which no VM unpacks it."""

from __future__ import annotations

from pathlib import Path

from builder.kit import CPYTHONS, UV, Kit, write_index


def make_small_kit(folder: Path) -> Kit:
    """Write a kit with an archive of each name into `folder`; its bytes depend on where that is."""
    folder.mkdir()
    for name in (*CPYTHONS, UV):
        (folder / f"{name}.tar.gz").write_bytes(f"kit {name} of {folder}".encode())
    return write_index(folder)
