"""Locks a results folder that several runs share. The latest claim wins; a red run never replaces a green one.

`locks/<folder>.json` names the run that has the folder. No run waits: one conditional write takes a claim over, and
the former owner notices it at its end at the latest. The claim also has the run's color, so that no red run takes the
place of a green run that was killed while it published.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from builder.model import GcsLocation, JsonObject, Listed
from builder.ports import CallFailed, ObjectStore
from builder.strict_json import readable

RESULT = "result.json"
RESULT_SCHEMA = 1
_PUBLISHING, _DONE = "publishing", "done"
_SCHEMA = 1
_JSON = "application/json"

_logger = logging.getLogger(__name__)


class FolderLost(Exception):
    """Another run has taken the folder over. `names` has the names that it fills there; None: unknown."""

    def __init__(self, names: frozenset[str] | None) -> None:
        super().__init__("another run has taken the folder over")
        self.names = names


@dataclass(frozen=True)
class ClaimRequest:
    """A request for a folder: the run, its color, and the names that it fills there, without result.json."""

    run: str
    green: bool
    names: Sequence[str]
    owner: str = field(default_factory=lambda: secrets.token_hex(8))

    def document(self, state: str) -> bytes:
        """Return the content of the claim's object."""
        content = {
            "schema": _SCHEMA,
            "run": self.run,
            "owner": self.owner,
            "state": state,
            "green": self.green,
            "names": sorted(self.names),
        }
        return json.dumps(content, ensure_ascii=False).encode()


@dataclass(frozen=True)
class FolderClaim:
    """A folder that this run has until another run takes it over.

    `existing`: the objects in the folder, by full name. `replaced`: the other run whose green results they are, if any.
    """

    store: ObjectStore
    lock: str
    request: ClaimRequest
    generation: int
    existing: Mapping[str, Listed]
    replaced: str = ""

    def check(self) -> None:
        """Raise FolderLost if another run has the folder."""
        there = self.store.stat(self.lock)
        if there is None or there.generation != self.generation:
            raise self._lost()

    def finish(self) -> None:
        """Mark the folder as filled. Raises FolderLost if another run has it."""
        done = self.request.document(_DONE)
        try:
            written = self.store.swap(self.lock, done, generation=self.generation, content_type=_JSON)
        except CallFailed as failure:
            # The folder is complete, and a run that takes it over fills it with a complete green result.
            _logger.info("the claim on a folder: %s", failure)
            return
        if written is None:
            raise self._lost()

    def _lost(self) -> FolderLost:
        found = self.store.read_newer(self.lock, 0)
        names = _content(found).get("names")
        return FolderLost(frozenset(map(str, names)) if isinstance(names, list) else None)


def lock_object(location: GcsLocation, folder: str) -> str:
    """Return the name of a folder's lock object. `folder` is a name prefix with its slash."""
    below = folder[len(location.prefix) :].strip("/")
    return location.object("locks", f"{below}.json")


def claim_folder(store: ObjectStore, lock: str, folder: str, request: ClaimRequest) -> FolderClaim | None:
    """Take a folder over. Returns None if the request is red, and the folder is green or a green run fills it.

    If another run changes the claim meanwhile, the decision is repeated. Raises CallFailed.
    """
    while True:
        found = store.read_newer(lock, 0)
        existing = {item.name: item for item in store.list(folder)}
        green_run = _green_run(store, existing.get(folder + RESULT))
        if not request.green and (_is_promised(found) or green_run is not None):
            return None
        generation = found[1] if found else 0
        taken = store.swap(lock, request.document(_PUBLISHING), generation=generation, content_type=_JSON)
        if taken is not None:
            replaced = green_run if green_run and green_run != request.run else ""
            return FolderClaim(store, lock, request, taken.generation, existing, replaced)


def _is_promised(found: tuple[bytes, int] | None) -> bool:
    """True if a green run has begun to fill the folder, or if the claim has a schema that this version cannot read."""
    claim = _content(found)
    if claim.get("schema", _SCHEMA) != _SCHEMA:
        return True
    return claim.get("state") == _PUBLISHING and claim.get("green") is True


def _green_run(store: ObjectStore, result: Listed | None) -> str | None:
    """Return the run whose green results these are; None if they are not green."""
    content = store.read(result.name, generation=result.generation) if result else None
    found = readable(content) or {}
    return str(found.get("run", "")) if found.get("verdict") == "green" else None


def _content(found: tuple[bytes, int] | None) -> JsonObject:
    """Return the document of an object; an empty one if there is none that can be read."""
    return readable(found[0] if found else None) or {}
