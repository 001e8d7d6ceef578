"""What the image itself has installed, and stand-ins for it by which uv takes that as given."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

PROBE_SECONDS = 120.0


@dataclass(frozen=True)
class Package:
    """One installed package: normalized name, version, and what its extras need, in its metadata's words."""

    name: str
    version: str
    extras: tuple[str, ...] = ()
    requires_of_extras: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"

    @property
    def can_be_pinned(self) -> bool:
        """Whether its version is one by Python's rules."""
        try:
            Version(self.version)
        except InvalidVersion:
            return False
        return True

    @property
    def metadata(self) -> str:
        """Its metadata as a stand-in gives it.

        Without what it needs itself: whether the image's packages fit each other is the image's affair.
        """
        lines = [f"Metadata-Version: 2.1\nName: {self.name}\nVersion: {self.version}"]
        lines += [f"Provides-Extra: {name}" for name in self.extras]
        lines += [f"Requires-Dist: {text}" for text in self.requires_of_extras]
        return "\n".join(lines) + "\n"


def read(folder: Path) -> tuple[Package, ...] | None:
    """The image's packages, as its Python sees them; None where that cannot be told. `folder`: any that exists."""
    probe = Path(__file__).with_name("image_probe.py")
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(probe)],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_SECONDS,
            check=True,
        )
        return tuple(_package(one) for one in json.loads(done.stdout))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _package(value: dict[str, Any]) -> Package:
    version = str(value["version"])
    with contextlib.suppress(InvalidVersion):  # a distribution's own packages may have others
        version = str(Version(version))
    return Package(value["name"], version, tuple(value["extras"]), tuple(value["requires_of_extras"]))


def write_stand_ins(packages: tuple[Package, ...], target: Path) -> list[Path]:
    """Make `target` look as if these packages were installed there; return the folders, to be removed again."""
    written = []
    for package in packages:
        folder = target / f"{package.name.replace('-', '_')}-{package.version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(package.metadata, encoding="utf-8")
        written.append(folder)
    return written
