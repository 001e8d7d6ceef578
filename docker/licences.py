#!/usr/bin/env python3
"""Check the licences of everything that the image and the kit contain. Exits with 1, and names what is not allowed.

The locked names are in requirements/, the licences in the metadata of the installed packages and of the built kit.
A licence expression passes if one of its alternatives is allowed. To allow another licence, add it here with the
reason.
"""

from __future__ import annotations

import re
import sys
import tarfile
from collections.abc import Iterator, Mapping
from email import message_from_bytes
from email.message import Message
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Why the image may contain code under these licences.
ALLOWED = {
    "Apache-2.0": "the licence of this project",
    "BSD-2-Clause": "asks for its notice only, which each package contains",
    "BSD-3-Clause": "asks for its notice only, which each package contains",
    "ISC": "asks for its notice only, which each package contains",
    "MIT": "asks for its notice only, which each package contains",
    "MIT-0": "asks for nothing",
    "MPL-2.0": "covers only its own files, which the image contains unchanged and as source",
    "PSF-2.0": "asks for its notice only, which each package contains",
}
# What packages write instead of an identifier of SPDX.
WRITTEN = {
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
# Packages that only the kit of another CPython contains. Their licences are from their project pages.
ELSEWHERE = {
    "aiohappyeyeballs": "PSF-2.0",
    "aiohttp": "Apache-2.0 AND MIT",
    "aiosignal": "Apache-2.0",
    "frozenlist": "Apache-2.0",
    "multidict": "Apache-2.0",
    "propcache": "Apache-2.0",
    "yarl": "Apache-2.0",
}
_CLASSIFIER = "License :: OSI Approved :: "
_PIN = re.compile(r"^([\w.-]+)==", re.MULTILINE)


def faults(wanted: set[str], found: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each package without an allowed licence, and for each entry above that is not needed."""
    for name in sorted(wanted):
        licence = found.get(name) or ELSEWHERE.get(name, "")
        if not licence:
            yield f"{name}: its licence is not known; it is not installed here, or its metadata does not say"
        elif not is_allowed(licence):
            yield f"{name}: its licence is {licence}, which {Path(__file__).name} does not allow"
    for name in sorted(ELSEWHERE.keys() - (wanted - found.keys())):
        yield f"{name}: ELSEWHERE in {Path(__file__).name} names it, and need not"


def is_allowed(licence: str) -> bool:
    """Return True if one alternative of an expression has only allowed licences."""
    alternatives = re.split(r"\s+OR\s+", licence.replace("(", "").replace(")", ""))
    return any(all(part in ALLOWED for part in re.split(r"\s+AND\s+", choice)) for choice in alternatives)


def licence_of(package: Message | metadata.PackageMetadata) -> str:
    """Return the licence as an expression of SPDX, as far as the metadata has one; else what it has, or ""."""
    if expression := package.get("License-Expression"):
        return str(expression)
    classifiers = (str(line) for line in package.get_all("Classifier", []))
    approved = [line.removeprefix(_CLASSIFIER) for line in classifiers if line.startswith(_CLASSIFIER)]
    written = approved or str(package.get("License", "")).splitlines()[:1]
    return " AND ".join(WRITTEN.get(name, name) for name in written)


def canonical(name: str) -> str:
    """Return a package's name in its one form."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked() -> set[str]:
    """Return the names of the packages that the image or a kit contains."""
    files = (ROOT / "requirements" / "builder.txt", *ROOT.glob("requirements/kit-*.txt"))
    return {canonical(name) for file in files for name in _PIN.findall(file.read_text(encoding="utf-8"))} | {
        "uv"
    }


def licences() -> dict[str, str]:
    """Return the licence of each package that is installed here or in the kits that are built."""
    found = {canonical(each.metadata["Name"]): licence_of(each.metadata) for each in metadata.distributions()}
    for kit in sorted(ROOT.glob("build/kit/cp*.tar.gz")):
        with tarfile.open(kit) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.name.endswith(".dist-info/METADATA") else None
                if file is not None:
                    package = message_from_bytes(file.read())
                    found[canonical(package["Name"])] = licence_of(package)
    return found


def main() -> int:
    """Print the faults; return the exit code."""
    wanted = locked()
    found = list(faults(wanted, licences()))
    sys.stdout.write("\n".join(found or [f"the licences of {len(wanted)} packages are allowed"]) + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
