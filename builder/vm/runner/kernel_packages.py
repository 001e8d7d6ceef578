"""Decides which of the kit's packages must come before the installed ones to meet the kernel's requirements."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from .image_packages import Package


def read(index: Path) -> dict[str, Package]:
    """Return the packages of the kit's kernel tree, from its index."""
    described = json.loads(index.read_text(encoding="utf-8"))
    return {
        name: Package(name, one["version"], requires=tuple(one["requires"]))
        for name, one in described.items()
    }


def replaced(
    kit: Mapping[str, Package], image: Collection[Package], overlay: Collection[Package]
) -> dict[str, str]:
    """Return the packages of the image and of the notebook that the kit's must replace, each with a line for the log.

    1. The kernel uses an installed package if there is one, else the kit's.
    2. An installed package that does not meet another's requirement is replaced by the kit's.
    3. If the package is the kit's already, the package with the requirement is replaced by the kit's.

    Rules 2 and 3 apply until all packages fit.
    """
    own = {package.name for package in overlay}
    found = {package.name: package for package in (*image, *overlay) if package.name in kit}
    lines: dict[str, str] = {}
    while misfit := next(_misfits({**kit, **found}, found), None):
        name, why = misfit
        whose = "the requirements'" if name in own else "the image's"
        versions = f"({kit[name].version}) comes before {whose} {found.pop(name).version}"
        lines[name] = f"kernel: {name} of the kit {versions}: {why}"
    return lines


def _misfits(used: Mapping[str, Package], found: Mapping[str, Package]) -> Iterator[tuple[str, str]]:
    """Yield the names of packages in `found` that do not fit the others, with the reason."""
    for package in used.values():
        for wanted in map(_requirement, package.requires):
            if wanted is None or (name := canonicalize_name(wanted.name)) not in used:
                continue
            version = used[name].version
            if _fits(version, wanted):
                continue
            if name in found:
                yield name, f"{package.name} needs {wanted.specifier}"
            elif package.name in found:
                yield package.name, f"it needs {name} {wanted.specifier}, not {version}"


def _requirement(line: str) -> Requirement | None:
    """Return a requirement that applies here; None for one of an extra, of another machine, or of invalid form."""
    try:
        wanted = Requirement(line)
    except InvalidRequirement:
        return None
    holds = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
    return wanted if holds else None


def _fits(version: str, wanted: Requirement) -> bool:
    """True if the version meets the requirement or is not comparable; an error then appears when the kernel starts."""
    try:
        return wanted.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True
