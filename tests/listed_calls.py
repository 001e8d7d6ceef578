"""Compares what localcloud was asked with the product's list of Google calls."""

from __future__ import annotations

from collections.abc import Iterable

from builder.gcp.call_table import CALLS

# Requests that are no methods of an API: the parts of one upload.
_PARTS = {
    "storage.resumable.start",
    "storage.resumable.chunk",
    "storage.resumable.status",
    "cloudfunctions.upload",
}
LISTED = frozenset(call.method for call in CALLS if call.method)


def unlisted(methods: Iterable[str], *, also: Iterable[str] = ()) -> list[str]:
    """Return the methods without a row. `also`: methods that a test calls itself."""
    return sorted(set(methods) - LISTED - _PARTS - set(also))
