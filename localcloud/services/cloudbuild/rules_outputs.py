"""The rules of a build's outputs: images, artifacts, tags. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from localcloud.engines.image_names import parse_image
from localcloud.services.cloudbuild.names import MAX_TAGS
from localcloud.services.cloudbuild.problem import Json, Path, Problem, part, texts
from localcloud.services.cloudbuild.rules_substitutions import has_reference

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def problems(build: Json) -> Iterator[Problem]:
    """Yield the faults of images, artifacts and tags."""
    artifacts = part(build, "artifacts")
    yield from _images(("images",), texts(build, "images"))
    yield from _images(("artifacts", "images"), texts(artifacts, "images"))
    if build.get("images") and artifacts.get("images") and build["images"] != artifacts["images"]:
        words = "cannot specify different .images and .artifacts.images"
        yield Problem(("artifacts", "images"), f"invalid .artifacts field: {words}")
    yield from _tags(build)


def _images(path: Path, images: list[tuple[int, str]]) -> Iterator[Problem]:
    seen: set[str] = set()
    for number, image in images:
        if image in seen:
            words = f'image "{image}" is given more than once'
            yield Problem((*path, number), f"invalid .artifacts field: {words}")
        seen.add(image)
        if not has_reference(image) and (parsed := parse_image(image)) is None:
            if parse_image(image.lower()):
                yield Problem((*path, number), f'invalid image name "{image}" contains uppercase letters')
            else:
                yield Problem(
                    (*path, number), f'invalid image name "{image}": could not parse reference: {image}'
                )
        elif not has_reference(image) and parsed and parsed.digest:
            words = f'invalid image name "{image}": an image to push has a tag, not a digest'
            yield Problem((*path, number), words)


def _tags(build: Json) -> Iterator[Problem]:
    tags = texts(build, "tags")
    if len(tags) > MAX_TAGS:
        words = f"number of tags {len(tags)} exceeded (max: {MAX_TAGS})"
        yield Problem(("tags",), words)
    for number, tag in tags:
        # A substitution without a value leaves an empty tag; Google drops it.
        if tag and not has_reference(tag) and not _TAG.fullmatch(tag):
            yield Problem(
                ("tags", number), f'invalid build tag "{tag}": must match format "^{_TAG.pattern}$"'
            )
