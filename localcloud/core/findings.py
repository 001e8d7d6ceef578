"""The self-check of localcloud: calls by method, answers that break Google's schema, bugs of its own."""

from __future__ import annotations

import sys
import threading
import traceback
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

Json = dict[str, Any]


class Findings:
    """A record that the inventory shows; tests assert that violations and errors are empty."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._violations: list[Json] = []
        self._errors: list[Json] = []

    def call(self, method: str) -> None:
        """Count a call of an API method."""
        with self._lock:
            self._calls[method] += 1

    def violation(self, method: str, problems: Sequence[object]) -> None:
        """Record an answer of ours that does not fit Google's schema."""
        with self._lock:
            self._violations.append({"method": method, "problems": [str(problem) for problem in problems]})

    def error(self, where: str, error: BaseException) -> None:
        """Record, and print, an exception that is a bug of localcloud's."""
        text = "".join(traceback.format_exception(error))
        sys.stderr.write(f"localcloud: a bug, in {where}:\n{text}")
        with self._lock:
            self._errors.append({"where": where, "error": repr(error), "traceback": text})

    def inventory(self) -> Json:
        """Return everything recorded so far."""
        with self._lock:
            return {
                "calls": dict(self._calls),
                "schema_violations": list(self._violations),
                "internal_errors": list(self._errors),
            }
