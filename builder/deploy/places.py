"""Where there is something of a deployment: noted before it is made there, until it is gone, so that no crash leaves it behind.

A deployment that moves to another region or topic has resources in two places for a while; a function and a schedule that nobody
knows of would run every notebook twice, for ever.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from builder.deploy.live import Place
from builder.deploy.refusals import contested
from builder.ports import ObjectStore
from builder.stored_json import read_object

_SCHEMA = 1
_TRIES = 10

Known = frozenset[Place]


@dataclass(frozen=True)
class Places:
    """places.json beside live.json."""

    store: ObjectStore
    name: str
    project: str

    def known(self) -> Known:
        """Where there may be something. Raises CallFailed."""
        return self._read()[0]

    def enter(self, place: Place) -> None:
        """Note a place before anything is made there; no write where it is known."""
        self._change(lambda known: known | {place})

    def leave(self, gone: Known) -> None:
        """Take out places where nothing is any more."""
        self._change(lambda known: known - gone)

    def _change(self, change: Callable[[Known], Known]) -> None:
        for _ in range(_TRIES):
            known, generation = self._read()
            wanted = change(known)
            if wanted == known:
                return
            places = sorted((place.region, place.topic) for place in wanted)
            document = {
                "schema": _SCHEMA,
                "places": [{"region": region, "topic": topic} for region, topic in places],
            }
            content = (json.dumps(document, indent=2) + "\n").encode()
            if self.store.swap(self.name, content, generation=generation, content_type="application/json"):
                return
        raise contested(f"gs://{self.store.bucket}/{self.name}")

    def _read(self) -> tuple[Known, int]:
        found = self.store.read_newer(self.name, 0)
        if found is None:
            return frozenset(), 0
        try:
            places = read_object(found[0])["places"]
            return frozenset(
                Place(self.project, str(one["region"]), str(one["topic"])) for one in places
            ), found[1]
        except (ValueError, KeyError, TypeError):
            return frozenset(), found[1]  # not ours, or broken: what live.json says is left
