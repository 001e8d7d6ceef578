"""Claims the id of a run. It names the run's folders in the bucket, so no two runs have the same."""

from __future__ import annotations

import json
import secrets
import time

from builder.errors import EnvironmentFailed
from builder.model import GcsLocation
from builder.ports import ObjectStore

_MAX_SUFFIX = 99


def claim_run_id(store: ObjectStore, location: GcsLocation, wanted: str | None) -> str:
    """Return the wanted id, with -2, -3, … if it is taken, else a new one. Raises CallFailed and EnvironmentFailed."""
    base = wanted or f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
    for number in range(1, _MAX_SUFFIX + 1):
        run = base if number == 1 else f"{base}-{number}"
        claim = json.dumps({"schema": 1, "run": run, "claim": secrets.token_hex(8)}).encode()
        name = location.object("staging", run, "run.json")
        if store.create(name, claim, content_type="application/json") is not None:
            return run
    raise EnvironmentFailed(
        f"The run ids {base} to {base}-{_MAX_SUFFIX} are all taken.",
        reason="run_id_taken",
        advice="Set another NB_RUN_ID.",
    )
