"""Lists the image's own packages as JSON: run by the image's Python, with its packages and without the kit.

Each has name and version, and what its extras need; of two with the same name, the one that an import would find.
"""

import json
import re
import sys
from importlib import metadata
from typing import Any


def described(package: metadata.Distribution) -> dict[str, Any]:
    """One package; raises whatever a damaged one makes the library raise."""
    return {
        "name": re.sub(r"[-_.]+", "-", str(package.metadata["Name"])).lower(),
        "version": str(package.version),
        "extras": list(package.metadata.get_all("Provides-Extra") or ()),
        "requires_of_extras": [line for line in package.requires or () if re.search(r"\bextra\s*==", line)],
    }


def main() -> None:
    """Print them all."""
    found: dict[str, dict[str, Any]] = {}
    for package in metadata.distributions():
        try:
            one = described(package)
        except Exception:  # noqa: BLE001, S112 - what has no readable metadata cannot be constrained
            continue
        if package.metadata["Name"] and one["version"] != "None":
            found.setdefault(one["name"], one)
    sys.stdout.write(json.dumps(sorted(found.values(), key=lambda one: one["name"])))


if __name__ == "__main__":
    main()
