"""Reads the result.json of several folders of one bucket."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from builder.act.folder_claim import RESULT, RESULT_SCHEMA
from builder.model import JsonObject
from builder.ports import ObjectStore
from builder.strict_json import readable

_THREADS = 8


def read_results(store: ObjectStore, folders: Sequence[str]) -> Sequence[JsonObject | None]:
    """Return the result.json of each folder, which is a name prefix with its slash, in their order.

    None: it does not exist, or this version cannot read it. Raises CallFailed.
    """
    with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="results") as pool:
        found = pool.map(lambda folder: store.read(folder + RESULT), folders)
        return [readable(raw, RESULT_SCHEMA) for raw in found]
