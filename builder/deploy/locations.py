"""locations.json: where a deployment has resources. It records a location until everything there is removed.

A deployment that moves to another region or topic has resources in two locations for a while. A crash must not leave
a function and a schedule that no process knows of: they would run every notebook twice, for ever.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from builder.deploy.live import Location
from builder.deploy.refusals import contested
from builder.ports import ObjectStore
from builder.strict_json import read_document

_SCHEMA = 1
_TRIES = 10


@dataclass(frozen=True)
class Locations:
    """The object `name` beside live.json.

    `log` reports a document that this version cannot read, which counts as empty.
    """

    store: ObjectStore
    name: str
    project: str
    log: Callable[[str], None]

    def known(self) -> frozenset[Location]:
        """The recorded locations. Raises CallFailed."""
        return self._read()[0]

    def add(self, location: Location) -> None:
        """Record a location; no write if it is recorded."""
        self._change(lambda known: known | {location})

    def remove(self, empty: frozenset[Location]) -> None:
        """Remove locations that have no resources any more."""
        self._change(lambda known: known - empty)

    def _change(self, change: Callable[[frozenset[Location]], frozenset[Location]]) -> None:
        for _ in range(_TRIES):
            known, generation = self._read()
            wanted = change(known)
            if wanted == known:
                return
            found = sorted((location.region, location.topic) for location in wanted)
            locations = [{"region": region, "topic": topic} for region, topic in found]
            content = (json.dumps({"schema": _SCHEMA, "locations": locations}, indent=2) + "\n").encode()
            if self.store.swap(self.name, content, generation=generation, content_type="application/json"):
                return
        raise contested(self._url)

    def _read(self) -> tuple[frozenset[Location], int]:
        found = self.store.read_newer(self.name, 0)
        if found is None:
            return frozenset(), 0
        try:
            return self._decode(found[0]), found[1]
        except (ValueError, KeyError, TypeError) as error:
            self.log(
                f"warning: {self._url} cannot be read ({error}): resources of this deployment in another region or with "
                "another topic may be left"
            )
            return frozenset(), found[1]

    def _decode(self, raw: bytes) -> frozenset[Location]:
        found = read_document(raw, _SCHEMA)["locations"]
        return frozenset(Location(self.project, str(one["region"]), str(one["topic"])) for one in found)

    @property
    def _url(self) -> str:
        return f"gs://{self.store.bucket}/{self.name}"
