"""A folder that several runs publish into, such as a day's: one of them has it at a time, and who comes later takes it whole.

`locks/<folder>.json` says whose it is. Nobody waits for anybody: a claim is taken over by one conditional write, and the run that
had it learns so at the latest when it is done. A claim also says whether its run is green, so where that was killed with half of
its files there, no red run takes its place.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from builder.model import GcsLocation, JsonObject, Listed
from builder.ports import CallFailed, ObjectStore
from builder.stored_json import read_object

RESULT = "result.json"
_PUBLISHING, _DONE = "publishing", "done"
_JSON = "application/json"

_logger = logging.getLogger(__name__)


class FolderLost(Exception):
    """Another run has taken the folder over. `names` are those that it fills there; None where nobody can tell."""

    def __init__(self, names: frozenset[str] | None) -> None:
        super().__init__("another run has taken the folder over")
        self.names = names


@dataclass(frozen=True)
class Bid:
    """Who wants a folder: the run, its color, and the names that it will fill there, result.json apart."""

    run: str
    green: bool
    names: Sequence[str]
    owner: str = field(default_factory=lambda: secrets.token_hex(8))

    def document(self, state: str) -> bytes:
        """What the claim's object says."""
        content = {
            "schema": 1,
            "run": self.run,
            "owner": self.owner,
            "state": state,
            "green": self.green,
            "names": sorted(self.names),
        }
        return json.dumps(content, ensure_ascii=False).encode()


@dataclass(frozen=True)
class FolderClaim:
    """A folder that is ours until somebody takes it over.

    `standing`: what was there, by full name. `replaced`: the other run whose green results it was, if that can be told.
    """

    store: ObjectStore
    lock: str
    bid: Bid
    generation: int
    standing: Mapping[str, Listed]
    replaced: str = ""

    def check(self) -> None:
        """Raises FolderLost where the folder is another run's by now."""
        there = self.store.stat(self.lock)
        if there is None or there.generation != self.generation:
            raise self._lost()

    def finish(self) -> None:
        """The folder is filled. Raises FolderLost where it was another run's already."""
        done = self.bid.document(_DONE)
        try:
            written = self.store.swap(self.lock, done, generation=self.generation, content_type=_JSON)
        except CallFailed as failure:
            # All is there, and whoever has the folder now, if anybody, fills it with a whole green result.
            _logger.info("the claim on a folder: %s", failure)
            return
        if written is None:
            raise self._lost()

    def _lost(self) -> FolderLost:
        found = self.store.read_newer(self.lock, 0)
        names = _read(found[0]).get("names") if found else None
        return FolderLost(frozenset(map(str, names)) if isinstance(names, list) else None)


def lock_object(location: GcsLocation, folder: str) -> str:
    """The object that says whose a folder is; `folder` is a name prefix with its slash."""
    below = folder[len(location.prefix) :].strip("/")
    return location.object("locks", f"{below}.json")


def claim_folder(store: ObjectStore, lock: str, folder: str, bid: Bid) -> FolderClaim | None:
    """Take a folder over from whoever has it. None: it is green, or a green run has begun to fill it, and the bid is red.

    The look at the folder counts only if nobody has taken the claim since: else all is decided anew. Raises CallFailed.
    """
    while True:
        found = store.read_newer(lock, 0)
        standing = {item.name: item for item in store.list(folder)}
        green_run = _green_run(store, standing.get(folder + RESULT))
        if not bid.green and (_is_promised(found) or green_run is not None):
            return None
        generation = found[1] if found else 0
        taken = store.swap(lock, bid.document(_PUBLISHING), generation=generation, content_type=_JSON)
        if taken is not None:
            replaced = green_run if green_run and green_run != bid.run else ""
            return FolderClaim(store, lock, bid, taken.generation, standing, replaced)


def _is_promised(found: tuple[bytes, int] | None) -> bool:
    claim = _read(found[0]) if found else {}
    return claim.get("state") == _PUBLISHING and claim.get("green") is True


def _green_run(store: ObjectStore, result: Listed | None) -> str | None:
    """The run whose green results these are; None where they are not green."""
    content = store.read(result.name, generation=result.generation) if result else None
    found = _read(content) if content is not None else {}
    return str(found.get("run", "")) if found.get("verdict") == "green" else None


def _read(content: bytes) -> JsonObject:
    """A document; one that cannot be read says nothing."""
    try:
        return read_object(content)
    except ValueError:
        return {}
