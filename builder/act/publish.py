"""Publishes an attempt: server-side copies of exactly what its evidence lists, result.json last, nothing older left over."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, wait
from dataclasses import dataclass

from builder.act.folder_claim import RESULT, Bid, FolderClaim, FolderLost, claim_folder, lock_object
from builder.act.result import color
from builder.model import GcsLocation, JsonObject, Listed, Verdict
from builder.ports import CallFailed, ObjectStore

_logger = logging.getLogger(__name__)
FAILED = "FAILED"
LOG = "run.log"
_CHANGED = 412  # HTTP's "precondition failed": another object stands there than the one that was seen


@dataclass(frozen=True)
class Publication:
    """What is to be published of one job. `objects` are the proven ones, `names` their names in the folder."""

    run: str
    objects: Sequence[Listed]
    names: Sequence[str]
    log: str
    verdict: Verdict
    record: JsonObject

    @property
    def texts(self) -> Mapping[str, str]:
        """What is written beside the copies, by name."""
        failed = {FAILED: f"{self.verdict.reason}: {self.verdict.message}\n"}
        return {LOG: self.log, **({} if self.verdict.green else failed)}


@dataclass(frozen=True)
class Published:
    """The folder (a name prefix) that was filled, and the other run whose green results stood there, if any did."""

    prefix: str
    replaced: str = ""


class Publisher:
    """Writes jobs' folders in one bucket. `permit` is asked before each, and raises where nothing may be published."""

    def __init__(
        self,
        store: ObjectStore,
        location: GcsLocation,
        pool: Executor,
        permit: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._location = location
        self._pool = pool
        self._permit = permit

    def publish(self, target: str, fallback: str, publication: Publication) -> Published:
        """Fill the folder `target` (a name prefix with its slash) and say which one was filled.

        `fallback` is the run's own folder. It is filled where the target is green and the publication is not, and where another
        run takes the target over meanwhile: whoever takes it last fills it whole. Raises CallFailed.
        """
        self._permit()
        shared = self._share(target, publication) if target != fallback else None
        if shared is None:
            self._fill(_Folder(self._store, fallback, self._standing(fallback)), publication)
        return shared or Published(fallback)

    def _share(self, target: str, publication: Publication) -> Published | None:
        """Fill a folder that other runs may fill, too; None where it is theirs."""
        names = [*publication.names, *publication.texts]
        bid = Bid(publication.run, publication.verdict.green, names)
        claim = claim_folder(self._store, lock_object(self._location, target), target, bid)
        if claim is None:
            return None
        folder = _Folder(self._store, target, claim.standing, claim)
        try:
            self._fill(folder, publication)
            claim.finish()
        except FolderLost as lost:
            self._withdraw(folder, lost.names)
            return None
        return Published(target, claim.replaced)

    def _withdraw(self, folder: _Folder, heirs: frozenset[str] | None) -> None:
        try:
            folder.withdraw(heirs)
        except CallFailed as failure:  # it is no part of what the heir's result.json lists
            _logger.warning("what was written into another run's folder could not be removed: %s", failure)

    def _standing(self, prefix: str) -> Mapping[str, Listed]:
        return {item.name: item for item in self._store.list(prefix)}

    def _fill(self, folder: _Folder, publication: Publication) -> None:
        # Without its result.json a folder claims nothing, so a crash from here on leaves no old verdict on new files.
        folder.remove([RESULT])
        pairs = zip(publication.objects, publication.names, strict=True)
        copies = [self._pool.submit(folder.copy, source, name) for source, name in pairs]
        wait(copies)  # also where one of them fails: none may come after what follows then
        published = [copy.result() for copy in copies]
        for name, text in publication.texts.items():
            published.append(folder.write(name, text.encode(), "text/plain; charset=utf-8"))
        leftovers = folder.leftovers()
        list(self._pool.map(lambda name: folder.remove([name]), leftovers))
        record = {
            **publication.record,
            "schema": 1,
            "run": publication.run,
            "verdict": color(publication.verdict),
            "exit_code": int(publication.verdict.exit_code),
            "reason": publication.verdict.reason,
            "message": publication.verdict.message,
            "objects": [_describe(item, folder.prefix) for item in published],
        }
        folder.write(RESULT, _json(record), "application/json")


class _Folder:
    """A folder while it is filled: every write goes over exactly what was seen there, `standing` at first."""

    def __init__(
        self,
        store: ObjectStore,
        prefix: str,
        standing: Mapping[str, Listed],
        claim: FolderClaim | None = None,
    ) -> None:
        self.prefix = prefix
        self._store = store
        self._standing = standing
        self._claim = claim
        self._written: dict[str, Listed] = {}

    def copy(self, source: Listed, name: str) -> Listed:
        """Copy an object here."""
        target = self.prefix + name
        return self._over(name, lambda seen: self._store.copy(source, target, over=seen))

    def write(self, name: str, content: bytes, content_type: str) -> Listed:
        """Write an object of our own."""
        target = self.prefix + name
        return self._over(
            name, lambda seen: self._store.swap(target, content, generation=seen, content_type=content_type)
        )

    def _over(self, name: str, write: Callable[[int], Listed | None]) -> Listed:
        """Write over the generation that was seen (0: none), as often as another one turns out to stand there."""
        seen = self._standing.get(self.prefix + name)
        while (made := write(seen.generation if seen else 0)) is None:
            # Somebody who does not know yet that the folder is ours; or we do not know yet that it is theirs. In this order:
            # what is written once we have asked is not what was seen.
            seen = self._store.stat(self.prefix + name)
            if self._claim is not None:
                self._claim.check()
        self._written[name] = made
        return made

    def leftovers(self) -> Sequence[str]:
        """The names that stood here and that were not written now."""
        names = (full.removeprefix(self.prefix) for full in self._standing)
        return [name for name in names if name not in self._written and name != RESULT]

    def remove(self, names: Sequence[str]) -> None:
        """Remove what was seen under these names, where it is still that."""
        for name in names:
            seen = self._standing.get(self.prefix + name)
            if seen is not None:
                self._delete(seen)

    def withdraw(self, heirs: frozenset[str] | None) -> None:
        """The folder is another run's, which fills the names `heirs`: remove what we wrote under any other."""
        for name, made in self._written.items():
            if name == RESULT or (heirs is not None and name not in heirs):
                self._delete(made)

    def _delete(self, item: Listed) -> None:
        try:
            self._store.delete(item.name, generation=item.generation)
        except CallFailed as failure:
            if failure.http_status != _CHANGED:
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
