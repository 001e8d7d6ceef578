"""Lists the image's own packages, and writes stand-ins for them, so that uv treats them as installed."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from . import image_probe
from .kernel_launcher import of_distribution

PROBE_SECONDS = 120.0


@dataclass(frozen=True)
class Package:
    """An installed package: normalized name, version, extras, requirements as its metadata has them, and its folder."""

    name: str
    version: str
    extras: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    folder: str = ""

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"

    @property
    def stays(self) -> bool:
        """True if requirements must fit the package.

        False for packages of the distribution, which are old and were not chosen for notebooks, and for versions that
        are not PEP 440, which uv does not accept.
        """
        try:
            Version(self.version)
        except InvalidVersion:
            return False
        return not of_distribution(self.folder)

    @property
    def metadata(self) -> str:
        """The metadata of its stand-in, without the package's own requirements.

        Therefore uv does not check if the image's packages fit each other.
        """
        lines = [f"Metadata-Version: 2.1\nName: {self.name}\nVersion: {self.version}"]
        lines += [f"Provides-Extra: {name}" for name in self.extras]
        lines += [f"Requires-Dist: {text}" for text in self.requires if re.search(r"\bextra\s*==", text)]
        return "\n".join(lines) + "\n"


def read(folder: Path) -> tuple[Package, ...] | None:
    """Return the image's packages, as its Python sees them; None if they cannot be listed.

    `folder`: any existing one.
    """
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


def read_folder(folder: Path) -> tuple[Package, ...]:
    """Return the packages in one folder."""
    return tuple(_package(one) for one in image_probe.listed([str(folder)]))


def _package(value: dict[str, Any]) -> Package:
    version = str(value["version"])
    with contextlib.suppress(InvalidVersion):  # packages of a distribution can have other versions
        version = str(Version(version))
    return Package(value["name"], version, tuple(value["extras"]), tuple(value["requires"]), value["folder"])


def write_stand_ins(packages: tuple[Package, ...], target: Path) -> list[Path]:
    """Write metadata to `target` as if these packages were installed there.

    Returns the folders, to be removed later.
    """
    written = []
    for package in packages:
        folder = target / f"{package.name.replace('-', '_')}-{package.version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(package.metadata, encoding="utf-8")
        written.append(folder)
    return written
