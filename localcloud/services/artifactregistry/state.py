"""The repositories of the project."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localcloud.core.errors import already_exists
from localcloud.core.kept import Kept
from localcloud.core.times import timestamp
from localcloud.services.artifactregistry.names import Repository

Json = dict[str, Any]

_TYPES = "type.googleapis.com/google.devtools.artifactregistry.v1"


class Repositories:
    """Repositories by resource name, kept in a file, and the operations that make and delete them, in memory.

    `initial` are those that exist as long as there is no file, with their formats. With `any_name`, every other
    repository with a valid name exists too, as one for Docker images.
    """

    def __init__(self, file: Path, initial: Mapping[str, str], *, any_name: bool) -> None:
        fresh = not file.exists()
        self._kept = Kept(file)
        for name, form in initial.items() if fresh else ():
            made = {"name": name, "format": form, "mode": "STANDARD_REPOSITORY"}
            self._kept.put(name, made)
        self._any_name = any_name
        self._lock = threading.Lock()
        self._operations: dict[str, Json] = {}

    def find(self, repository: Repository) -> Json | None:
        """Return a repository in Google's form; None if there is none."""
        found = self._kept.find(repository.name)
        if found is None and self._any_name and repository.is_valid:
            found = {"name": repository.name, "format": "DOCKER", "mode": "STANDARD_REPOSITORY"}
        return None if found is None else {**found, "registryUri": repository.uri}

    def of(self, parent: str) -> list[Json]:
        """Return the repositories whose resource names begin with `parent`, by name."""
        return [value for name, value in self._kept.items() if name.startswith(parent)]

    def create(self, repository: Repository, body: Mapping[str, Any], now: float) -> Json:
        """Create a repository; return its operation. Raises `ApiError` 409 if it exists."""
        defaults = {"mode": "STANDARD_REPOSITORY", "createTime": timestamp(now), "updateTime": timestamp(now)}
        given = {key: value for key, value in body.items() if value != "MODE_UNSPECIFIED"}
        made = {**defaults, **given, "name": repository.name}
        with self._kept.lock:
            if self._kept.find(repository.name) is not None:
                raise already_exists("the repository already exists")
            self._kept.put(repository.name, made)
        return self._done(repository, {"@type": f"{_TYPES}.Repository", **made})

    def delete(self, repository: Repository) -> Json:
        """Delete a repository; return its operation."""
        self._kept.remove(repository.name)
        return self._done(repository, {"@type": "type.googleapis.com/google.protobuf.Empty"})

    def operation(self, name: str) -> Json | None:
        """Return an operation."""
        with self._lock:
            return self._operations.get(name)

    def _done(self, repository: Repository, response: Json) -> Json:
        parent = repository.name.partition("/repositories/")[0]
        name = f"{parent}/operations/{secrets.token_hex(16)}"
        metadata = {"@type": f"{_TYPES}.OperationMetadata"}
        done = {"name": name, "metadata": metadata, "done": True, "response": response}
        with self._lock:
            self._operations[name] = done
        return done
