"""What the process runner knows of images: which program of this machine stands for which image."""

from __future__ import annotations

import sys
from pathlib import Path

from localcloud.cloudbuild.names import parse_image
from localcloud.cloudbuild.runner import RunnerError

CHECKOUT = Path(__file__).resolve().parents[3]
"""The folder that holds entrypoint.py, builder/ and localcloud/."""

SHELLS = {"bash": "bash", "ubuntu": "bash", "debian": "bash", "alpine": "sh", "busybox": "sh"}
"""Utility images, and the program that each starts when it is given none."""

_HUBS = ("docker.io/library/", "docker.io/", "library/", "")


def command(image: str, entrypoint: str | None, args: tuple[str, ...]) -> list[str]:
    """Program and arguments of a step; RunnerError for an image that no program of this machine stands for."""
    begin = _entrypoint(image, args)
    return [*(begin if entrypoint is None else [entrypoint]), *args]


def is_known(image: str) -> bool:
    """Tell whether a program of this machine stands for the image."""
    try:
        _entrypoint(image, ())
    except RunnerError:
        return False
    return True


def _entrypoint(image: str, args: tuple[str, ...]) -> list[str]:
    """The image's own ENTRYPOINT; where there are no arguments, also its CMD."""
    name = parse_image(image)
    if name is None:
        raise RunnerError(f"invalid reference format: {image!r} is not the name of an image")
    if name.basename == "notebook-builder":
        return [sys.executable, str(CHECKOUT / "entrypoint.py")]
    if name.repository.split("/")[-2:] == ["cloud-builders", "git"]:
        return ["git"]
    if shell := _shell(name.repository):
        # The image "bash" has a program of its own that runs bash when it is given options.
        needs_shell = not args or (name.basename == "bash" and args[0].startswith("-"))
        return [shell] if needs_shell else []
    raise RunnerError(
        f"image {image} cannot run as a process of this machine: the process runner knows notebook-builder, "
        f"cloud-builders/git and {', '.join(SHELLS)}; use `--runner docker` for any other"
    )


def _shell(repository: str) -> str | None:
    for hub in _HUBS:
        if shell := SHELLS.get(repository.removeprefix(hub)):
            return shell
    return None
