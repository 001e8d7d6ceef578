"""Lists the image's own packages as JSON. The image's Python runs it, with its packages and without the kit.

Each has its name, version, extras, requirements and folder. Of two packages with one name, the list has the one that
an import finds.
"""

import json
import re
import sys
from importlib import metadata
from typing import Any


def described(package: metadata.Distribution) -> dict[str, Any]:
    """Return one package. Raises any exception for a damaged one."""
    metadata = package.metadata  # parsed again at each access
    return {
        "name": re.sub(r"[-_.]+", "-", metadata["Name"]).lower(),
        "version": str(metadata["Version"]),
        "extras": metadata.get_all("Provides-Extra") or [],
        "requires": metadata.get_all("Requires-Dist") or package.requires or [],
        "folder": str(package.locate_file("")),
    }


def listed(path: list[str]) -> list[dict[str, Any]]:
    """Return the packages in these folders, by name."""
    found: dict[str, dict[str, Any]] = {}
    for package in metadata.distributions(path=path):
        try:
            one = described(package)
        except Exception:  # noqa: BLE001, S112 - what has no readable metadata cannot be constrained
            continue
        if one["version"] != "None":
            found.setdefault(one["name"], one)
    return sorted(found.values(), key=lambda one: str(one["name"]))


def main() -> None:
    """Print all packages."""
    sys.stdout.write(json.dumps(listed(sys.path)))


if __name__ == "__main__":
    main()
