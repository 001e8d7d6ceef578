"""Resources by name, in memory and in one JSON file that is replaced at once: what a service remembers over a restart."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class Kept:
    """JSON values by name. Hold `lock` from a read to the write that depends on it; a value is replaced, never changed.

    `file` is read when it is there; its folder is made when missing.
    """

    def __init__(self, file: Path) -> None:
        self.lock = threading.RLock()
        self._file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        self._values: dict[str, Json] = json.loads(file.read_bytes()) if file.exists() else {}

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
        """Keep a value, new or changed; on disk when this returns."""
        with self.lock:
            self._values = {**self._values, name: value}
            self._write()

    def remove(self, name: str) -> None:
        """Forget a value; without effect when there is none."""
        with self.lock:
            if name in self._values:
                self._values = {key: value for key, value in self._values.items() if key != name}
                self._write()

    def _write(self) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps(self._values, indent=2) + "\n")
        fresh.replace(self._file)
