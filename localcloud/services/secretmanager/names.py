"""Resource names of Secret Manager: requests name the project by id or number, answers by number."""

from __future__ import annotations

import re
from dataclasses import dataclass

from localcloud.core.iam import PROJECT_NUMBER
from localcloud.services.secretmanager.refusals import bad_resource_id

_NAME = re.compile(r"projects/[^/]+/secrets/([^/]+)(?:/versions/([^/]+))?")


@dataclass(frozen=True)
class Name:
    """A secret, or one of its versions: `version` is a number, "latest" or empty."""

    secret: str
    version: str = ""

    @property
    def of_secret(self) -> str:
        """The secret's name as answers and error messages have it."""
        return secret_name(self.secret)

    @property
    def of_version(self) -> str:
        """The version's name as answers and error messages have it."""
        return version_name(self.secret, self.version)


def parse(text: str) -> Name:
    """Split a resource name; raises `ApiError` 400 for any other text."""
    found = _NAME.fullmatch(text)
    if found is None:
        raise bad_resource_id(text)
    return Name(found[1], found[2] or "")


def secret_name(secret: str) -> str:
    """Return a secret's name as Google prints it."""
    return f"projects/{PROJECT_NUMBER}/secrets/{secret}"


def version_name(secret: str, version: int | str) -> str:
    """Return a version's name as Google prints it."""
    return f"{secret_name(secret)}/versions/{version}"
