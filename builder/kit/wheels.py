"""The wheels of the kit: pip fetches them with hashes; those that the kit's roots require are unpacked.

pip uses the user's index settings. Scripts, headers and tests of a wheel are left out.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from pathlib import Path, PurePosixPath

from builder.kit import ROOT, KitError

# Packages that the kit works without, with the reason; a test runs every part of the kit.
LEFT_OUT = {
    "aiohttp": "papermill names it for Python 3.12 only and never imports it",
    "cffi": "as cryptography",
    "cryptography": "google-auth signs with it; the VM has a token from its metadata server, and no key",
    "debugpy": "ipykernel's debugger; its import is optional and nobody debugs on the VM",
    "jedi": "completion, for people who type",
    "opentelemetry-api": "tracing; the storage client's import is optional",
    "proto-plus": "only for the storage client over gRPC; ours speaks REST",
    "pyasn1": "as cryptography",
    "pyasn1-modules": "as cryptography",
    "pycparser": "as cryptography",
    "tqdm": "papermill's progress bar, which is switched off",
    "tzdata": "Linux images have their own time zones",
}
# Parts of Google's packages that a REST client never imports: gRPC, asyncio, long operations.
NEVER_IMPORTED = tuple(
    PurePosixPath("google", *part.split("/"))
    for part in (
        "_async_resumable_media",
        "api",
        "api_core/gapic_v1",
        "api_core/operations_v1",
        "auth/aio",
        "cloud/_storage_v2",
        "cloud/location",
        "cloud/storage/_experimental",
        "cloud/storage/asyncio",
        "gapic",
        "logging",
        "longrunning",
        "type",
    )
)
PLATFORMS = (
    *(f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 26, 24, 17, 12, 5)),
    "manylinux2014_x86_64",
    "manylinux2010_x86_64",
    "manylinux1_x86_64",
)
# Packages that work from a zip file although they have data, with the reason.
UNREAD_DATA = {
    "bleach": "notes on the parser that it contains",
    "ipykernel": "the logos of a kernelspec; the runner writes its own",
    "jsonschema": "the input of a benchmark",
    "jsonschema-specifications": "schemas, which it reads through its loader",
    "nbconvert": "notes on its templates",
    "urllib3": "a script for browsers",
}
DROPPED_FOLDERS = {"tests", "test", "include"}
DROPPED_SUFFIXES = {".pyi", ".pyx", ".pxd", ".h", ".c", ".cpp", ".pyc", ".exe", ".proto", ".typed"}
METADATA_FILES = {"METADATA", "entry_points.txt"}


@dataclass(frozen=True)
class Wheel:
    """One downloaded wheel: the project's normalized name, and the file."""

    project: str
    path: Path


def wheels_of(cpython: str, cache: Path) -> list[Wheel]:
    """Return the wheels of requirements/kit-<cpython>.txt, fetched into `cache` once per content of that file.

    Raises `KitError` if pip cannot fetch them.
    """
    lock = ROOT / "requirements" / f"kit-{cpython}.txt"
    wanted = without_left_out(lock.read_text(encoding="utf-8"))
    folder = cache / f"{cpython}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fetch-", dir=folder.parent) as scratch:
            requirements = Path(scratch, "requirements.txt")
            requirements.write_text(wanted, encoding="utf-8")
            _fetch(cpython, requirements, Path(scratch, "wheels"))
            Path(scratch, "wheels").replace(folder)
    return [Wheel(_normalized(path.name.split("-")[0]), path) for path in sorted(folder.glob("*.whl"))]


def dotted(cpython: str) -> str:
    """Return "3.11" for "cp311"."""
    return f"{cpython[2]}.{cpython[3:]}"


def _fetch(cpython: str, requirements: Path, target: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check"]
    command += ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--implementation", "cp"]
    command += ["--python-version", dotted(cpython)]
    for platform in PLATFORMS:
        command += ["--platform", platform]
    command += ["--dest", str(target), "--requirement", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        message = (
            f"pip could not fetch the kit's wheels for CPython {dotted(cpython)}:\n{done.stderr.strip()}"
        )
        raise KitError(message)


def without_left_out(lock: str) -> str:
    """Drop the requirements named in LEFT_OUT, with their hashes, from a lock file's text."""
    blocks = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)
    return "".join(b for b in blocks if _normalized(re.split(r"[=\s\[]", b, maxsplit=1)[0]) not in LEFT_OUT)


def closure(wheels: Iterable[Wheel], roots: set[str]) -> set[str]:
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


def described(wheel: Wheel) -> dict[str, str | list[str]]:
    """Return the version of a wheel's package, its top-level modules, and its requirements without extras."""
    with zipfile.ZipFile(wheel.path) as archive:
        kept = [path for name in archive.namelist() if (path := _kept(PurePosixPath(name)))]
    metadata = _metadata(wheel.path)
    tops = {path.parts[0] for path in kept if ".dist-info" not in path.parts[0]}
    requires = [
        line
        for line in map(str, metadata.get_all("Requires-Dist", []))
        if not re.search(r"\bextra\s*==", line)
    ]
    return {
        "version": str(metadata["Version"]),
        "modules": sorted({top.partition(".")[0] for top in tops if not top.endswith(".libs")}),
        "requires": requires,
    }


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n))
        return BytesParser().parsebytes(archive.read(name), headersonly=True)


def _requirements(wheel: Path, extra: str) -> Iterator[tuple[str, str]]:
    """Yield the requirements of a wheel, each with "" and with each of its extras."""
    for line in map(str, _metadata(wheel).get_all("Requires-Dist", [])):
        of_extra = re.search(r"extra == ['\"]([^'\"]+)", line)
        required = re.match(r"([\w.-]+)\s*(?:\[([^\]]*)\])?", line)
        if required and "pypy" not in line and (of_extra.group(1) if of_extra else "") == extra:
            for wanted in ("", *(required[2] or "").replace(" ", "").split(",")):
                yield _normalized(required[1]), wanted


def _normalized(project: str) -> str:
    return re.sub(r"[-_.]+", "-", project).lower()


def works_from_zip(wheel: Wheel) -> bool:
    """True if Python can import the package from a zip file: it has no library, and no data that it reads by path."""
    with zipfile.ZipFile(wheel.path) as archive:
        kept = [path for name in archive.namelist() if (path := _kept(PurePosixPath(name)))]
    suffixes = {path.suffix for path in kept if ".dist-info" not in path.parts[0] and path.suffix != ".py"}
    return not suffixes or (wheel.project in UNREAD_DATA and ".so" not in suffixes)


def unpack(wheel: Wheel, folder: Path) -> None:
    """Unpack the files that the VM needs."""
    with zipfile.ZipFile(wheel.path) as archive:
        for name in archive.namelist():
            path = _kept(PurePosixPath(name))
            if path is None or name.endswith("/"):
                continue
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(name))


def _kept(path: PurePosixPath) -> PurePosixPath | None:
    """Return the target of a wheel's member, relative to its tree, or None if the VM does not need it."""
    top, rest = path.parts[0], path.parts[1:]
    if top.endswith(".data"):
        if rest[:1] in {("purelib",), ("platlib",)}:
            return _kept(PurePosixPath(*rest[1:]))
        return None
    if top.endswith(".dist-info"):
        is_licence = "licen" in path.name.lower() or "notice" in path.name.lower() or "licenses" in rest
        return path if path.name in METADATA_FILES or is_licence else None
    if any(path.is_relative_to(part) for part in NEVER_IMPORTED):
        return None
    if path.suffix in DROPPED_SUFFIXES or DROPPED_FOLDERS.intersection(path.parts[:-1]):
        return None
    return path
