"""Names of container images. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_HOST = (
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::[0-9]+)?"
)
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?P<repository>(?:{_HOST}/)?{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>[A-Za-z][A-Za-z0-9]*:[0-9a-fA-F]{32,}))?"
)


@dataclass(frozen=True)
class Image:
    """The parts of an image's name: `repository` with its registry, and tag and digest if given."""

    repository: str
    tag: str | None
    digest: str | None

    @property
    def basename(self) -> str:
        """The last part of the repository: no registry, folder, tag or digest."""
        return self.repository.rpartition("/")[2]


def parse_image(name: str) -> Image | None:
    """Return the parts of an image's name; None if Docker does not accept it."""
    found = _IMAGE.fullmatch(name)
    return Image(found["repository"], found["tag"], found["digest"]) if found else None
