"""Publishes an attempt: server-side copies of exactly what its evidence lists, result.json last, nothing older left over."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from builder.act.result import color
from builder.model import JsonObject, Listed, Verdict
from builder.ports import ObjectStore

RESULT = "result.json"
FAILED = "FAILED"
LOG = "run.log"


@dataclass(frozen=True)
class Publication:
    """What is to be published of one job. `objects` are the proven ones, `names` their names in the folder."""

    objects: Sequence[Listed]
    names: Sequence[str]
    log: str
    verdict: Verdict
    record: JsonObject


class Publisher:
    """Writes jobs' folders in one bucket. `permit` is asked before each, and raises where nothing may be published."""

    def __init__(self, store: ObjectStore, pool: Executor, permit: Callable[[], None] = lambda: None) -> None:
        self._store = store
        self._pool = pool
        self._permit = permit

    def publish(self, target: str, fallback: str, publication: Publication) -> str:
        """Fill the folder `target` (a name prefix with its slash) and return the prefix that was filled.

        A red result never replaces a green one under another run's folder: it goes to `fallback` then.
        """
        self._permit()
        if not publication.verdict.green and target != fallback and self._is_green(target):
            target = fallback
        # Without its result.json a folder claims nothing, so a crash from here on leaves no old verdict on new files.
        self._store.delete(target + RESULT)
        copies = self._pool.map(
            self._store.copy, publication.objects, [target + name for name in publication.names]
        )
        published = list(copies)
        published.append(self._text(target + LOG, publication.log))
        if not publication.verdict.green:
            published.append(
                self._text(target + FAILED, f"{publication.verdict.reason}: {publication.verdict.message}\n")
            )
        self._remove_leftovers(target, {item.name for item in published})
        record = {
            **publication.record,
            "schema": 1,
            "verdict": color(publication.verdict),
            "exit_code": int(publication.verdict.exit_code),
            "reason": publication.verdict.reason,
            "message": publication.verdict.message,
            "objects": [_describe(item, target) for item in published],
        }
        self._store.replace(target + RESULT, _json(record), content_type="application/json")
        return target

    def _is_green(self, target: str) -> bool:
        standing = self._store.read(target + RESULT)
        if standing is None:
            return False
        try:
            return bool(json.loads(standing)["verdict"] == "green")
        except (ValueError, KeyError, TypeError):
            return False

    def _text(self, name: str, text: str) -> Listed:
        return self._store.replace(name, text.encode(), content_type="text/plain; charset=utf-8")

    def _remove_leftovers(self, target: str, kept: set[str]) -> None:
        leftovers = [item.name for item in self._store.list(target) if item.name not in kept]
        list(self._pool.map(self._store.delete, leftovers))


def _describe(item: Listed, target: str) -> JsonObject:
    return {
        "name": item.name.removeprefix(target),
        "size": item.size,
        "crc32c": item.crc32c,
        "generation": str(item.generation),
    }


def _json(document: JsonObject) -> bytes:
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
