"""Claims the id of a run. It names the run's folders in the bucket, so no two runs have the same."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator

from builder.errors import EnvironmentFailed
from builder.model import GcsLocation
from builder.ports import ObjectStore

_MAX_SUFFIX = 99


def numbered(wanted: str) -> Iterator[str]:
    """Yield the ids of runs that want the same id, in the order in which they are given."""
    yield wanted
    yield from (f"{wanted}-{number}" for number in range(2, _MAX_SUFFIX + 1))


def claim_object(location: GcsLocation, run: str) -> str:
    """Return the name of the object that claims a run's id. It names the build whose run this is."""
    return location.object("staging", run, "run.json")


def claim_run_id(store: ObjectStore, location: GcsLocation, wanted: str | None, build: str | None) -> str:
    """Return the wanted id, with -2, -3, … if it is taken, else a new one. Raises CallFailed and EnvironmentFailed.

    An id is taken by its claim, or by the results of a run whose claim was deleted with `staging/`.
    """
    base = wanted or f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
    for run in numbered(base):
        claim = {"schema": 1, "run": run, "claim": secrets.token_hex(8), "build": build or ""}
        content = json.dumps(claim).encode()
        made = store.create(claim_object(location, run), content, content_type="application/json")
        if made is not None and store.stat(location.object("results", run, "summary.json")) is None:
            return run
    raise EnvironmentFailed(
        f"The run ids {base} to {base}-{_MAX_SUFFIX} are all taken.",
        reason="run_id_taken",
        advice="Set another NB_RUN_ID.",
    )
