"""Permission to pull and push images of the project's repositories in Artifact Registry. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from localcloud.core.iam import PROJECT
from localcloud.engines.build import RunnerError

PULL = "artifactregistry.repositories.downloadArtifacts"
PUSH = "artifactregistry.repositories.uploadArtifacts"

_IMAGE = re.compile(rf"([a-z0-9-]+)-docker\.pkg\.dev/{PROJECT}/([^/:@]+)/.+")


def check_image(allowed: Callable[[str, str], bool], permission: str, image: str) -> None:
    """Raise `RunnerError` in the registry's words without a permission on the repository of an image.

    `allowed(permission, resource)` asks for the build's account. Images of other projects and registries pass.
    """
    found = _IMAGE.fullmatch(image)
    if found is None:
        return
    repository = f"projects/{PROJECT}/locations/{found[1]}/repositories/{found[2]}"
    if not allowed(permission, repository):
        raise RunnerError(
            f'denied: Permission "{permission}" denied on resource "{repository}" (or it may not exist)'
        )
