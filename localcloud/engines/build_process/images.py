"""The images of the process runner: a program of this machine replaces each."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from localcloud.engines.build import RunnerError
from localcloud.engines.image_names import Image, parse_image

SHELLS = {"bash": "bash", "ubuntu": "bash", "debian": "bash", "alpine": "sh", "busybox": "sh"}
"""Utility images, and the program that each starts when it is given none."""

_HUBS = ("docker.io/library/", "docker.io/", "library/", "")


@dataclass(frozen=True)
class OwnImage:
    """An image for a folder of this machine: its base name, its command, and the folder.

    `digest` returns "sha256:…" of the folder's content.
    """

    basename: str
    command: tuple[str, ...]
    folder: str
    digest: Callable[[], str]


class ProcessImages:
    """The images that a program of this machine replaces; see `Images`.

    `own`, under any registry, repository and tag, is its folder as of the first call for its digest.
    """

    def __init__(self, own: OwnImage) -> None:
        self.own = own
        self._made = time.time()

    def command(self, image: str, entrypoint: str | None, args: tuple[str, ...]) -> list[str]:
        """Program and arguments of a step; RunnerError for an image that no program of this machine replaces."""
        begin = self._entrypoint(image, args)
        return [*(begin if entrypoint is None else [entrypoint]), *args]

    def is_known(self, image: str) -> bool:
        """True if a program of this machine replaces the image."""
        try:
            self._entrypoint(image, ())
        except RunnerError:
            return False
        return True

    def digest(self, image: str) -> str | None:
        """Return the folder's digest for every name of the own image, but not for a name with another digest."""
        name = parse_image(image)
        if name is None or name.basename != self.own.basename or name.digest not in {None, self._digest}:
            return None
        return self._digest

    def pushed(self, image: str) -> float | None:
        """Return the time at which localcloud started, for the own image."""
        return self._made if self.digest(image) else None

    @cached_property
    def _digest(self) -> str:
        return self.own.digest()

    def _entrypoint(self, image: str, args: tuple[str, ...]) -> list[str]:
        """The image's own ENTRYPOINT; where there are no arguments, also its CMD."""
        name = parse_image(image)
        if name is None:
            raise RunnerError(f"invalid reference format: {image!r} is not the name of an image")
        if name.basename == self.own.basename:
            self._check_digest(image, name)
            return list(self.own.command)
        if name.repository.split("/")[-2:] == ["cloud-builders", "git"]:
            return ["git"]
        if shell := _shell(name.repository):
            # The image "bash" has a program of its own that runs bash when it is given options.
            needs_shell = not args or (name.basename == "bash" and args[0].startswith("-"))
            return [shell] if needs_shell else []
        raise RunnerError(
            f"image {image} cannot run as a process of this machine: the process runner knows {self.own.basename}, "
            f"cloud-builders/git and {', '.join(SHELLS)}; use `--runner docker` for any other"
        )

    def _check_digest(self, image: str, name: Image) -> None:
        if name.digest not in {None, self._digest}:
            raise RunnerError(
                f'manifest for {image} not found: manifest unknown: Failed to fetch "{name.digest}"; the checkout in '
                f"{self.own.folder} is {self._digest}, another one than was deployed: deploy again from it, or go back to that one"
            )


def _shell(repository: str) -> str | None:
    for hub in _HUBS:
        if shell := SHELLS.get(repository.removeprefix(hub)):
            return shell
    return None
