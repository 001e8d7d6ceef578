"""The Artifact Registry API: images, and the digest of an image's tag."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from localcloud.core.clock import Clock
from localcloud.core.errors import ApiError, invalid, not_found, unimplemented
from localcloud.core.iam import PROJECT, by_id
from localcloud.core.iam.calls import Resources, policy_handlers
from localcloud.core.service import Call, Handler, Part
from localcloud.core.times import timestamp
from localcloud.engines.build import Images, RunnerError
from localcloud.services.artifactregistry.names import Repository, parse
from localcloud.services.artifactregistry.state import Repositories

Json = dict[str, Any]

# The fields of a repository that a create call may set.
_SETTINGS = frozenset(
    {
        "name",
        "format",
        "mode",
        "description",
        "labels",
        "remoteRepositoryConfig",
        "dockerConfig",
        "registryUri",
    }
)
_ITEM = re.compile(r"packages/(?P<package>[^/]+)/(?:tags|versions)/(?P<item>[^/]+)")


class ArtifactRegistryService(Part):
    """Repositories, and their images, read only: those of a build runner."""

    api = "artifactregistry.v1"

    def __init__(self, images: Images, repositories: Repositories, clock: Clock) -> None:
        self._images = images
        self._repositories = repositories
        self._clock = clock

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id."""
        prefix = "artifactregistry.projects.locations.repositories"
        return {
            f"{prefix}.create": self._create,
            f"{prefix}.delete": self._delete,
            f"{prefix}.get": self._repository,
            "artifactregistry.projects.locations.operations.get": self._operation,
            f"{prefix}.packages.tags.get": self._tag,
            f"{prefix}.packages.versions.get": self._version,
            **policy_handlers(
                Resources(
                    {prefix: "artifactregistry.repositories"},
                    exists=lambda name: self._repositories.find(parse(name)[0]) is not None,
                    missing=lambda _name: _missing(),
                )
            ),
        }

    def inventory(self) -> Mapping[str, list[Json]]:
        """Return the repositories."""
        return {"artifactregistry.repositories": self._repositories.of(f"projects/{PROJECT}/locations/")}

    def _allowed(self, call: Call, permission: str) -> tuple[Repository, str]:
        """Split the call's name.

        Raise `ApiError`: 403 without the permission on the repository, 404 for a missing one.
        """
        repository, rest = parse(call.params["name"])
        call.require(permission, repository.name)
        if self._repositories.find(repository) is None:
            raise _missing()
        return repository, rest

    def _repository(self, call: Call) -> Json:
        repository, _ = self._allowed(call, "artifactregistry.repositories.get")
        return self._repositories.find(repository) or {}

    def _create(self, call: Call) -> Json:
        parent = call.authorize("artifactregistry.repositories.create", call.params["parent"])
        repository_id = call.params.get("repositoryId") or "-"
        if "/" in repository_id:
            raise invalid("Request contains an invalid argument.")
        repository, _ = parse(f"{parent}/repositories/{repository_id}")
        if not repository.is_valid or not call.body.get("format"):
            raise invalid("Request contains an invalid argument.")
        unknown = sorted(set(call.body) - _SETTINGS)
        if unknown:
            raise unimplemented(f"localcloud's repositories have no {', '.join(unknown)}.")
        return self._repositories.create(repository, call.body, self._clock.now())

    def _delete(self, call: Call) -> Json:
        repository, _ = self._allowed(call, "artifactregistry.repositories.delete")
        call.iam.policies.remove(repository.name)
        return self._repositories.delete(repository)

    def _operation(self, call: Call) -> Json:
        """Return an operation; its random name is what a caller needs to know."""
        found = self._repositories.operation(by_id(call.params["name"]))
        if found is None:
            raise _missing()
        return found

    def _tag(self, call: Call) -> Json:
        repository, rest = self._allowed(call, "artifactregistry.tags.get")
        package, tag = _split(rest)
        digest = self._digest(f"{repository.image(package)}:{tag}")
        name = repository.package(package)
        return {"name": f"{name}/tags/{tag}", "version": f"{name}/versions/{digest}"}

    def _version(self, call: Call) -> Json:
        """Return a version, which is an image."""
        repository, rest = self._allowed(call, "artifactregistry.versions.get")
        if call.params.get("view") == "FULL":
            raise unimplemented("localcloud's versions have no tags: view=FULL is not covered.")
        package, digest = _split(rest)
        image = f"{repository.image(package)}@{digest}"
        self._digest(image)
        return {
            "name": f"{repository.package(package)}/versions/{digest}",
            "createTime": self._pushed(image),
        }

    def _pushed(self, image: str) -> str:
        with _asking():
            seconds = self._images.pushed(image)
        if seconds is None:
            raise _missing()
        return timestamp(seconds)

    def _digest(self, image: str) -> str:
        """Return an image's digest; raises `ApiError` 404."""
        with _asking():
            digest = self._images.digest(image)
        if digest is None:
            raise _missing()
        return digest


def _split(rest: str) -> tuple[str, str]:
    """Return the package, its escaped slashes as slashes, and the last part of a name."""
    found = _ITEM.fullmatch(rest)
    if found is None:
        raise invalid("Request contains an invalid argument.")
    return unquote(found["package"]), found["item"]


@contextlib.contextmanager
def _asking() -> Iterator[None]:
    try:
        yield
    except RunnerError as error:
        raise ApiError(503, "backendError", f"localcloud cannot look at its images: {error}") from error


def _missing() -> ApiError:
    return not_found("Requested entity was not found.")
