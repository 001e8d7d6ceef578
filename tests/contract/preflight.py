"""The preflight in this process, through Google's clients, on a whole local cloud."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from google.oauth2.credentials import Credentials

from builder import report
from builder.act.waiting import Cancellation, RealClock
from builder.check.ask import Doors, ask_all
from builder.check.findings import Findings, findings
from builder.check.row import Row, State
from builder.gcp.catalog import GoogleCatalog
from builder.gcp.clients import Access
from builder.gcp.compute import GoogleMachines
from builder.gcp.project import GoogleProject
from builder.gcp.storage import GoogleObjectStore
from builder.options import load_options
from builder.plan.choose import choose
from builder.plan.event import Asked
from builder.plan.make import make_plan
from builder.plan.workspace import Workspace
from localcloud.cloud import FIRST_BUCKET, Cloud
from localcloud.iam import PROJECT, email
from tests.contract.world import NOTEBOOK

BUILDER, VM = email("builder"), email("vm")
SERVICES = ("compute", "storage", "cloudresourcemanager", "iam")


@dataclass(frozen=True)
class Seen:
    """What one preflight found, and how it was printed."""

    found: Findings
    printed: str

    @property
    def code(self) -> int:
        return int(self.found.exit_code)

    def rows(self, state: State) -> list[Row]:
        return [row for row in self.found.rows if row.state is state]

    def failed(self) -> list[tuple[str, str]]:
        """What failed, and where."""
        return [(row.what, row.where) for row in self.rows(State.FAIL)]

    def row(self, what: str, where: str = "") -> Row:
        """The one row about something."""
        (row,) = (row for row in self.found.rows if row.what == what and row.where.startswith(where))
        return row


def preflight(
    cloud: Cloud,
    folder: Path,
    options: Mapping[str, str] | None = None,
    *,
    notebooks: Sequence[str] = ("demo.ipynb",),
    budget: float = 5,
) -> Seen:
    """Look at the plan of a folder with these notebooks."""
    for name in notebooks:
        (folder / name).write_text(json.dumps(NOTEBOOK))
    env = {
        "PROJECT_ID": PROJECT,
        "NB_NOTEBOOKS": ",".join(notebooks),
        "NB_GCS_LOCATION": f"gs://{FIRST_BUCKET}/ci",
        "NB_VM_SERVICE_ACCOUNT": VM,
        "NB_ZONES": "us-central1-a",
        **(options or {}),
    }
    loaded = load_options(["check"], env, lambda _name: None)
    asked = Asked(date(2026, 7, 1))
    plan = make_plan(loaded, choose(loaded, Workspace(folder), asked), asked)
    token = cloud.iam.token(BUILDER)[0]
    access = Access(Credentials(token=token, account=BUILDER), PROJECT, dict.fromkeys(SERVICES, cloud.url))
    clock = RealClock(Cancellation())
    machines = GoogleMachines(access, clock, budget=budget)
    catalog = GoogleCatalog(access, clock, budget=budget)
    store = GoogleObjectStore(access, plan.location.bucket, clock, budget=budget)
    try:
        doors = Doors(machines, catalog, GoogleProject(access, clock, budget=budget), store)
        found = findings(plan, PROJECT, ask_all(plan, PROJECT, doors))
    finally:
        for door in (machines, catalog, store):
            door.close()
    log = io.StringIO()
    report.preflight(report.Console(log), found, as_json=False)
    return Seen(found, log.getvalue())
