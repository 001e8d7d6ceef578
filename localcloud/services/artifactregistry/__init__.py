"""Artifact Registry: repositories, their images, and the digest of a tag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from localcloud.core.caller import Caller
from localcloud.core.errors import ApiError, forbidden
from localcloud.core.spec import Library, Spec
from localcloud.services.artifactregistry.calls import ArtifactRegistryService
from localcloud.services.artifactregistry.state import Repositories
from localcloud.services.context import Context


def _build(context: Context) -> Sequence[Any]:
    profile = context.profile
    repositories = Repositories(
        context.state / "artifactregistry" / "repositories.json",
        profile.repositories,
        any_name=profile.any_repository,
    )
    images = context.runners[context.default_runner].images
    return [ArtifactRegistryService(images, repositories, context.clock)]


def _denied(_caller: Caller, permission: str, resource: str) -> ApiError:
    """403: a permission that the caller lacks on a repository."""
    return forbidden(
        f"Permission '{permission}' denied on resource '//artifactregistry.googleapis.com/{resource}' "
        "(or it may not exist)."
    )


SPEC = Spec(
    _build,
    service="artifactregistry.googleapis.com",
    apis=("artifactregistry.v1",),
    endpoint="ARTIFACTREGISTRY",
    permissions="artifactregistry",
    denied=_denied,
    libraries={
        "artifactregistry.v1": Library(
            "google-cloud-artifact-registry",
            "google.cloud.artifactregistry_v1",
            "google.devtools.artifactregistry.v1",
        )
    },
)
