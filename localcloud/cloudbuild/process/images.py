"""What the process runner knows of images: which program of this machine stands for which image."""

from __future__ import annotations

import sys
import time
from functools import cached_property
from pathlib import Path

from localcloud.cloudbuild.names import Image, parse_image
from localcloud.cloudbuild.process.checkout import digest_of
from localcloud.cloudbuild.runner import RunnerError

CHECKOUT = Path(__file__).resolve().parents[3]
"""The folder that holds entrypoint.py, builder/ and localcloud/."""

SHELLS = {"bash": "bash", "ubuntu": "bash", "debian": "bash", "alpine": "sh", "busybox": "sh"}
"""Utility images, and the program that each starts when it is given none."""

_OWN = "notebook-builder"
_OWN_TAG = "latest"
_HUBS = ("docker.io/library/", "docker.io/", "library/", "")


class ProcessImages:
    """The images that a program of this machine stands for; see `Images`.

    Our own, whatever its registry, repository and tag, means the checkout as it was when its digest was first asked for.
    """

    def __init__(self, checkout: Path = CHECKOUT) -> None:
        self._checkout = checkout
        self._made = time.time()

    def command(self, image: str, entrypoint: str | None, args: tuple[str, ...]) -> list[str]:
        """Program and arguments of a step; RunnerError for an image that no program of this machine stands for."""
        begin = self._entrypoint(image, args)
        return [*(begin if entrypoint is None else [entrypoint]), *args]

    def is_known(self, image: str) -> bool:
        """Tell whether a program of this machine stands for the image."""
        try:
            self._entrypoint(image, ())
        except RunnerError:
            return False
        return True

    def digest(self, image: str) -> str | None:
        """Return the checkout's digest for every name of our own image, but those with another digest."""
        name = parse_image(image)
        if name is None or name.basename != _OWN or name.digest not in {None, self._digest}:
            return None
        return self._digest

    def pushed(self, image: str) -> float | None:
        """Return when this began: the checkout is there since then."""
        return self._made if self.digest(image) else None

    def repositories(self, below: str) -> list[str]:
        """Return the name that our own image has there; it is found under any folder too."""
        return [f"{below}{_OWN}"]

    def tags(self, repository: str) -> list[str]:
        """Return one tag for our own image; it is found by any other too."""
        return [_OWN_TAG] if repository.rpartition("/")[2] == _OWN else []

    @cached_property
    def _digest(self) -> str:
        return digest_of(self._checkout)

    def _entrypoint(self, image: str, args: tuple[str, ...]) -> list[str]:
        """The image's own ENTRYPOINT; where there are no arguments, also its CMD."""
        name = parse_image(image)
        if name is None:
            raise RunnerError(f"invalid reference format: {image!r} is not the name of an image")
        if name.basename == _OWN:
            self._check_digest(image, name)
            return [sys.executable, str(self._checkout / "entrypoint.py")]
        if name.repository.split("/")[-2:] == ["cloud-builders", "git"]:
            return ["git"]
        if shell := _shell(name.repository):
            # The image "bash" has a program of its own that runs bash when it is given options.
            needs_shell = not args or (name.basename == "bash" and args[0].startswith("-"))
            return [shell] if needs_shell else []
        raise RunnerError(
            f"image {image} cannot run as a process of this machine: the process runner knows {_OWN}, "
            f"cloud-builders/git and {', '.join(SHELLS)}; use `--runner docker` for any other"
        )

    def _check_digest(self, image: str, name: Image) -> None:
        if name.digest not in {None, self._digest}:
            raise RunnerError(
                f'manifest for {image} not found: manifest unknown: Failed to fetch "{name.digest}"; the checkout in '
                f"{self._checkout} is {self._digest}, another one than was deployed: deploy again from it, or go back to that one"
            )


def _shell(repository: str) -> str | None:
    for hub in _HUBS:
        if shell := SHELLS.get(repository.removeprefix(hub)):
            return shell
    return None
