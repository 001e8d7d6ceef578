"""Publishes an attempt: copies exactly what its evidence lists, writes result.json last, and removes older objects."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, wait
from dataclasses import dataclass
from http import HTTPStatus

from builder.act.folder_claim import (
    RESULT,
    RESULT_SCHEMA,
    ClaimRequest,
    FolderClaim,
    FolderLost,
    claim_folder,
    lock_object,
)
from builder.act.result import color
from builder.model import GcsLocation, JsonObject, Listed, Verdict
from builder.ports import CallFailed, ObjectStore

_logger = logging.getLogger(__name__)
FAILED = "FAILED"
LOG = "run.log"


@dataclass(frozen=True)
class Publication:
    """The results of one job to publish. `objects` has the proven objects, `names` their names in the folder."""

    run: str
    objects: Sequence[Listed]
    names: Sequence[str]
    log: str
    verdict: Verdict
    record: JsonObject

    @property
    def texts(self) -> Mapping[str, str]:
        """Return the texts that are written beside the copies, by name."""
        failed = {FAILED: f"{self.verdict.reason}: {self.verdict.message}\n"}
        return {LOG: self.log, **({} if self.verdict.green else failed)}


@dataclass(frozen=True)
class Published:
    """The folder (a name prefix) that was filled, and the generation of its result.json.

    `replaced` is the other run whose green results it replaced, if any.
    """

    prefix: str
    result_generation: int
    replaced: str = ""


class Publisher:
    """Writes jobs' folders in one bucket.

    `ensure_owner` is called before each; it raises if the run may not publish.
    """

    def __init__(
        self,
        store: ObjectStore,
        location: GcsLocation,
        pool: Executor,
        ensure_owner: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._location = location
        self._pool = pool
        self._ensure_owner = ensure_owner

    def publish(self, target: str, fallback: str, publication: Publication) -> Published:
        """Fill the folder `target` (a name prefix with its slash). Returns the folder that was filled.

        Only this run writes below its own results, and so to `fallback`. The method fills `fallback` instead of
        `target` if a red publication would replace green results, or if another run takes `target` over meanwhile: the
        last run that takes it fills it completely. Raises CallFailed.
        """
        self._ensure_owner()
        if not target.startswith(self._location.object("results", publication.run) + "/"):
            shared = self._share(target, publication)
            if shared is not None:
                return shared
            target = fallback
        folder = _Folder(self._store, target, self._existing(target))
        return Published(target, self._fill(folder, publication).generation)

    def _share(self, target: str, publication: Publication) -> Published | None:
        """Fill a folder that other runs can fill too. Returns None if another run has it."""
        names = [*publication.names, *publication.texts]
        request = ClaimRequest(publication.run, publication.verdict.green, names)
        claim = claim_folder(self._store, lock_object(self._location, target), target, request)
        if claim is None:
            return None
        folder = _Folder(self._store, target, claim.existing, claim)
        try:
            result = self._fill(folder, publication)
            claim.finish()
        except FolderLost as lost:
            self._withdraw(folder, lost.names)
            return None
        return Published(target, result.generation, claim.replaced)

    def _withdraw(self, folder: _Folder, new_owner_files: frozenset[str] | None) -> None:
        try:
            folder.withdraw(new_owner_files)
        except CallFailed as failure:  # the new owner's result.json does not list these objects
            _logger.warning("what was written into another run's folder could not be removed: %s", failure)

    def _existing(self, prefix: str) -> Mapping[str, Listed]:
        return {item.name: item for item in self._store.list(prefix)}

    def _fill(self, folder: _Folder, publication: Publication) -> Listed:
        """Fill the folder. Returns result.json."""
        # A folder without result.json has no verdict, so a crash from here on leaves no old verdict on new files.
        folder.remove([RESULT])
        pairs = zip(publication.objects, publication.names, strict=True)
        copies = [self._pool.submit(folder.copy, source, name) for source, name in pairs]
        wait(copies)  # wait for all, even if one fails: none may write after the next step
        published = [copy.result() for copy in copies]
        for name, text in publication.texts.items():
            published.append(folder.write(name, text.encode(), "text/plain; charset=utf-8"))
        leftovers = folder.leftovers()
        list(self._pool.map(lambda name: folder.remove([name]), leftovers))
        record = {
            **publication.record,
            "schema": RESULT_SCHEMA,
            "run": publication.run,
            "verdict": color(publication.verdict),
            "exit_code": int(publication.verdict.exit_code),
            "reason": publication.verdict.reason,
            "message": publication.verdict.message,
            "objects": [_describe(item, folder.prefix) for item in published],
        }
        return folder.write(RESULT, _json(record), "application/json")


class _Folder:
    """A folder while it is filled. Every write names the generation that it replaces, at first those in `existing`."""

    def __init__(
        self,
        store: ObjectStore,
        prefix: str,
        existing: Mapping[str, Listed],
        claim: FolderClaim | None = None,
    ) -> None:
        self.prefix = prefix
        self._store = store
        self._existing = existing
        self._claim = claim
        self._written: dict[str, Listed] = {}

    def copy(self, source: Listed, name: str) -> Listed:
        """Copy an object into the folder."""
        target = self.prefix + name
        return self._over(name, lambda seen: self._store.copy(source, target, over=seen))

    def write(self, name: str, content: bytes, content_type: str) -> Listed:
        """Write an object of the builder's own."""
        target = self.prefix + name
        return self._over(
            name, lambda seen: self._store.swap(target, content, generation=seen, content_type=content_type)
        )

    def _over(self, name: str, write: Callable[[int], Listed | None]) -> Listed:
        """Replace the generation that was seen (0: none). Repeat if the object has another one meanwhile."""
        seen = self._existing.get(self.prefix + name)
        while (made := write(seen.generation if seen else 0)) is None:
            # Another run has not noticed yet that we have the folder, or we have not noticed that it has. The order
            # matters: an object written after our check has another generation than the one we read before.
            seen = self._store.stat(self.prefix + name)
            if self._claim is not None:
                self._claim.check()
        self._written[name] = made
        return made

    def leftovers(self) -> Sequence[str]:
        """Return the names that existed and that this run does not write."""
        names = (full.removeprefix(self.prefix) for full in self._existing)
        return [name for name in names if name not in self._written and name != RESULT]

    def remove(self, names: Sequence[str]) -> None:
        """Delete the objects of these names, unless their generation has changed."""
        for name in names:
            seen = self._existing.get(self.prefix + name)
            if seen is not None:
                self._delete(seen)

    def withdraw(self, new_owner_files: frozenset[str] | None) -> None:
        """Delete what we wrote in a folder that another run has, except under its names, `new_owner_files`."""
        for name, made in self._written.items():
            if name == RESULT or (new_owner_files is not None and name not in new_owner_files):
                self._delete(made)

    def _delete(self, item: Listed) -> None:
        try:
            self._store.delete(item.name, generation=item.generation)
        except CallFailed as failure:
            if failure.http_status != HTTPStatus.PRECONDITION_FAILED:
                raise


def _describe(item: Listed, target: str) -> JsonObject:
    return {
        "name": item.name.removeprefix(target),
        "size": item.size,
        "crc32c": item.crc32c,
        "generation": str(item.generation),
    }


def _json(document: JsonObject) -> bytes:
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
