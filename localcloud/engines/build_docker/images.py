"""The images of a Docker engine: by name, by the registry's digest, by the engine's id."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from localcloud.engines.build import RunnerError
from localcloud.engines.build_docker.cli import Docker
from localcloud.engines.image_names import parse_image


class DockerImages:
    """The engine's images; see `Images`. Every method raises RunnerError if no engine answers."""

    def __init__(self, docker: Docker) -> None:
        self._docker = docker

    def find(self, image: str) -> str | None:
        """Return the name or id by which the engine's commands take an image; None if the engine lacks it.

        An image that was never pushed has no digest of a registry; its id stands for one, as in `digest`.
        """
        if self._inspect(image) is not None:
            return image
        name = parse_image(image)
        digest = name.digest if name else None
        known = self._docker.call("images", "--no-trunc", "--digests", "--format", "{{.ID}} {{.Digest}}")
        lines = (line.split() for line in known.decode().splitlines())
        return next((line[0] for line in lines if digest in line), None)

    def digest(self, image: str) -> str | None:
        """Return an image's digest in the repository that its name has, else its id."""
        found, name = self.find(image), parse_image(image)
        about = self._inspect(found) if found else None
        if about is None or name is None:
            return None
        if name.digest:
            return name.digest
        ours = f"{name.repository}@"
        digests = [each.removeprefix(ours) for each in about["RepoDigests"] or () if each.startswith(ours)]
        return str((digests or [about["Id"]])[0])

    def pushed(self, image: str) -> float | None:
        """Return the time at which the engine last named the image; an engine keeps no time of pushing."""
        found = self.find(image)
        about = self._inspect(found) if found else None
        if about is None:
            return None
        named, made = (
            datetime.fromisoformat(when) for when in (about["Metadata"]["LastTagTime"], about["Created"])
        )
        return (max(made, named)).timestamp()

    def _inspect(self, image: str) -> Any:
        """Return the engine's description of an image; None if it lacks the image or does not answer."""
        try:
            return json.loads(self._docker.call("image", "inspect", "--", image))[0]
        except RunnerError:
            return None
