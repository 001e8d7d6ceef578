"""What a Docker engine knows of images: by name, by the digest that a registry gave, by the id that the engine gave."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from localcloud.cloudbuild.docker.cli import Docker
from localcloud.cloudbuild.names import parse_image
from localcloud.cloudbuild.runner import RunnerError

_NONE = "<none>"


class DockerImages:
    """The images that the engine has; see `Images`. Every method raises RunnerError when no engine answers."""

    def __init__(self, docker: Docker) -> None:
        self._docker = docker

    def find(self, image: str) -> str | None:
        """Return what the engine's commands take for an image that it has: the name, or an id; None when it has it not.

        An image that was never pushed has no digest of a registry's. There its id is taken for one, as `digest` gives it.
        """
        if self._inspect(image) is not None:
            return image
        name = parse_image(image)
        digest = name.digest if name else None
        known = self._list("--digests", "{{.ID}} {{.Digest}}")
        return next((line.split()[0] for line in known if digest in line.split()), None)

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
        """Return when the engine gave the image a name last; an engine keeps no time of pushing."""
        found = self.find(image)
        about = self._inspect(found) if found else None
        if about is None:
            return None
        named, made = (
            datetime.fromisoformat(when) for when in (about["Metadata"]["LastTagTime"], about["Created"])
        )
        return (max(made, named)).timestamp()

    def repositories(self, below: str) -> list[str]:
        """Return the names, without tags, of the images whose names begin so."""
        return sorted({name for name in self._list("{{.Repository}}") if name.startswith(below)})

    def tags(self, repository: str) -> list[str]:
        """Return the tags of the images of a name."""
        lines = (line.split() for line in self._list("{{.Repository}} {{.Tag}}"))
        return sorted({tag for name, tag in lines if name == repository and tag != _NONE})

    def _inspect(self, image: str) -> Any:
        """Return the engine's description of an image, None when it has none (or does not answer)."""
        try:
            return json.loads(self._docker.call("image", "inspect", "--", image))[0]
        except RunnerError:
            return None

    def _list(self, *how: str) -> list[str]:
        *options, form = how
        return self._docker.call("images", "--no-trunc", *options, "--format", form).decode().splitlines()
