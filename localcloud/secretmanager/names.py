"""Resource names of Secret Manager: requests name the project by id or number, answers always by number."""

from __future__ import annotations

import re
from dataclasses import dataclass

from localcloud.iam import PROJECT, PROJECT_NUMBER
from localcloud.secretmanager.refusals import bad_resource_id

SECRET_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
_NAME = re.compile(r"projects/([^/]+)/secrets/([^/]+)(?:/versions/([^/]+))?")


@dataclass(frozen=True)
class Name:
    """A secret or one of its versions, as a request names it; `version` is a number, an alias, "latest" or empty."""

    given: str
    project: str
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
    """Split a name; raises `ApiError` 400 for what is none."""
    found = _NAME.fullmatch(text)
    if found is None:
        raise bad_resource_id(text)
    return Name(text, found[1], found[2], found[3] or "")


def is_ours(project: str) -> bool:
    """Tell whether this is our project, by id or number."""
    return project in {PROJECT, PROJECT_NUMBER}


def secret_name(secret: str) -> str:
    """Return a secret's name as Google prints it."""
    return f"projects/{PROJECT_NUMBER}/secrets/{secret}"


def version_name(secret: str, version: int | str) -> str:
    """Return a version's name as Google prints it."""
    return f"{secret_name(secret)}/versions/{version}"
