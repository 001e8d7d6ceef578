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
from localcloud.core.listing import page
from localcloud.core.service import Call, Handler
from localcloud.core.times import timestamp
from localcloud.engines.build import Images, RunnerError
from localcloud.services.artifactregistry.names import Repository, parse
from localcloud.services.artifactregistry.state import Repositories

Json = dict[str, Any]

_LARGEST_PAGE = 1000
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
_DOCKER_IMAGE = re.compile(r"dockerImages/(?P<package>[^/]+)@(?P<item>sha256:[0-9a-f]{64})")


class ArtifactRegistryService:
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
            f"{prefix}.list": self._list,
            "artifactregistry.projects.locations.operations.get": self._operation,
            f"{prefix}.packages.tags.get": self._tag,
            f"{prefix}.packages.tags.list": self._tags,
            f"{prefix}.packages.versions.get": self._version,
            f"{prefix}.dockerImages.get": self._docker_image,
            f"{prefix}.dockerImages.list": self._docker_images,
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

    def close(self) -> None:
        """Nothing is left to do."""

    def _allowed(self, call: Call, parameter: str, permission: str) -> tuple[Repository, str]:
        """Split the call's name.

        Raise `ApiError`: 403 without the permission on the repository, 404 for a missing one.
        """
        repository, rest = parse(call.params[parameter])
        call.require(permission, repository.name)
        if self._repositories.find(repository) is None:
            raise _missing()
        return repository, rest

    def _repository(self, call: Call) -> Json:
        repository, _ = self._allowed(call, "name", "artifactregistry.repositories.get")
        return self._repositories.find(repository) or {}

    def _list(self, call: Call) -> Json:
        parent = call.authorize("artifactregistry.repositories.list", call.params["parent"])
        _refuse(call, "filter")
        _refuse(call, "orderBy")
        return page(
            self._repositories.of(f"{parent}/repositories/"), call.params, "repositories", _LARGEST_PAGE
        )

    def _create(self, call: Call) -> Json:
        parent = call.authorize("artifactregistry.repositories.create", call.params["parent"])
        repository, _ = parse(f"{parent}/repositories/{call.params.get('repositoryId') or '-'}")
        if not repository.is_valid or not call.body.get("format"):
            raise invalid("Request contains an invalid argument.")
        unknown = sorted(set(call.body) - _SETTINGS)
        if unknown:
            raise unimplemented(f"localcloud's repositories have no {', '.join(unknown)}.")
        return self._repositories.create(repository, call.body, self._clock.now())

    def _delete(self, call: Call) -> Json:
        repository, _ = self._allowed(call, "name", "artifactregistry.repositories.delete")
        call.iam.policies.remove(repository.name)
        return self._repositories.delete(repository)

    def _operation(self, call: Call) -> Json:
        """Return an operation; its random name is what a caller needs to know."""
        found = self._repositories.operation(by_id(call.params["name"]))
        if found is None:
            raise _missing()
        return found

    def _tag(self, call: Call) -> Json:
        repository, rest = self._allowed(call, "name", "artifactregistry.tags.get")
        package, tag = _split(_ITEM, rest)
        return _tag(repository, package, tag, self._digest(f"{repository.image(package)}:{tag}"))

    def _tags(self, call: Call) -> Json:
        repository, rest = self._allowed(call, "parent", "artifactregistry.tags.list")
        _refuse(call, "filter")
        package = unquote(rest.removeprefix("packages/"))
        tags = self._tags_of(repository, package)
        if not tags:
            raise _missing()
        found = [_tag(repository, package, tag, digest) for tag, digest in tags.items()]
        return page(found, call.params, "tags", _LARGEST_PAGE)

    def _version(self, call: Call) -> Json:
        """Return a version, which is an image. Only the full view shows its tags."""
        repository, rest = self._allowed(call, "name", "artifactregistry.versions.get")
        package, digest = _split(_ITEM, rest)
        image = f"{repository.image(package)}@{digest}"
        self._digest(image)
        version: Json = {
            "name": f"{repository.package(package)}/versions/{digest}",
            "createTime": self._pushed(image),
            "metadata": {"name": repository.docker_image(package, digest)},
        }
        tags = self._tags_of(repository, package) if call.params.get("view") == "FULL" else {}
        related = [_tag(repository, package, tag, digest) for tag, its in tags.items() if its == digest]
        return version | ({"relatedTags": related} if related else {})

    def _docker_image(self, call: Call) -> Json:
        repository, rest = self._allowed(call, "name", "artifactregistry.dockerimages.get")
        package, digest = _split(_DOCKER_IMAGE, rest)
        self._digest(f"{repository.image(package)}@{digest}")
        return self._described(repository, package, digest)

    def _docker_images(self, call: Call) -> Json:
        repository, _ = self._allowed(call, "parent", "artifactregistry.dockerimages.list")
        _refuse(call, "orderBy")
        below = f"{repository.uri}/"
        with _asking():
            packages = [name.removeprefix(below) for name in self._images.repositories(below)]
        found = [
            self._described(repository, package, digest)
            for package in packages
            for digest in sorted(set(self._tags_of(repository, package).values()))
        ]
        return page(found, call.params, "dockerImages", _LARGEST_PAGE)

    def _described(self, repository: Repository, package: str, digest: str) -> Json:
        tags = [tag for tag, its in self._tags_of(repository, package).items() if its == digest]
        return {
            "name": repository.docker_image(package, digest),
            "uri": f"{repository.image(package)}@{digest}",
            **({"tags": tags} if tags else {}),
        }

    def _tags_of(self, repository: Repository, package: str) -> dict[str, str]:
        """Return the digest of each tag of a package; none for a missing package."""
        image = repository.image(package)
        with _asking():
            return {tag: self._digest(f"{image}:{tag}") for tag in self._images.tags(image)}

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


def _split(pattern: re.Pattern[str], rest: str) -> tuple[str, str]:
    """Return the package, its escaped slashes as slashes, and the last part of a name."""
    found = pattern.fullmatch(rest)
    if found is None:
        raise invalid("Request contains an invalid argument.")
    return unquote(found["package"]), found["item"]


def _tag(repository: Repository, package: str, tag: str, digest: str) -> Json:
    name = repository.package(package)
    return {"name": f"{name}/tags/{tag}", "version": f"{name}/versions/{digest}"}


def _refuse(call: Call, parameter: str) -> None:
    if call.params.get(parameter):
        raise unimplemented(f"localcloud does not know the parameter {parameter} of {call.method}.")


@contextlib.contextmanager
def _asking() -> Iterator[None]:
    try:
        yield
    except RunnerError as error:
        raise ApiError(503, "backendError", f"localcloud cannot look at its images: {error}") from error


def _missing() -> ApiError:
    return not_found("Requested entity was not found.")
