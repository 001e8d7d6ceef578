"""The preflight in this process, through Google's clients, on a whole local cloud."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from google.oauth2.credentials import Credentials

from builder.check.ask import Clients, ask_all
from builder.check.findings import Findings, findings
from builder.check.row import Row, State
from builder.gcp.catalog import GoogleCatalog
from builder.gcp.clients import Access
from builder.gcp.compute import GoogleMachines
from builder.gcp.project import GoogleProject
from builder.gcp.storage import GoogleObjectStore
from builder.options.message import Message
from builder.plan.build_plan import build_plan
from builder.plan.choose import choose
from builder.plan.event import RunRequest
from builder.plan.workspace import Workspace
from builder.report.console import Console
from builder.report.preflight import show_preflight
from builder.waiting import Cancellation, RealClock
from localcloud.cloud import Cloud
from localcloud.core.iam import PROJECT, email
from localcloud.profile import FIRST_BUCKET
from localcloud.profile.accounts import PREFIX
from tests.integration.cloud_fixture import NOTEBOOK
from tests.loading import load_options

BUILDER, VM = email("notebook-builder"), email("notebook-vm")
LOCATION = f"gs://{FIRST_BUCKET}/{PREFIX}"
SERVICES = ("compute", "storage", "cloudresourcemanager", "iam")


@dataclass(frozen=True)
class Seen:
    """The findings of one preflight, and its printed table."""

    found: Findings
    printed: str

    @property
    def code(self) -> int:
        return int(self.found.exit_code)

    def rows(self, state: State) -> list[Row]:
        return [row for row in self.found.rows if row.state is state]

    def failed(self) -> list[tuple[str, str]]:
        """Return the checks that failed, with their places."""
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
    account: str = BUILDER,
    message: Message | None = None,
) -> Seen:
    """Look at the plan of a folder with these notebooks, as this account; a message makes it a scheduled run's."""
    for name in notebooks:
        (folder / name).write_text(json.dumps(NOTEBOOK))
    env = {
        "PROJECT_ID": PROJECT,
        "NB_NOTEBOOKS": ",".join(notebooks),
        "NB_GCS_LOCATION": LOCATION,
        "NB_VM_SERVICE_ACCOUNT": VM,
        "NB_ZONES": "us-central1-a",
        **(options or {}),
    }
    loaded = load_options(["check"], env, lambda _name: None)
    request = RunRequest(date(2026, 7, 1), date(2026, 7, 1), message)
    plan = build_plan(loaded, choose(loaded, Workspace(folder), request), request)
    token = cloud.iam.token(account)[0]
    access = Access(Credentials(token=token, account=account), PROJECT, dict.fromkeys(SERVICES, cloud.url))
    clock = RealClock(Cancellation())
    machines = GoogleMachines(access, clock, budget=budget)
    catalog = GoogleCatalog(access, clock, budget=budget)
    store = GoogleObjectStore(access, plan.location.bucket, clock, budget=budget)
    try:
        clients = Clients(machines, catalog, GoogleProject(access, clock, budget=budget), store)
        found = findings(plan, PROJECT, ask_all(plan, PROJECT, clients))
    finally:
        for client in (machines, catalog, store):
            client.close()
    log = io.StringIO()
    show_preflight(Console(log), found)
    return Seen(found, log.getvalue())
