"""The Artifact Registry API, as much of it as turns an image's tag into a digest."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from localcloud.artifactregistry.names import Repository, parse
from localcloud.cloudbuild.runner import Images, RunnerError
from localcloud.errors import ApiError, invalid, not_found, unimplemented
from localcloud.iam import tested
from localcloud.paging import page
from localcloud.service import Call, Handler
from localcloud.timestamps import timestamp

Json = dict[str, Any]

_LARGEST_PAGE = 1000
_ITEM = re.compile(r"packages/(?P<package>[^/]+)/(?:tags|versions)/(?P<item>[^/]+)")
_DOCKER_IMAGE = re.compile(r"dockerImages/(?P<package>[^/]+)@(?P<item>sha256:[0-9a-f]{64})")


class ArtifactRegistryService:
    """Repositories and their images, read only: there is what `images`, a build runner's, can run. Nothing is kept."""

    api = "artifactregistry.v1"

    def __init__(self, images: Images) -> None:
        self._images = images

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id."""
        prefix = "artifactregistry.projects.locations.repositories"
        return {
            f"{prefix}.get": _repository,
            f"{prefix}.testIamPermissions": _tested,
            f"{prefix}.packages.tags.get": self._tag,
            f"{prefix}.packages.tags.list": self._tags,
            f"{prefix}.packages.versions.get": self._version,
            f"{prefix}.dockerImages.get": self._docker_image,
            f"{prefix}.dockerImages.list": self._docker_images,
        }

    def inventory(self) -> Mapping[str, list[Json]]:
        """Return nothing: nothing is made here that anybody could leave behind."""
        return {}

    def close(self) -> None:
        """Nothing runs."""

    def _tag(self, call: Call) -> Json:
        repository, rest = _allowed(call, "name", "artifactregistry.tags.get")
        package, tag = _split(_ITEM, rest)
        return _tag(repository, package, tag, self._digest(f"{repository.image(package)}:{tag}"))

    def _tags(self, call: Call) -> Json:
        repository, rest = _allowed(call, "parent", "artifactregistry.tags.list")
        _refuse(call, "filter")
        package = unquote(rest.removeprefix("packages/"))
        tags = self._tags_of(repository, package)
        if not tags:
            raise _missing()
        found = [_tag(repository, package, tag, digest) for tag, digest in tags.items()]
        return page(found, call.params, "tags", _LARGEST_PAGE)

    def _version(self, call: Call) -> Json:
        """Describe a version, which is an image; its tags are shown in the full view only."""
        repository, rest = _allowed(call, "name", "artifactregistry.versions.get")
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
        repository, rest = _allowed(call, "name", "artifactregistry.dockerimages.get")
        package, digest = _split(_DOCKER_IMAGE, rest)
        self._digest(f"{repository.image(package)}@{digest}")
        return self._described(repository, package, digest)

    def _docker_images(self, call: Call) -> Json:
        repository, _ = _allowed(call, "parent", "artifactregistry.dockerimages.list")
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
        """Return the digest of each tag of a package; none for a package that is not there."""
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


def _repository(call: Call) -> Json:
    repository, _ = _allowed(call, "name", "artifactregistry.repositories.get")
    return {
        "name": repository.name,
        "format": "DOCKER",
        "mode": "STANDARD_REPOSITORY",
        "registryUri": repository.uri,
    }


def _tested(call: Call) -> Json:
    repository, _ = parse(call.params["resource"])
    return tested(call, repository.name)


def _allowed(call: Call, parameter: str, permission: str) -> tuple[Repository, str]:
    """Split the call's name; raises `ApiError`: 403 without the permission on the repository, 404 when it is not there."""
    repository, rest = parse(call.params[parameter])
    call.require(permission, repository.name)
    if not repository.is_there:
        raise _missing()
    return repository, rest


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
