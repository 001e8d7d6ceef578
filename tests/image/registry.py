"""Debian's docker-registry on a port of the loopback interface, with a configuration and a folder of its own."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.patience import PATIENCE

PROGRAM = "docker-registry"
ACCEPTED = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass(frozen=True)
class Registry:
    """A registry that runs; `host` stands before the names of its images."""

    host: str

    def digest(self, repository: str, tag: str) -> str:
        """Return the digest of the image that has a tag."""
        with self._get(f"{repository}/manifests/{tag}") as answer:
            return str(answer.headers["Docker-Content-Digest"])

    def tags(self, repository: str) -> list[str]:
        """Return all tags of a repository."""
        with self._get(f"{repository}/tags/list") as answer:
            return sorted(json.load(answer)["tags"])

    def answers(self) -> bool:
        """True if it is up."""
        try:
            self._get("").close()
        except (OSError, urllib.error.URLError):
            return False
        return True

    def _get(self, path: str):  # type: ignore[no-untyped-def]  # noqa: ANN202  urllib has no good name for it
        request = urllib.request.Request(f"http://{self.host}/v2/{path}", headers={"Accept": ACCEPTED})
        return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=PATIENCE)


def missing() -> str | None:
    """Return what to do where the program is not installed."""
    if shutil.which(PROGRAM):
        return None
    return f"the build of this repo is pushed to {PROGRAM}, which is not installed (Debian, Ubuntu: apt-get install {PROGRAM})"


@contextmanager
def registry(folder: Path) -> Iterator[Registry]:
    """Run one that keeps its images in `folder`."""
    made = Registry(f"127.0.0.1:{_free_port()}")
    settings = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": made.host},
    }
    config = folder / "config.yml"
    config.write_text(json.dumps(settings))  # JSON is YAML
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen([PROGRAM, "serve", str(config)], stdout=log, stderr=log) as server,
    ):
        try:
            _wait(made, server, folder / "log")
            yield made
        finally:
            server.terminate()


def _wait(made: Registry, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not made.answers():
        ended = server.poll() is not None
        assert not ended, f"{PROGRAM} has ended: {log.read_text()}"
        assert time.monotonic() < deadline, f"{PROGRAM} does not answer: {log.read_text()}"
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
