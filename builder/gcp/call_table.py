"""The list of Google calls: what a repetition of each can do, and for how long the builder repeats it.

`Calls` (calls.py) takes its budgets from here and refuses a call without a row. The tests generate their faults from it
(tests/integration/test_calls.py, tests/deploy/test_clients.py). The Cloud Function and the VM make their own calls with
clients of their own; their rows stand at the end, and tests/unit/test_call_table.py compares them with those clients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from builder.gcp.clients import CALL_BUDGET

FUNCTION, VM = "the Cloud Function", "the VM"


class Family(Enum):
    """The effect of a repetition if the first request had its effect and its reply was lost."""

    READ = "has no effect"
    REQUEST_ID = "returns the operation of the first request, which had the same requestId"
    PRECONDITION = "is refused, because the generation or etag that it names is gone"
    NAME = "is refused or finds nothing, because the resource with this name exists or is gone"
    CONTENT = "writes the same content again"
    NOT_IDEMPOTENT = "has its effect twice"


@dataclass(frozen=True)
class GoogleCall:
    """One row.

    `name` is the call in messages, in most rows the permission that it needs. `method` is the id of the call in
    Google's discovery documents.

    `budget`: seconds for the call with all its repetitions; 0: it is made once. A client can be given less. `maker`:
    who makes the call, if not the builder. `note`: why a call of the last family does no harm.
    """

    name: str
    family: Family
    method: str
    budget: float = CALL_BUDGET
    maker: str = ""
    note: str = ""


def _rows(family: Family, *names: str, below: str = "") -> list[GoogleCall]:
    """Rows of one family. `below`: what the method ids have between the service and the name."""
    return [GoogleCall(name, family, name.replace(".", f".{below}.", 1) if below else name) for name in names]


_LOCATIONS = "projects.locations"
_REPOSITORIES = "projects.locations.repositories.packages"

CALLS = (
    *_rows(
        Family.READ,
        "compute.acceleratorTypes.aggregatedList",
        "compute.acceleratorTypes.get",
        "compute.acceleratorTypes.list",
        "compute.images.get",
        "compute.images.getFromFamily",
        "compute.images.list",
        "compute.instances.aggregatedList",
        "compute.instances.get",
        "compute.machineTypes.aggregatedList",
        "compute.machineTypes.get",
        "compute.machineTypes.list",
        "compute.networks.get",
        "compute.projects.get",
        "compute.regions.get",
        "compute.subnetworks.get",
        "compute.zoneOperations.list",
        "compute.zoneOperations.wait",
        "compute.zones.list",
        "cloudresourcemanager.projects.testIamPermissions",
        "iam.projects.serviceAccounts.get",
        "iam.projects.serviceAccounts.testIamPermissions",
        "storage.buckets.get",
        "storage.buckets.testIamPermissions",
        "storage.objects.get",
        "storage.objects.list",
    ),
    # The serial port only explains. Compute Engine refuses it for a while when a VM starts or stops.
    GoogleCall(
        "compute.instances.getSerialPortOutput",
        Family.READ,
        "compute.instances.getSerialPortOutput",
        budget=10,
    ),
    *_rows(Family.READ, "pubsub.topics.get", "pubsub.topics.subscriptions.list", below="projects"),
    *_rows(Family.READ, "artifactregistry.tags.get", "artifactregistry.versions.get", below=_REPOSITORIES),
    *_rows(
        Family.READ,
        "cloudbuild.builds.get",
        "cloudbuild.builds.list",
        "cloudfunctions.functions.get",
        "cloudfunctions.operations.get",
        "cloudscheduler.jobs.get",
        "run.services.getIamPolicy",
        # An address to upload to. One that nobody uses expires.
        "cloudfunctions.functions.generateUploadUrl",
        below=_LOCATIONS,
    ),
    GoogleCall("metadata", Family.READ, ""),
    *_rows(Family.REQUEST_ID, "compute.instances.insert", "compute.instances.delete"),
    # A write without a generation is of the same bytes; a delete without one is of a name that no other run has.
    *_rows(Family.PRECONDITION, "storage.objects.insert", "storage.objects.rewrite"),
    *_rows(Family.NAME, "storage.objects.delete"),
    *_rows(Family.NAME, "pubsub.topics.create", "pubsub.topics.delete", below="projects"),
    *_rows(
        Family.NAME,
        "cloudfunctions.functions.create",
        "cloudfunctions.functions.delete",
        "cloudscheduler.jobs.create",
        "cloudscheduler.jobs.delete",
        below=_LOCATIONS,
    ),
    GoogleCall(
        "cloudfunctions.functions.update", Family.CONTENT, f"cloudfunctions.{_LOCATIONS}.functions.patch"
    ),
    GoogleCall("cloudscheduler.jobs.update", Family.CONTENT, f"cloudscheduler.{_LOCATIONS}.jobs.patch"),
    *_rows(Family.PRECONDITION, "run.services.setIamPolicy", below=_LOCATIONS),
    GoogleCall(
        "pubsub.topics.publish",
        Family.NOT_IDEMPOTENT,
        "pubsub.projects.topics.publish",
        note="Pub/Sub can deliver each message twice anyway. A reader knows copies of an alert by their "
        "`run`. The messages of `deploy --backfill` have an `id`, and two with one `id` are one event.",
    ),
    GoogleCall(
        "cloudbuild.builds.create",
        Family.NOT_IDEMPOTENT,
        f"cloudbuild.{_LOCATIONS}.builds.create",
        budget=0,
        maker=FUNCTION,
        note="Pub/Sub delivers the event again; the function looks for its build first, and the run locks the event.",
    ),
    GoogleCall(
        "secretmanager.versions.access",
        Family.READ,
        "secretmanager.projects.secrets.versions.access",
        maker=VM,
    ),
)

_BY_NAME: Mapping[str, GoogleCall] = {call.name: call for call in CALLS}


def row(name: str) -> GoogleCall:
    """Return the row of a call. Raises KeyError if the list has none: add it."""
    return _BY_NAME[name]
