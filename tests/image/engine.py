"""The Docker engine as the tests use it: through its client, everything labelled and removed at the end."""

from __future__ import annotations

import subprocess
import uuid
from pathlib import Path


class Engine:
    """Calls of one client; `label` marks what the tests make."""

    def __init__(self, program: str) -> None:
        self.program = program
        self.label = f"notebook-builder.image-test={uuid.uuid4()}"
        self._tags: list[str] = []
        self._wanted = ("--quiet", "--filter", f"label={self.label}")

    def call(self, *arguments: str, send: bytes = b"") -> str:
        """Run one command to its end and return what it wrote, less the final line's end; fails with what it said."""
        done = subprocess.run([self.program, *arguments], input=send, capture_output=True, check=False)
        assert done.returncode == 0, f"docker {arguments[0]}: {done.stderr.decode(errors='replace')}"
        return done.stdout.decode().rstrip("\n")

    def problem(self, image: str) -> str | None:
        """Return why nothing can be tested here, and what to do; None when it can."""
        no_engine = (
            f"make image-test needs a Docker engine, and `{self.program}` reaches none; "
            "docker/engine.sh start makes one on Debian and Ubuntu"
        )
        for question, answer in (
            (("version", "--format", "{{.Server.Version}}"), no_engine),
            (("image", "inspect", image), f"there is no image {image}: make image first"),
        ):
            try:
                done = subprocess.run([self.program, *question], capture_output=True, check=False)
            except OSError as error:
                return f"{answer} ({error})"
            if done.returncode:
                said = done.stderr.decode(errors="replace").strip().splitlines()
                return f"{answer} ({said[-1] if said else done.returncode})"
        return None

    def volume(self) -> str:
        """Make an empty volume and return its name."""
        return self.call("volume", "create", "--label", self.label)

    def fill(self, volume: str, folder: Path, image: str) -> None:
        """Copy a folder's content to a volume, as root's."""
        mounted = ("--label", self.label, "--volume", f"{volume}:/filled")
        container = self.call("create", *mounted, image)
        self.call("cp", f"{folder}/.", f"{container}:/filled")
        self.call("rm", container)

    def tag(self, image: str, name: str) -> None:
        """Give an image another name, until the end."""
        self.call("tag", image, name)
        self._tags.append(name)

    def forget(self, name: str) -> None:
        """Remove an image's name, if there is such an image."""
        if self.call("images", "--quiet", name):
            self.call("rmi", name)

    def close(self) -> None:
        """Remove what is left of containers, volumes and names."""
        for listing, removal in (
            (("ps", "--all"), ("rm", "--force", "--volumes")),
            (("volume", "ls"), ("volume", "rm", "--force")),
        ):
            if found := self.call(*listing, *self._wanted).split():
                self.call(*removal, *found)
        for name in self._tags:
            self.forget(name)
