"""Resource names of Artifact Registry, and the names by which Docker knows the same images."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from localcloud.core.iam import PROJECT, by_id

_NAME = re.compile(r"projects/([^/]+)/locations/([^/]+)/repositories/([^/]+)(?:/(.+))?")
_LOCATION = re.compile(r"us|europe|asia|[a-z]+-[a-z]+[0-9]+")
_REPOSITORY = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Repository:
    """A repository by its place."""

    project: str
    location: str
    id: str

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"projects/{self.project}/locations/{self.location}/repositories/{self.id}"

    @property
    def uri(self) -> str:
        """The prefix of its images' names, without the slash at the end."""
        return f"{self.location}-docker.pkg.dev/{self.project}/{self.id}"

    @property
    def is_valid(self) -> bool:
        """True if a repository of this project can have this name."""
        known = self.project == PROJECT and _LOCATION.fullmatch(self.location)
        return bool(known and _REPOSITORY.fullmatch(self.id))

    def image(self, package: str) -> str:
        """Return how Docker names a package, without a tag."""
        return f"{self.uri}/{package}"

    def package(self, package: str) -> str:
        """Return a package's resource name, in which its own slashes are escaped."""
        return f"{self.name}/packages/{quote(package, safe='')}"


def parse(name: str) -> tuple[Repository, str]:
    """Split a name into its repository and what follows ("packages/a%2Fb/tags/t"), if anything."""
    found = _NAME.fullmatch(by_id(name))
    if found is None:
        raise ValueError(name)  # the discovery document refuses such names
    return Repository(found[1], found[2], found[3]), found[4] or ""
