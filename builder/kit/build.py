"""Builds the kit: reproducible archives with everything the VM needs beside its own Python.

`python -m builder.kit.build FOLDER [NAME…]` writes the named archives ("cp311", "uv"; "own" is the CPython that runs
it) and the index of all archives in FOLDER. It removes other archives there, unless no name is given. The archive of a
CPython holds

    builder/           our own code: the runner, the protocol, and what they import
    kernel/            what ipykernel needs; appended to the image's own packages
    kernel.zip         the packages of it that are Python modules only; appended behind
    kernel.json        the packages of both: version, modules, and what each requires
    runner-site/       papermill, nbconvert, the storage client; the runner's alone
    runner-site.zip    the packages of it that are Python modules only

with that CPython's bytecode if its interpreter is installed. Each file costs time at every boot, so Python imports
packages from a zip file if they work from there. In runner-site and its zip file, the bytecode replaces the source,
since no notebook's traceback leads there. The archive of uv holds the binary and its licences.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from builder.kit import CPYTHONS, INDEX, UV, Kit, KitError, load
from builder.kit.wheels import Wheel, closure, described, dotted, unpack, wheels_of, works_from_zip

KERNEL, RUNNER = "kernel", "runner-site"
KERNEL_ROOT = "ipykernel"
# What notebooks need although the kernel does not: `%run other.ipynb`. Nothing of the image is replaced for it.
NOTEBOOK_ROOTS = {"nbformat"}
RUNNER_ROOTS = {"google-cloud-storage", "latex2mathml", "nbconvert", "nh3", "papermill", "psutil", "tinycss2"}
BUILDER = Path(__file__).resolve().parents[1]
# The parts of `builder` that run on the VM. They import each other, the standard library and the packages of
# runner-site/.
OWN = (
    "__init__.py",
    "strict_json.py",
    "vm/__init__.py",
    "vm/codec.py",
    "vm/notebook_shape.py",
    "vm/protocol.py",
    "vm/secret_like.py",
    "vm/runner",
)


def own_cpython() -> str:
    """Return the name of the kit's archive for the interpreter that runs this."""
    return f"cp{sys.version_info[0]}{sys.version_info[1]}"


def build(folder: Path, names: Iterable[str]) -> Kit:
    """Write the archives `names` into `folder`, and the index; the same inputs give the same bytes. Raises `KitError`.

    Wheels are kept in `folder`/wheels. Archives of other names are removed: they may be older than the code beside
    them.
    """
    wanted = set(names)
    if unknown := sorted(wanted - {*CPYTHONS, UV}):
        message = f"there is no kit for {', '.join(unknown)}, only for {', '.join(CPYTHONS)}, and {UV}"
        raise KitError(message)
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*CPYTHONS, UV):
        if name not in wanted:
            (folder / f"{name}.tar.gz").unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="kit-", dir=folder) as scratch:
        for name in sorted(wanted):
            tree = Path(scratch, name)
            (_add_uv if name == UV else _add_cpython)(tree, name, folder / "wheels")
            _archive(tree, Path(scratch, f"{name}.tar.gz")).replace(folder / f"{name}.tar.gz")
    return write_index(folder)


def write_index(folder: Path) -> Kit:
    """Write the index of the archives in `folder`, and return the kit. Raises `KitError` if there is no archive."""
    entries = {}
    for name in (*CPYTHONS, UV):
        path = folder / f"{name}.tar.gz"
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            entries[name] = {"sha256": digest, "size": path.stat().st_size}
    if not entries:
        message = f"{folder} holds no archive of the kit"
        raise KitError(message)
    fresh = folder / f"{INDEX}.new"
    fresh.write_text(json.dumps({"schema": 1, "archives": entries}, indent=1) + "\n", encoding="utf-8")
    fresh.replace(folder / INDEX)
    return load(folder)


def _add_cpython(tree: Path, cpython: str, cache: Path) -> None:
    _add_own(tree / "builder")
    wheels = wheels_of(cpython, cache)
    needed, runner = closure(wheels, {KERNEL_ROOT}), closure(wheels, RUNNER_ROOTS)
    kernel = needed | closure(wheels, NOTEBOOK_ROOTS)
    for wheel in wheels:
        if wheel.project in kernel | runner:
            folder = tree / (KERNEL if wheel.project in kernel else RUNNER)
            unpack(wheel, _zipped(folder) if works_from_zip(wheel) else folder)
    index = {wheel.project: described(wheel) for wheel in wheels if wheel.project in needed}
    (tree / "kernel.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    python = _interpreter(cpython)
    if python:
        _byte_compile(python, tree)
    for name in (KERNEL, RUNNER):
        _zip(_zipped(tree / name))


def _zipped(folder: Path) -> Path:
    """Return the name beside `folder` of the packages that become a zip file. It is in the bytecode, too."""
    return folder.with_name(f"{folder.name}.zip")


def _add_own(target: Path) -> None:
    (target / "vm").mkdir(parents=True)
    for name in OWN:
        if (BUILDER / name).is_dir():
            unwanted = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(BUILDER / name, target / name, ignore=unwanted)
        else:
            shutil.copyfile(BUILDER / name, target / name)


def _add_uv(tree: Path, name: str, cache: Path) -> None:
    """Put the binary into `tree`, with its licences. It is the same file for every CPython."""
    wheel = _uv_wheel(cache)
    tree.mkdir()
    with zipfile.ZipFile(wheel.path) as archive:
        for member in archive.namelist():
            path = PurePosixPath(member)
            is_licence = path.parts[0].endswith(".dist-info") and "licenses" in path.parts
            if is_licence or path.parts[-2:] == ("scripts", name):
                (tree / path.name).write_bytes(archive.read(member))
    (tree / name).chmod(0o755)


def _uv_wheel(cache: Path) -> Wheel:
    """Return uv's wheel, which is the same for every CPython."""
    own = own_cpython()
    return next(w for w in wheels_of(own if own in CPYTHONS else CPYTHONS[-1], cache) if w.project == UV)


def _interpreter(cpython: str) -> str | None:
    """Return an interpreter of this CPython, or None if there is none; then the VM compiles what it imports."""
    if own_cpython() == cpython:
        return sys.executable
    python = shutil.which(f"python{dotted(cpython)}")
    version = (int(cpython[2]), int(cpython[3:]))
    probe = f"import sys; sys.exit(sys.version_info[:2] != {version} or sys.implementation.name != 'cpython')"
    if python and not subprocess.run([python, "-c", probe], capture_output=True, check=False).returncode:
        return python
    return None


def _byte_compile(python: str, tree: Path) -> None:
    """Compile for `python`, with hash-based files that are never checked against their source.

    A fixed hash seed keeps the order of constants, and so the bytes, equal. One process compiles all files, since
    earlier files leave traces in the bytes of later ones.
    """
    command = [python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    command += ["-s", str(tree), "-p", "/kit"]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    kernel, runner = tree / KERNEL, tree / RUNNER
    beside = ["-b", str(runner), str(_zipped(runner)), str(_zipped(kernel))]
    for more in ([str(tree / "builder"), str(kernel)], beside):
        # A template or an example that does not compile stays as it is.
        subprocess.run([*command, *more], capture_output=True, check=False, env=environment)
    for folder in (runner, _zipped(runner)):
        for bytecode in folder.rglob("*.pyc"):
            bytecode.with_suffix(".py").unlink()


def _zip(folder: Path) -> None:
    """Replace a folder by a zip file for imports. It is not compressed, since the archive around it is.

    Python 3.11 recognizes a namespace package by its folder's entry.
    """
    made = folder.with_name(f"{folder.name}.new")
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_file():
                archive.writestr(zipfile.ZipInfo(name), path.read_bytes())
            elif not any(path.glob("__init__.py*")):
                archive.writestr(zipfile.ZipInfo(f"{name}/"), b"")
    shutil.rmtree(folder)
    made.replace(folder)


def _archive(tree: Path, output: Path) -> Path:
    """Write the tree as a tar.gz without anything that differs from one build to the next."""
    with (
        output.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in sorted(p for p in tree.rglob("*") if p.is_file()):
            entry = tarfile.TarInfo(path.relative_to(tree).as_posix())
            entry.size = path.stat().st_size
            entry.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            with path.open("rb") as file:
                archive.addfile(entry, file)
    return output


def main(arguments: list[str]) -> int:
    """Build the kit that the arguments name; return the exit code."""
    if not arguments:
        sys.stderr.write("usage: python -m builder.kit.build FOLDER [NAME…]\n")
        return 2
    folder, *names = arguments
    names = [own_cpython() if name == "own" else name for name in names]
    try:
        kit = build(Path(folder), names) if names else write_index(Path(folder))
    except KitError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for archive in kit.archives.values():
        sys.stdout.write(f"kit {kit.sha256[:12]}: {archive.size / 1e6:.1f} MB at {archive.path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
