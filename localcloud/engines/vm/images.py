"""Machine images: the files of a newly booted VM, as Python prefixes that are built once and kept.

`ubuntu-2404` and `debian-12` have what these distributions ship, in a `lib/python3/dist-packages` that is externally
managed, and no pip. `bare` has only a Python; `scientific` has its own numpy, pandas and matplotlib. They are beside
the virtual environment's packages, `<sys.prefix>/machine-images/<image>-<key>`, and the key changes with what they are
made of. `python -m localcloud.engines.vm.images [IMAGE]...` builds them ahead of time.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from localcloud.engines.packages import install_command
from localcloud.engines.supervisor import OwnedProcess
from localcloud.engines.vm import relocate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

DEFAULT = "ubuntu-2404"
DISTRIBUTIONS = (DEFAULT, "debian-12")
LOCKS = Path(__file__).resolve().parents[3] / "requirements"
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
# Where Debian and Ubuntu keep the packages that they ship, below the prefix. Their own Python looks there anyway;
# another finds it by a path file, whose line counts from the folder that it lies in.
DISTRIBUTION_PACKAGES = Path("lib", "python3", "dist-packages")
MANAGED = """[externally-managed]
Error=The distribution manages the packages of this Python: install them with apt, or in a virtual environment.
"""
# Matplotlib looks for its font list in a home folder, which a VM's environment does not name, and would write it to
# the one of the user database; so the image brings the list and says where it is, as a distribution's packages do.
SITE_CUSTOMIZATION = """import os, sys
os.environ.setdefault("MPLCONFIGDIR", os.path.join(sys.prefix, "share", "matplotlib"))
"""


class ImageError(Exception):
    """A machine image cannot be built; the message says why and what to do."""


@dataclass(frozen=True)
class _Recipe:
    """The recipe of an image: its maker, the image that it starts from (None: from nothing), and its other inputs."""

    make: Callable[[Path], None]
    base: str | None
    parts: tuple[bytes, ...] = ()


def _recipes() -> dict[str, _Recipe]:
    def with_packages(make: Callable[[Path, Path], None], image: str) -> _Recipe:
        lock = LOCKS / f"machine-image-{image}.txt"
        return _Recipe(partial(make, lock), "bare", (lock.read_bytes(),))

    return {
        "bare": _Recipe(_make_bare, None),
        "scientific": with_packages(_make_scientific, "scientific"),
        **{image: with_packages(_make_distribution, image) for image in DISTRIBUTIONS},
    }


def prefix(image: str) -> Path:
    """Return the Python prefix of an image, after building it if needed; raises `ImageError`."""
    recipes = _recipes()
    if image not in recipes:
        message = f"there is no machine image {image!r}, only {', '.join(recipes)}"
        raise ImageError(message)
    return _kept(image, recipes[image])


def _key(parts: Iterable[bytes]) -> str:
    """Short hash of the interpreter, of the code that makes images, and of further ingredients."""
    source = relocate.running()
    state = source.executable.stat()
    digest = hashlib.sha256(f"{sys.version} {source} {state.st_size} {state.st_mtime_ns}".encode())
    for part in [Path(relocate.__file__).read_bytes(), Path(__file__).read_bytes(), *parts]:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:12]


def _kept(image: str, recipe: _Recipe) -> Path:
    """Return the kept prefix of an image. One process makes it; it appears once it is complete."""
    folder, name = Path(sys.prefix) / "machine-images", f"{image}-{_key(recipe.parts)}"
    done = folder / name
    if done.is_dir():
        return done
    base = prefix(recipe.base) if recipe.base else None  # before the lock, which it needs too
    with _alone(folder):
        if done.is_dir():
            return done
        for left in folder.glob(".making-*"):  # by a process that was killed; the lock is ours now
            shutil.rmtree(left)
        begin = time.monotonic()
        sys.stderr.write(f"localcloud: making the machine image {name} (once)\n")
        work = Path(tempfile.mkdtemp(prefix=".making-", dir=folder))
        try:
            if base:
                shutil.copytree(base, work, dirs_exist_ok=True)
            recipe.make(work)
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


def _make_distribution(lock: Path, target: Path) -> None:
    packages = target / DISTRIBUTION_PACKAGES
    _install(lock, packages)
    own = _probe(target)
    if not _finds(target, packages):
        own.mkdir(parents=True, exist_ok=True)
        (own / "distribution.pth").write_text(f"{os.path.relpath(packages, own)}\n")
    (target / relocate.running().library_folder / "EXTERNALLY-MANAGED").write_text(MANAGED)


def _install(lock: Path, packages: Path) -> None:
    # Copies, not links into uv's cache: a notebook may write to its image.
    arguments = ["--link-mode", "copy", "--target", str(packages), "--only-binary", ":all:"]
    arguments += ["--require-hashes", "--no-deps", "--requirement", str(lock)]
    _run(install_command(*arguments), "install its packages", our_environment=True)
    shutil.rmtree(packages / "bin", ignore_errors=True)  # scripts that would name this process's interpreter


def _make_scientific(lock: Path, target: Path) -> None:
    packages = _probe(target)
    _install(lock, packages)
    for tests in [path for path in packages.rglob("tests") if path.is_dir()]:
        shutil.rmtree(tests)
    (packages / "sitecustomize.py").write_text(SITE_CUSTOMIZATION)
    (target / "share" / "matplotlib").mkdir(parents=True)
    _compile(target)
    _run([str(target / "bin" / "python3"), "-c", "import matplotlib.font_manager"], "list its fonts")


def _compile(target: Path) -> None:
    """Byte-compile files without bytecode."""
    _run(
        [str(target / "bin" / "python3"), "-I", "-m", "compileall", "-q", "-j", "0", str(target)],
        "byte-compile it",
        checked=False,  # some files are templates or for other versions of Python
    )


def _probe(target: Path) -> Path:
    """Return the site-packages folder of a prefix's Python; raises `ImageError` if it sees this environment."""
    names = [name for name in EXTENSIONS if find_spec(name)]
    probed = json.loads(_run([str(target / "bin" / "python3"), "-c", PROBE, *names], "run its Python"))
    foreign = [path for path in [*probed["path"], *probed["seen"]] if not Path(path).is_relative_to(target)]
    if Path(probed["prefix"]) != target or foreign or probed["user"]:
        message = f"the copied Python in {target} still uses {foreign or probed}: this interpreter's layout is not supported, use python.org's, Debian's, pyenv's or uv's"
        raise ImageError(message)
    return Path(probed["packages"])


def _finds(target: Path, packages: Path) -> bool:
    """True if the Python of a prefix looks for packages in that folder of it."""
    probed = json.loads(_run([str(target / "bin" / "python3"), "-c", PROBE], "run its Python"))
    return str(packages) in probed["path"]


def _run(command: list[str], purpose: str, *, our_environment: bool = False, checked: bool = True) -> str:
    """Run a step, by default in an empty environment; raises `ImageError` with its last output.

    The step ends with this process, even if that is killed.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+", errors="replace") as errors:
        environment: dict[str, str] | None = None if our_environment else {}
        with OwnedProcess.start(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output.fileno(),
            stderr=errors.fileno(),
        ) as step:
            code = step.wait()
        output.seek(0)
        errors.seek(0)
        if checked and code:
            message = f"could not make the machine image: cannot {purpose} ({' '.join(command[:4])} …):\n{errors.read()[-2000:]}"
            raise ImageError(message)
        return output.read()


def main(names: list[str]) -> int:
    """Build the named images (all when none is named) and print where they are."""
    try:
        for name in names or _recipes():
            sys.stdout.write(f"{prefix(name)}\n")
    except ImageError as error:
        sys.stderr.write(f"localcloud: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
