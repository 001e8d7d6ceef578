"""Builds the kit: one reproducible archive with everything the VM needs beside its own Python, and finds it again.

`python -m builder.kit OUTPUT.tar.gz` writes it. Inside:

    runner/                       our own code (builder/vm/runner)
    kernel/{common,cp311,…}       what ipykernel needs; appended to the image's own packages
    runner-site/{common,cp311,…}  papermill, nbconvert, the storage client; the runner's alone
    uv/                           the uv binary, packed: the runner unpacks it where a notebook has requirements

A wheel that is the same file for every CPython goes to `common`. Wheels are fetched by pip with hashes, so the
user's own index settings hold, and are taken apart here: no script, no header, no test is carried.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.parser import BytesParser
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
CPYTHONS = ("311", "312", "313")
KERNEL_ROOT = "ipykernel"
RUNNER_ROOTS = {"google-cloud-storage", "latex2mathml", "nbconvert", "nh3", "papermill", "psutil", "tinycss2"}
UV = "uv"
# What the kit works without (a test runs every part of it): name -> why it can go.
LEFT_OUT = {
    "aiohttp": "papermill names it for Python 3.12 only and never imports it",
    "debugpy": "ipykernel's debugger; its import is optional and nobody debugs on the VM",
    "jedi": "completion, for people who type",
    "opentelemetry-api": "tracing; the storage client's import is optional",
    "proto-plus": "only for the storage client over gRPC; ours speaks REST",
    "pyasn1": "google-auth's older key formats; the VM has a token from its metadata server, and no key",
    "pyasn1-modules": "as pyasn1",
    "tzdata": "Linux images have their own time zones",
}
PLATFORMS = (
    *(f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 26, 24, 17, 12, 5)),
    "manylinux2014_x86_64",
    "manylinux2010_x86_64",
    "manylinux1_x86_64",
)
# nbconvert's templates for a page's body; pages get their head and style from us.
TEMPLATES = {("share", "jupyter", "nbconvert", "templates", name) for name in ("base", "basic", "classic")}
DROPPED_FOLDERS = {"tests", "test", "include"}
DROPPED_SUFFIXES = {".pyi", ".pyx", ".pxd", ".h", ".c", ".cpp", ".pyc", ".exe", ".proto"}
METADATA_FILES = {"METADATA", "entry_points.txt"}


class KitError(Exception):
    """The kit cannot be built or found; the message says what to do."""


@dataclass(frozen=True)
class Kit:
    """A built kit: where it lies, its content hash (also its name in the bucket), its size in bytes."""

    path: Path
    sha256: str
    size: int


@dataclass(frozen=True)
class Wheel:
    """One downloaded wheel: the project's normalized name, and the file."""

    project: str
    path: Path


def locate() -> Path:
    """Return the built kit beside the `builder` package; raises `KitError` where there is none."""
    path = ROOT / "build" / "kit" / "kit.tar.gz"
    if not path.is_file():
        message = f"the runner kit is not built ({path} is missing): run `make venv`"
        raise KitError(message)
    return path


def load(path: Path | None = None) -> Kit:
    """Return the kit at `path`, or the built one, with its hash and size."""
    path = path or locate()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Kit(path, digest, path.stat().st_size)


def build(output: Path) -> Kit:
    """Write the kit to `output`: the same inputs give the same bytes. Raises `KitError`."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor() as pool:
        wheels = dict(zip(CPYTHONS, pool.map(lambda v: _wheels(v, output.parent), CPYTHONS), strict=True))
    with tempfile.TemporaryDirectory(prefix="kit-", dir=output.parent) as scratch:
        tree = Path(scratch, "kit")
        _copy_runner(tree)
        for wheel, folder in _placed(wheels):
            _take_apart(wheel, tree / folder)
        _add_uv(next(w for w in wheels[CPYTHONS[0]] if w.project == UV), tree / UV, output.parent / "wheels")
        for python in _interpreters():
            _byte_compile(python, tree)
        _check(tree)
        _archive(tree, Path(scratch, "kit.tar.gz")).replace(output)
    return load(output)


def _wheels(cpython: str, cache: Path) -> list[Wheel]:
    """Return the wheels of requirements/kit-cp<cpython>.txt, fetched once per content of that file."""
    lock = ROOT / "requirements" / f"kit-cp{cpython}.txt"
    wanted = _without_left_out(lock.read_text(encoding="utf-8"))
    folder = cache / "wheels" / f"cp{cpython}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fetch-", dir=folder.parent) as scratch:
            requirements = Path(scratch, "requirements.txt")
            requirements.write_text(wanted, encoding="utf-8")
            _fetch(cpython, requirements, Path(scratch, "wheels"))
            Path(scratch, "wheels").replace(folder)
    return [Wheel(_normalized(path.name.split("-")[0]), path) for path in sorted(folder.glob("*.whl"))]


def _fetch(cpython: str, requirements: Path, target: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check"]
    command += ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--implementation", "cp"]
    command += ["--python-version", f"{cpython[0]}.{cpython[1:]}"]
    for platform in PLATFORMS:
        command += ["--platform", platform]
    command += ["--dest", str(target), "--requirement", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"pip could not fetch the kit's wheels for CPython {cpython}:\n{done.stderr.strip()}"
        raise KitError(message)


def _without_left_out(lock: str) -> str:
    """Drop the requirements named in LEFT_OUT, with their hashes, from a lock file's text."""
    blocks = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)
    return "".join(b for b in blocks if _normalized(re.split(r"[=\s\[]", b, maxsplit=1)[0]) not in LEFT_OUT)


def _placed(wheels: Mapping[str, list[Wheel]]) -> Iterator[tuple[Wheel, str]]:
    """Say for each distinct wheel below which folder of the kit it belongs; what nothing needs is left out."""
    for cpython, found in wheels.items():
        kernel = _closure(found, {KERNEL_ROOT})
        needed = _closure(found, {*RUNNER_ROOTS, *kernel})
        others = [{wheel.path.name for wheel in wheels[other]} for other in CPYTHONS]
        for wheel in found:
            shared = all(wheel.path.name in names for names in others)
            if wheel.project not in needed or (shared and cpython != CPYTHONS[0]):
                continue
            tree = "kernel" if wheel.project in kernel else "runner-site"
            yield wheel, f"{tree}/{'common' if shared else 'cp' + cpython}"


def _closure(wheels: Iterable[Wheel], roots: set[str]) -> set[str]:
    """Return `roots` and all that they require. Only locked wheels count, so markers need no evaluation."""
    paths = {wheel.project: wheel.path for wheel in wheels}
    asked: set[tuple[str, str]] = set()
    todo = [(project, "") for project in roots]
    while todo:
        project, extra = todo.pop()
        if project in paths and (project, extra) not in asked:
            asked.add((project, extra))
            todo += _requirements(paths[project], extra)
    return {project for project, _ in asked}


def _requirements(wheel: Path, extra: str) -> Iterator[tuple[str, str]]:
    """Yield what a wheel requires, each with "" and with each extra of it that is asked for."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n))
        metadata = BytesParser().parsebytes(archive.read(name), headersonly=True)
    for line in map(str, metadata.get_all("Requires-Dist", [])):
        of_extra = re.search(r"extra == ['\"]([^'\"]+)", line)
        required = re.match(r"([\w.-]+)\s*(?:\[([^\]]*)\])?", line)
        if required and "pypy" not in line and (of_extra.group(1) if of_extra else "") == extra:
            for wanted in ("", *(required[2] or "").replace(" ", "").split(",")):
                yield _normalized(required[1]), wanted


def _normalized(project: str) -> str:
    return re.sub(r"[-_.]+", "-", project).lower()


def _take_apart(wheel: Wheel, folder: Path) -> None:
    """Unpack what is needed at run time; nbconvert's templates, which are data, go to `share` beside it."""
    with zipfile.ZipFile(wheel.path) as archive:
        for name in archive.namelist():
            path = _kept(PurePosixPath(name))
            if path is None or name.endswith("/"):
                continue
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(name))


def _kept(path: PurePosixPath) -> PurePosixPath | None:
    """Return where a wheel's member goes, relative to its tree, or None for what the VM does not need."""
    top, rest = path.parts[0], path.parts[1:]
    if top.endswith(".data"):
        if rest[:1] in {("purelib",), ("platlib",)}:
            return _kept(PurePosixPath(*rest[1:]))
        return PurePosixPath(*rest[1:]) if rest[1:6] in TEMPLATES and rest[6] != "static" else None
    if top.endswith(".dist-info"):
        is_licence = "licen" in path.name.lower() or "notice" in path.name.lower() or "licenses" in rest
        return path if path.name in METADATA_FILES or is_licence else None
    if path.suffix in DROPPED_SUFFIXES or DROPPED_FOLDERS.intersection(path.parts[:-1]):
        return None
    return path


def _add_uv(wheel: Wheel, folder: Path, cache: Path) -> None:
    """Put the binary into `folder` as uv.xz, with its licences: a third smaller than gzip would make it.

    Packing takes half a minute, so it is done once per wheel and kept in `cache`.
    """
    folder.mkdir()
    kept = cache / f"{wheel.path.stem}.xz"
    with zipfile.ZipFile(wheel.path) as archive:
        for name in archive.namelist():
            path = PurePosixPath(name)
            if path.parts[0].endswith(".dist-info") and "licenses" in path.parts:
                (folder / path.name).write_bytes(archive.read(name))
            elif path.parts[-2:] == ("scripts", UV) and not kept.is_file():
                # Beside its final place: in an image's build the cache is a file system of its own.
                fresh = kept.with_name(f"{kept.name}.{os.getpid()}")
                fresh.write_bytes(lzma.compress(archive.read(name)))
                fresh.replace(kept)
    shutil.copyfile(kept, folder / "uv.xz")


def _copy_runner(tree: Path) -> None:
    source = Path(__file__).resolve().parent / "vm" / "runner"
    shutil.copytree(source, tree / "runner", ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))


def _interpreters() -> Iterator[str]:
    """Yield an interpreter for each CPython of the kit that this machine has; the others compile on the VM."""
    for cpython in CPYTHONS:
        version = (int(cpython[0]), int(cpython[1:]))
        python = (
            sys.executable
            if sys.version_info[:2] == version
            else shutil.which(f"python{version[0]}.{version[1]}")
        )
        probe = (
            f"import sys; sys.exit(sys.version_info[:2] != {version} or sys.implementation.name != 'cpython')"
        )
        if python and not subprocess.run([python, "-c", probe], capture_output=True, check=False).returncode:
            yield python


def _byte_compile(python: str, tree: Path) -> None:
    """Compile for `python`, with hash-based files that are never checked: no time stamp, no read of the source.

    A fixed hash seed keeps the constants' order, and with it the bytes, the same each time. So does one process for
    all files: what it compiled before leaves traces in the bytes, and workers would share the files as it comes.
    """
    tag = subprocess.run(
        [python, "-c", "import sys; print('cp%d%d' % sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    folders = [
        "runner",
        *(f"{tree_}/{sub}" for tree_ in ("kernel", "runner-site") for sub in ("common", tag)),
    ]
    command = [python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    command += ["-s", str(tree), "-p", "/kit", *(str(tree / folder) for folder in folders)]
    # A template or an example that does not compile is not worth a failure: it is carried as it is.
    subprocess.run(command, capture_output=True, check=False, env={**os.environ, "PYTHONHASHSEED": "0"})


def _check(tree: Path) -> None:
    for cpython in CPYTHONS:
        for name in ("kernel", "runner-site"):
            if not (tree / name / f"cp{cpython}").is_dir():
                message = (
                    f"the kit has no {name} tree for CPython {cpython}: see requirements/kit-cp{cpython}.txt"
                )
                raise KitError(message)


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
            entry.mode = 0o644
            with path.open("rb") as file:
                archive.addfile(entry, file)
    return output


def main(arguments: list[str]) -> int:
    """Build the kit where the one argument says; return the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m builder.kit OUTPUT.tar.gz\n")
        return 2
    try:
        kit = build(Path(arguments[0]))
    except KitError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"kit {kit.sha256[:12]}: {kit.size / 1e6:.1f} MB at {kit.path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
