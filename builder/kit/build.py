"""Builds the kit: reproducible archives with everything the VM needs beside its own Python.

`python -m builder.kit.build FOLDER [NAME…]` writes the named archives ("cp311", "uv"; "own" is the CPython that runs it) and the index of
all that stand in FOLDER; other archives there are removed, unless no name is given. The archive of a CPython holds

    runner/        our own code (builder/vm/runner)
    kernel/        what ipykernel needs; appended to the image's own packages
    kernel.zip     the part of it of which a notebook imports little, a thousand files as one; appended behind
    runner-site/   papermill, nbconvert, the storage client; the runner's alone

with that CPython's bytecode where its interpreter is at hand, in runner-site/ instead of the source: each file costs time at every boot,
and no notebook's traceback leads there. The archive of uv holds the binary and its licences.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from builder.kit import CPYTHONS, UV, Kit, KitError, write_index
from builder.kit.wheels import Wheel, closure, dotted, take_apart, wheels_of

KERNEL_ROOT = "ipykernel"
# Large packages without data or libraries, of which few modules are ever imported. Each file costs time at every boot.
ZIPPED = {"prompt-toolkit", "pygments"}
RUNNER_ROOTS = {"google-cloud-storage", "latex2mathml", "nbconvert", "nh3", "papermill", "psutil", "tinycss2"}
VM = Path(__file__).resolve().parents[1] / "vm"


def own_cpython() -> str:
    """Return the name of the kit's archive for the interpreter that runs this."""
    return f"cp{sys.version_info[0]}{sys.version_info[1]}"


def build(folder: Path, names: Iterable[str]) -> Kit:
    """Write the archives `names` into `folder`, and the index; the same inputs give the same bytes. Raises `KitError`.

    Wheels are kept in `folder`/wheels. Archives of other names are removed: they may be older than the code beside them.
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


def _add_cpython(tree: Path, cpython: str, cache: Path) -> None:
    shutil.copytree(VM / "runner", tree / "runner", ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    wheels = wheels_of(cpython, cache)
    kernel, runner = closure(wheels, {KERNEL_ROOT}), closure(wheels, RUNNER_ROOTS)
    for wheel in wheels:
        if wheel.project in kernel | runner:
            folder = "kernel" if wheel.project in kernel else "runner-site"
            take_apart(wheel, tree / ("zipped" if wheel.project in ZIPPED else folder))
    python = _interpreter(cpython)
    if python:
        _byte_compile(python, tree)
    _zip(tree / "zipped", tree / "kernel.zip")


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
    """Return uv's wheel, of a CPython whose wheels are wanted anyway where possible."""
    own = own_cpython()
    return next(w for w in wheels_of(own if own in CPYTHONS else CPYTHONS[-1], cache) if w.project == UV)


def _interpreter(cpython: str) -> str | None:
    """Return an interpreter of this CPython, or None where this machine has none: then the VM compiles what it imports."""
    if own_cpython() == cpython:
        return sys.executable
    python = shutil.which(f"python{dotted(cpython)}")
    version = (int(cpython[2]), int(cpython[3:]))
    probe = f"import sys; sys.exit(sys.version_info[:2] != {version} or sys.implementation.name != 'cpython')"
    if python and not subprocess.run([python, "-c", probe], capture_output=True, check=False).returncode:
        return python
    return None


def _byte_compile(python: str, tree: Path) -> None:
    """Compile for `python`, with hash-based files that are never checked: no time stamp, no read of the source.

    A fixed hash seed keeps the constants' order, and with it the bytes, the same each time. So does one process for
    all files: what it compiled before leaves traces in the bytes, and workers would share the files as it comes.
    """
    command = [python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    command += ["-s", str(tree), "-p", "/kit"]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    beside = ["-b", str(tree / "runner-site"), str(tree / "zipped")]
    for more in ([str(tree / "runner"), str(tree / "kernel")], beside):
        # A template or an example that does not compile is not worth a failure: it is carried as it is.
        subprocess.run([*command, *more], capture_output=True, check=False, env=environment)
    for bytecode in (tree / "runner-site").rglob("*.pyc"):
        bytecode.with_suffix(".py").unlink()


def _zip(folder: Path, output: Path) -> None:
    """Move a folder into a zip archive that Python imports from, not compressed: the archive around it is."""
    with zipfile.ZipFile(output, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.writestr(zipfile.ZipInfo(path.relative_to(folder).as_posix()), path.read_bytes())
    shutil.rmtree(folder)


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
    """Build what the arguments say; return the exit code."""
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
