"""Resources by name, in memory and in one JSON file that is replaced atomically: a service's state over restarts."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from localcloud.core.state_folder import write_private

Json = dict[str, Any]


class Kept:
    """JSON values by name. Hold `lock` from a read to the write that depends on it; a value is replaced, never changed.

    `file` is read if it exists, and its folder is made if not. Only their owner can read them. None keeps no file.
    Raises ValueError for a damaged file.
    """

    def __init__(self, file: Path | None) -> None:
        self.lock = threading.RLock()
        self._file = file
        self._values: dict[str, Json] = {}
        if file is not None:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._values = _read(file) if file.exists() else {}

    def items(self) -> list[tuple[str, Json]]:
        """Return every name with its value, in the order of names."""
        with self.lock:
            return sorted(self._values.items(), key=lambda item: item[0])

    def names(self) -> list[str]:
        """Return every name, in order."""
        return [name for name, _ in self.items()]

    def find(self, name: str) -> Json | None:
        """Return a value, None where there is none. Takes no lock, so it may be called under any."""
        return self._values.get(name)

    def put(self, name: str, value: Json) -> None:
        """Store a value; it is on disk when this returns."""
        with self.lock:
            self._values = {**self._values, name: value}
            self._write()

    def remove(self, name: str) -> None:
        """Delete a value; no effect if there is none."""
        with self.lock:
            if name in self._values:
                self._values = {key: value for key, value in self._values.items() if key != name}
                self._write()

    def _write(self) -> None:
        if self._file is None:
            return
        fresh = self._file.with_suffix(".new")
        write_private(fresh, json.dumps(self._values, indent=2) + "\n")
        fresh.replace(self._file)


def _read(file: Path) -> dict[str, Json]:
    try:
        values: dict[str, Json] = json.loads(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"{file} is damaged ({error}); remove it, or choose another --state") from error
    return values
