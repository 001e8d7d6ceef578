"""Machine images: what is installed on a VM that was just booted, as Python prefixes that are built once and kept.

`bare` has a Python and nothing else; `scientific` has numpy, pandas and matplotlib of its own. They lie beside the virtual
environment's packages, `<sys.prefix>/machine-images/<image>-<key>`, and the key changes with what they are made of.
`python -m localcloud.machine.images [IMAGE]...` builds them ahead of time.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from localcloud.machine import relocate
from localcloud.packages import install_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements" / "machine-image-scientific.txt"
# Modules that need a library: where the interpreter has them, so must the image.
EXTENSIONS = (
    "bz2",
    "ctypes",
    "hashlib",
    "lzma",
    "multiprocessing.shared_memory",
    "sqlite3",
    "ssl",
    "uuid",
    "zlib",
)
PROBE = """
import importlib, json, sys
for name in sys.argv[1:]: importlib.import_module(name)
import site
maps = {line.split(maxsplit=5)[5].strip() for line in open("/proc/self/maps") if line.count("/")}
seen = sorted(path for path in maps if "python3" in path)
print(json.dumps({"prefix": sys.base_prefix, "path": sys.path[1:] if sys.path[0] == "" else sys.path, "seen": seen,
    "user": bool(site.ENABLE_USER_SITE), "packages": site.getsitepackages()[0]}))
"""
# Matplotlib looks for its font list in a home folder, which a VM's environment does not name, and would write it to the one
# of the user database; so the image brings the list and says where it is, as a distribution's packages do.
SITE_CUSTOMIZATION = """import os, sys
os.environ.setdefault("MPLCONFIGDIR", os.path.join(sys.prefix, "share", "matplotlib"))
"""


class ImageError(Exception):
    """A machine image cannot be built; the message says why and what to do."""


def prefix(image: str) -> Path:
    """Python prefix of the image "bare" or "scientific", built now if there is none yet; raises `ImageError`."""
    makers: dict[str, Callable[[Path], None]] = {"bare": _make_bare, "scientific": _make_scientific}
    if image not in makers:
        message = f"there is no machine image {image!r}, only {', '.join(makers)}"
        raise ImageError(message)
    parts = [REQUIREMENTS.read_bytes()] if image == "scientific" else []
    return _kept(f"{image}-{_key(parts)}", makers[image])


def prefix_with(packages: Path) -> Path:
    """Like the bare image, with the contents of the folder `packages` as its site-packages (for tests)."""
    parts = []
    for file in sorted(path for path in packages.rglob("*") if path.is_file()):
        parts += [str(file.relative_to(packages)).encode(), file.read_bytes()]

    def make(target: Path) -> None:
        shutil.copytree(prefix("bare"), target, dirs_exist_ok=True)
        shutil.copytree(packages, _probe(target), dirs_exist_ok=True)

    return _kept(f"custom-{_key(parts)}", make)


def _key(parts: list[bytes]) -> str:
    """Short hash of the interpreter, of the code that makes images, and of further ingredients."""
    source = relocate.running()
    state = source.executable.stat()
    digest = hashlib.sha256(f"{sys.version} {source} {state.st_size} {state.st_mtime_ns}".encode())
    for part in [Path(relocate.__file__).read_bytes(), Path(__file__).read_bytes(), *parts]:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:12]


def _kept(name: str, make: Callable[[Path], None]) -> Path:
    """Return the kept prefix of that name, made by one process only and in place only when it is complete."""
    folder = Path(sys.prefix) / "machine-images"
    done = folder / name
    if done.is_dir():
        return done
    if name.startswith(("scientific", "custom")):
        prefix("bare")  # the others start from it; its lock must not be asked for while ours is held
    with _alone(folder):
        if done.is_dir():
            return done
        for left in folder.glob(".making-*"):  # by a process that was ended; nobody else works here now
            shutil.rmtree(left)
        begin = time.monotonic()
        sys.stderr.write(f"localcloud: making the machine image {name} (once)\n")
        work = Path(tempfile.mkdtemp(prefix=".making-", dir=folder))
        try:
            make(work)
            _compile(work)
            _probe(work)
            work.chmod(0o755)
            work.rename(done)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        sys.stderr.write(f"localcloud: the machine image is ready after {time.monotonic() - begin:.1f} s\n")
    return done


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        message = f"machine images are kept in {folder}, which cannot be written ({error.strerror}): run `make venv` there as its owner"
        raise ImageError(message) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_bare(target: Path) -> None:
    relocate.relocate(relocate.running(), target)


def _make_scientific(target: Path) -> None:
    shutil.copytree(prefix("bare"), target, dirs_exist_ok=True)
    packages = _probe(target)
    # Copies, not links into uv's cache: a notebook may write to its image.
    arguments = ["--link-mode", "copy", "--target", str(packages), "--only-binary", ":all:"]
    arguments += ["--require-hashes", "--no-deps", "--requirement", str(REQUIREMENTS)]
    _run(install_command(*arguments), "install its packages", our_environment=True)
    shutil.rmtree(packages / "bin", ignore_errors=True)  # scripts that would name this process's interpreter
    for tests in [path for path in packages.rglob("tests") if path.is_dir()]:
        shutil.rmtree(tests)
    (packages / "sitecustomize.py").write_text(SITE_CUSTOMIZATION)
    (target / "share" / "matplotlib").mkdir(parents=True)
    _compile(target)
    _run([str(target / "bin" / "python3"), "-c", "import matplotlib.font_manager"], "list its fonts")


def _compile(target: Path) -> None:
    """Byte-compile what came without bytecode."""
    _run(
        [str(target / "bin" / "python3"), "-I", "-m", "compileall", "-q", "-j", "0", str(target)],
        "byte-compile it",
        checked=False,  # some files are templates or for other versions of Python
    )


def _probe(target: Path) -> Path:
    """Run the Python of a prefix and return its site-packages folder; raises `ImageError` if it sees anything of ours."""
    names = [name for name in EXTENSIONS if find_spec(name)]
    told = json.loads(_run([str(target / "bin" / "python3"), "-c", PROBE, *names], "run its Python"))
    foreign = [path for path in [*told["path"], *told["seen"]] if not Path(path).is_relative_to(target)]
    if Path(told["prefix"]) != target or foreign or told["user"]:
        message = f"the copied Python in {target} still uses {foreign or told}: this interpreter's layout is not supported, use python.org's, Debian's, pyenv's or uv's"
        raise ImageError(message)
    return Path(told["packages"])


def _run(command: list[str], purpose: str, *, our_environment: bool = False, checked: bool = True) -> str:
    """Run a step, in an empty environment unless told otherwise; raises `ImageError` with its last words."""
    result = subprocess.run(
        command,
        env=None if our_environment else {},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if checked and result.returncode:
        message = f"could not make the machine image: cannot {purpose} ({' '.join(command[:4])} …):\n{result.stderr[-2000:]}"
        raise ImageError(message)
    return result.stdout


def main(names: list[str]) -> int:
    """Build the named images (bare when none is named) and print where they are."""
    try:
        for name in names or ["bare"]:
            sys.stdout.write(f"{prefix(name)}\n")
    except ImageError as error:
        sys.stderr.write(f"localcloud: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
