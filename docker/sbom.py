#!/usr/bin/env python3
"""Write the image's list of parts: one CycloneDX document of the builder's packages and of the runner kit's packages.

Usage: `sbom.py --packages FOLDER --kit FOLDER --version VERSION OUTPUT.json`, with a Python that has cyclonedx-bom.
The same parts give the same bytes, because the document has no time and no serial number. Each component names the
parts of the image that contain it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

SPEC = SchemaVersion.V1_6
WHERE = "notebook-builder:part"

Json = dict[str, Any]


ZIP_FILES = ("kernel.zip", "runner-site.zip")


def installed(folders: Iterable[Path]) -> Json:
    """Return cyclonedx-bom's document of the packages in `folders` only."""
    command = [
        sys.executable,
        "-m",
        "cyclonedx_py",
        "environment",
        "-S",
        "--output-reproducible",
        "--no-validate",
    ]
    command += ["--spec-version", SPEC.to_version(), "--output-format", "JSON", sys.executable]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    found: Json = json.loads(done.stdout)
    return found


def kit_trees(kit: Path, scratch: Path) -> Iterator[tuple[str, list[Path]]]:
    """Yield the name of each CPython's kit, and the folders below `scratch` with the metadata of its packages.

    Only metadata is unpacked, because this Python must not import the bytecode of another one.
    """
    for path in sorted(kit.glob("cp*.tar.gz")):
        cpython = path.name.removesuffix(".tar.gz")
        target = scratch / cpython
        with tarfile.open(path) as archive:
            wanted = [member for member in archive if is_metadata(member.name) or member.name in ZIP_FILES]
            archive.extractall(target, members=wanted, filter="data")
        for zip_file in ZIP_FILES:
            with zipfile.ZipFile(target / zip_file) as zipped:
                names = [name for name in zipped.namelist() if is_metadata(name)]
                zipped.extractall(target / "zipped" / zip_file, names)  # noqa: S202 - our own archive
        folders = [target / name.removesuffix(".zip") for name in ZIP_FILES]
        yield cpython, [*folders, *(target / "zipped" / name for name in ZIP_FILES)]


def is_metadata(name: str) -> bool:
    """True if a file of an archive is part of a package's metadata."""
    return ".dist-info/" in name


def merge(parts: Iterable[tuple[str, Json]]) -> tuple[list[Json], list[Json]]:
    """Return the components and dependencies of all documents: each component once, with the parts that contain it."""
    components: dict[str, Json] = {}
    depends: dict[str, set[str]] = {}
    for part, document in parts:
        for component in document.get("components", []):
            known = components.setdefault(component["bom-ref"], {**component, "properties": []})
            known["properties"].append({"name": WHERE, "value": part})
        for entry in document.get("dependencies", []):
            depends.setdefault(entry["ref"], set()).update(entry.get("dependsOn", []))
    kept = [components[ref] for ref in sorted(components)]
    return kept, [
        {"ref": ref, "dependsOn": sorted(depends[ref])} for ref in sorted(depends.keys() & components)
    ]


def document(version: str, components: list[Json], dependencies: list[Json]) -> Json:
    """Return the complete CycloneDX document of the image at `version`."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC.to_version(),
        "version": 1,
        "metadata": {
            "component": {
                "bom-ref": "notebook-builder",
                "type": "container",
                "name": "notebook-builder",
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": components,
        "dependencies": [
            {"ref": "notebook-builder", "dependsOn": [component["bom-ref"] for component in components]},
            *dependencies,
        ],
    }


def main(arguments: list[str]) -> int:
    """Write the list. Return the exit code: 1 if the document is not valid CycloneDX."""
    parser = argparse.ArgumentParser(prog="sbom.py")
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--kit", type=Path, required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("output", type=Path)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        trees = [("builder", [given.packages])]
        trees += [(f"kit {cpython}", folders) for cpython, folders in kit_trees(given.kit, Path(scratch))]
        parts = [(part, installed(folders)) for part, folders in trees]
    text = json.dumps(document(given.version, *merge(parts)), indent=1, sort_keys=True) + "\n"
    mistakes = JsonStrictValidator(SPEC).validate_str(text)
    if mistakes:
        sys.stderr.write(f"the list of parts is not valid: {mistakes}\n")
        return 1
    given.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
