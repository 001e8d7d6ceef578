"""What Cloud Build refuses in what a build leaves behind: images, artifacts, tags. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from localcloud.cloudbuild.names import (
    MAX_IMAGES,
    MAX_NAME_LENGTH,
    MAX_PATHS,
    MAX_TAGS,
    parse_image,
)
from localcloud.cloudbuild.problem import Json, Path, Problem, objects, part, text, texts
from localcloud.cloudbuild.substitutions import has_reference

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_REPOSITORIES = ("mavenArtifacts", "pythonPackages", "npmPackages", "goModules")


def problems(build: Json) -> Iterator[Problem]:
    """Yield what is wrong with images, artifacts and tags."""
    artifacts = part(build, "artifacts")
    yield from _images(("images",), texts(build, "images"))
    yield from _images(("artifacts", "images"), texts(artifacts, "images"))
    if build.get("images") and artifacts.get("images") and build["images"] != artifacts["images"]:
        words = "cannot specify different .images and .artifacts.images"
        yield Problem(("artifacts", "images"), f"invalid .artifacts field: {words}")
    if "objects" in artifacts:
        yield from _objects(part(artifacts, "objects"))
    for kind in _REPOSITORIES:
        for number, package in objects(artifacts, kind):
            if kind != "goModules" and not text(package, "repository"):
                words = f"{kind}[{number}] must specify repository: https://LOCATION-KIND.pkg.dev/PROJECT/REPOSITORY"
                yield Problem(("artifacts", kind, number, "repository"), f"invalid .artifacts field: {words}")
    yield from _tags(build)


def _images(path: Path, images: list[tuple[int, str]]) -> Iterator[Problem]:
    if len(images) > MAX_IMAGES:
        words = f"cannot specify more than {MAX_IMAGES} images to build"
        yield Problem(path, f"invalid .artifacts field: {words}")
    seen: set[str] = set()
    for number, image in images:
        if image in seen:
            words = f'image "{image}" is given more than once'
            yield Problem((*path, number), f"invalid .artifacts field: {words}")
        seen.add(image)
        if len(image) > MAX_NAME_LENGTH:
            words = f"image {number} too long (max: {MAX_NAME_LENGTH})"
            yield Problem((*path, number), f"invalid .artifacts field: {words}")
        elif not has_reference(image) and (parsed := parse_image(image)) is None:
            if parse_image(image.lower()):
                yield Problem((*path, number), f'invalid image name "{image}" contains uppercase letters')
            else:
                yield Problem(
                    (*path, number), f'invalid image name "{image}": could not parse reference: {image}'
                )
        elif not has_reference(image) and parsed and parsed.digest:
            words = f'invalid image name "{image}": an image to push has a tag, not a digest'
            yield Problem((*path, number), words)


def _objects(wanted: Json) -> Iterator[Problem]:
    path, location = ("artifacts", "objects"), text(wanted, "location")
    start = "invalid .artifacts field: "
    if not location:
        words = ".artifacts.location field is empty; it takes gs://BUCKET/FOLDER/"
        yield Problem((*path, "location"), start + words)
    elif not location.startswith("gs://") and not has_reference(location):
        words = f"invalid .artifacts.location value \"{location}\"; Google Cloud Storage URLs must begin with 'gs://'"
        yield Problem((*path, "location"), start + words)
    paths = texts(wanted, "paths")
    if not paths:
        yield Problem(
            (*path, "paths"), f"{start}.artifacts.paths field empty; it takes globs of files in /workspace"
        )
    if len(paths) > MAX_PATHS:
        words = f".artifacts.paths field has length {len(paths)}, but cannot specify more than {MAX_PATHS}"
        yield Problem((*path, "paths"), start + words)
    seen: set[str] = set()
    for number, glob in paths:
        if glob in seen:
            words = f".artifacts.paths field has duplicate paths; remove duplicates [{glob}]"
            yield Problem((*path, "paths", number), start + words)
        if any(character.isspace() for character in glob):
            yield Problem((*path, "paths", number), f'{start}.artifacts.paths "{glob}" contains whitespace')
        seen.add(glob)


def _tags(build: Json) -> Iterator[Problem]:
    tags = texts(build, "tags")
    if len(tags) > MAX_TAGS:
        words = f"number of tags {len(tags)} exceeded (max: {MAX_TAGS})"
        yield Problem(("tags",), words)
    for number, tag in tags:
        # An empty tag is what a substitution without a value leaves; Google drops it.
        if tag and not has_reference(tag) and not _TAG.fullmatch(tag):
            yield Problem(
                ("tags", number), f'invalid build tag "{tag}": must match format "^{_TAG.pattern}$"'
            )
