"""Python environments of functions: a requirements.txt's packages and functions-framework, installed once and kept.

They are in the checkout's `build/functions/<key>`; the key changes with the requirements, the interpreter and this
code. functions-framework must never be installed beside localcloud: a path file of it puts `google` into every
interpreter. `python -m localcloud.engines.function.environments REQUIREMENTS…` makes them ahead of time, so that a
deployment needs no network.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from localcloud.engines import packages
from localcloud.engines.function.source import BuildFailed
from localcloud.engines.supervisor import OwnedProcess

FOLDER = Path(__file__).resolve().parents[3] / "build" / "functions"

_FRAMEWORK = re.compile(r"(?im)^\s*functions[-_.]framework\b")
_OTHER_FILES = re.compile(r"(?m)^\s*(-r|--requirement|-c|--constraint|-e|--editable|\.{0,2}/)")
_HASH = re.compile(r"\s--hash[= ]")  # as with pip, one hash asks for all
_LAST_CHARACTERS = 1500


class Environments:
    """Makes environments, each one once. `close` ends the running installations."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._running: set[OwnedProcess] = set()
        self._closed = False

    def python(self, requirements: str) -> Path:
        """Return the interpreter with these packages, after installing them if needed; raises `BuildFailed`."""
        if _OTHER_FILES.search(requirements):
            raise BuildFailed(
                "localcloud installs the packages that requirements.txt names itself, no other files"
            )
        done = self._folder / _key(requirements)
        if not (done / ".ready").exists():
            with self._alone(done):
                if not (done / ".ready").exists():
                    try:
                        self._make(done, requirements)
                    except BaseException:
                        shutil.rmtree(done, ignore_errors=True)
                        raise
        return done / "bin" / "python"

    def close(self) -> None:
        """Make the running installations fail."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        for process in running:
            process.kill()

    def _make(self, target: Path, requirements: str) -> None:
        """Make an environment in its final place, because it cannot be moved; `.ready` marks it as complete."""
        begin = time.monotonic()
        sys.stderr.write(f"localcloud: installing the packages of a function into {target.name} (once)\n")
        shutil.rmtree(target, ignore_errors=True)
        self._run([sys.executable, "-m", "venv", "--without-pip", str(target)])
        (target / "requirements.txt").write_text(requirements)
        if requirements.strip():
            hashed = ["--require-hashes"] if _HASH.search(requirements) else []
            self._install(target, *hashed, "--requirement", str(target / "requirements.txt"))
        if not _FRAMEWORK.search(requirements):
            self._install(target, "functions-framework")
        python = str(target / "bin" / "python")
        self._run([python, "-I", "-c", "import functions_framework"])
        (target / ".ready").touch()
        sys.stderr.write(f"localcloud: the packages are there after {time.monotonic() - begin:.1f} s\n")

    def _install(self, target: Path, *what: str) -> None:
        self._run(
            packages.install_command("--python", str(target / "bin" / "python"), "--compile-bytecode", *what)
        )

    def _run(self, command: list[str]) -> None:
        with self._lock:
            if self._closed:
                raise BuildFailed("localcloud is ending")
            process = OwnedProcess.start(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            self._running.add(process)
        try:
            with process:
                output = b"" if process.stdout is None else process.stdout.read()
                code = process.wait()
        finally:
            with self._lock:
                self._running.discard(process)
        if code:
            text = output.decode(errors="replace").strip()[-_LAST_CHARACTERS:]
            raise BuildFailed(f"failed to install the packages of requirements.txt:\n{text}")

    @contextlib.contextmanager
    def _alone(self, target: Path) -> Iterator[None]:
        """Lock an environment while one process makes it."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = target.with_suffix(".lock").open("w")
        except OSError as error:
            raise BuildFailed(
                f"packages of functions are kept in {self._folder}, which cannot be written: {error.strerror}"
            ) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _key(requirements: str) -> str:
    """Short hash of the interpreter, of the environment's path, of this code, and of the requirements."""
    digest = hashlib.sha256(f"{sys.version} {sys.base_prefix} {FOLDER}".encode())
    for part in (Path(__file__).read_bytes(), Path(packages.__file__).read_bytes(), requirements.encode()):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:16]


def main(files: list[str]) -> int:
    """Make the environment of each requirements file that is there, and print its interpreter."""
    try:
        for file in map(Path, files):
            if file.is_file():
                sys.stdout.write(f"{Environments().python(file.read_text(encoding='utf-8'))}\n")
    except BuildFailed as error:
        sys.stderr.write(f"localcloud: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
