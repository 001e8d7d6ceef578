"""Who may do what: accounts, roles and grants, as data. The roles are those that our documentation tells users to grant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PROJECT = "local-project"
PROJECT_NUMBER = "123456789012"

EVERYONE = "allAuthenticatedUsers"


def email(account: str) -> str:
    """Return the address of one of the project's service accounts, by its short name; an address stays as it is."""
    return account if "@" in account else f"{account}@{PROJECT}.iam.gserviceaccount.com"


# As whom Cloud Scheduler publishes: an account of Google's, which nobody has a token of.
SCHEDULER_AGENT = f"service-{PROJECT_NUMBER}@gcp-sa-cloudscheduler.iam.gserviceaccount.com"

ACCOUNTS = ("builder", "deployer", "vm", "function", "function-build", "trigger")

_OBJECT_USER = frozenset(
    f"storage.{name}"
    for name in (
        "objects.create",
        "objects.delete",
        "objects.get",
        "objects.list",
        "objects.update",
        "folders.get",
        "folders.list",
        "multipartUploads.create",
        "multipartUploads.abort",
        "multipartUploads.listParts",
    )
)

_SECRET_VIEWER = frozenset(
    f"secretmanager.{name}"
    for name in ("secrets.get", "secrets.getIamPolicy", "secrets.list", "versions.get", "versions.list")
)
_SECRET_VERSION_MANAGER = frozenset(
    f"secretmanager.versions.{name}" for name in ("add", "destroy", "disable", "enable", "get", "list")
)
_SECRET_CHANGES = frozenset(
    f"secretmanager.secrets.{name}" for name in ("create", "delete", "setIamPolicy", "update")
)

_PUBSUB_VIEWER = frozenset(
    f"pubsub.{name}" for name in ("subscriptions.get", "subscriptions.list", "topics.get", "topics.list")
)
_PUBSUB_SUBSCRIBER = frozenset({"pubsub.subscriptions.consume", "pubsub.topics.attachSubscription"})
_PUBSUB_EDITOR = (
    _PUBSUB_VIEWER
    | _PUBSUB_SUBSCRIBER
    | frozenset(
        f"pubsub.{kind}.{verb}"
        for kind in ("subscriptions", "topics")
        for verb in ("create", "delete", "update")
    )
    | {"pubsub.topics.detachSubscription", "pubsub.topics.publish"}
)
_SCHEDULER_VIEWER = frozenset(
    f"cloudscheduler.{name}" for name in ("jobs.get", "jobs.list", "locations.get", "locations.list")
)

ROLES: Mapping[str, frozenset[str]] = {
    "projects/local-project/roles/notebookBuilder": frozenset(
        f"compute.{name}"
        for name in (
            "instances.create",
            "instances.get",
            "instances.list",
            "instances.delete",
            "instances.setMetadata",
            "instances.setLabels",
            "instances.setServiceAccount",
            "instances.getSerialPortOutput",
            "disks.create",
            "disks.setLabels",
            "subnetworks.use",
            "zoneOperations.get",
            "zoneOperations.list",
            "regions.get",
            "zones.list",
            "projects.get",
            "machineTypes.get",
            "acceleratorTypes.get",
            "networks.get",
            "subnetworks.get",
        )
    ),
    "roles/storage.objectUser": _OBJECT_USER,
    "roles/storage.objectViewer": frozenset({"storage.objects.get", "storage.objects.list"}),
    "roles/storage.bucketViewer": frozenset({"storage.buckets.get"}),
    "projects/local-project/roles/notebookVmReader": frozenset({"storage.objects.get"}),
    "projects/local-project/roles/notebookVmWriter": frozenset(
        {"storage.objects.create", "storage.objects.delete"}
    ),
    "roles/compute.networkUser": frozenset(
        f"compute.{name}"
        for name in (
            "networks.get",
            "networks.list",
            "subnetworks.get",
            "subnetworks.list",
            "subnetworks.use",
            "subnetworks.useExternalIp",
        )
    ),
    "roles/browser": frozenset({"resourcemanager.projects.get"}),
    "roles/iam.serviceAccountViewer": frozenset({"iam.serviceAccounts.get", "iam.serviceAccounts.list"}),
    "roles/iam.serviceAccountUser": frozenset({"iam.serviceAccounts.actAs", "iam.serviceAccounts.get"}),
    "roles/bigquery.jobUser": frozenset({"bigquery.config.get", "bigquery.jobs.create"}),
    "roles/bigquery.dataViewer": frozenset(
        f"bigquery.{name}"
        for name in ("datasets.get", "tables.export", "tables.get", "tables.getData", "tables.list")
    ),
    "roles/cloudbuild.builds.editor": frozenset(
        f"cloudbuild.builds.{name}" for name in ("create", "get", "list", "update")
    ),
    "roles/secretmanager.secretAccessor": frozenset({"secretmanager.versions.access"}),
    "roles/secretmanager.viewer": _SECRET_VIEWER,
    "roles/secretmanager.secretVersionAdder": frozenset({"secretmanager.versions.add"}),
    "roles/secretmanager.secretVersionManager": _SECRET_VERSION_MANAGER,
    "roles/secretmanager.admin": _SECRET_VIEWER
    | _SECRET_VERSION_MANAGER
    | _SECRET_CHANGES
    | {"secretmanager.versions.access"},
    # What "deploy" needs of Pub/Sub and Cloud Scheduler.
    "projects/local-project/roles/notebookDeployer": frozenset(
        {"pubsub.topics.create", "pubsub.topics.get"}
        | {
            f"cloudscheduler.jobs.{verb}"
            for verb in ("create", "delete", "enable", "get", "pause", "run", "update")
        }
    ),
    "roles/pubsub.publisher": frozenset({"pubsub.topics.publish"}),
    "roles/pubsub.subscriber": _PUBSUB_SUBSCRIBER,
    "roles/pubsub.viewer": _PUBSUB_VIEWER,
    "roles/pubsub.editor": _PUBSUB_EDITOR,
    "roles/pubsub.admin": _PUBSUB_EDITOR
    | {f"pubsub.{kind}.{verb}IamPolicy" for kind in ("subscriptions", "topics") for verb in ("get", "set")},
    "roles/cloudscheduler.viewer": _SCHEDULER_VIEWER,
    "roles/cloudscheduler.jobRunner": frozenset({"cloudscheduler.jobs.run"}),
    "roles/cloudscheduler.admin": _SCHEDULER_VIEWER
    | {
        f"cloudscheduler.jobs.{verb}"
        for verb in ("create", "delete", "enable", "fullView", "pause", "run", "update")
    },
    "roles/cloudscheduler.serviceAgent": frozenset(
        {
            "iam.serviceAccounts.getAccessToken",
            "iam.serviceAccounts.getOpenIdToken",
            "logging.logEntries.create",
            "logging.logEntries.route",
            "pubsub.topics.publish",
        }
    ),
    "roles/compute.imageUser": frozenset(
        {
            "compute.images.get",
            "compute.images.getFromFamily",
            "compute.images.list",
            "compute.images.useReadOnly",
        }
    ),
}


@dataclass(frozen=True)
class Grant:
    """A role for an account (short name, address, or EVERYONE) on the resources that `on` matches.

    In `on`, `*` stands for one path segment and `**` for any number of them, none included.
    """

    account: str
    role: str
    on: str


# What every Google project can read without a grant of its own.
_PUBLIC_DATA = "projects/bigquery-public-data/datasets/**"
_PUBLIC_IMAGE_PROJECTS = ("deeplearning-platform-release", "debian-cloud", "ubuntu-os-cloud")

GRANTS = (
    *(
        Grant(EVERYONE, "roles/compute.imageUser", f"projects/{name}{below}")
        for name in _PUBLIC_IMAGE_PROJECTS
        for below in ("", "/**")
    ),
    Grant(EVERYONE, "roles/bigquery.dataViewer", _PUBLIC_DATA),
    Grant("vm", "roles/bigquery.jobUser", f"projects/{PROJECT}"),
    Grant("builder", "projects/local-project/roles/notebookBuilder", f"projects/{PROJECT}"),
    Grant("builder", "projects/local-project/roles/notebookBuilder", f"projects/{PROJECT}/**"),
    Grant("builder", "roles/storage.objectUser", "projects/_/buckets/**"),
    Grant("builder", "roles/storage.bucketViewer", "projects/_/buckets/*"),
    Grant("builder", "roles/iam.serviceAccountUser", f"projects/{PROJECT}/serviceAccounts/{email('vm')}"),
    Grant("vm", "projects/local-project/roles/notebookVmReader", "projects/_/buckets/*/objects/**/kits/**"),
    Grant(
        "vm", "projects/local-project/roles/notebookVmReader", "projects/_/buckets/*/objects/**/staging/**"
    ),
    Grant(
        "vm", "projects/local-project/roles/notebookVmWriter", "projects/_/buckets/*/objects/**/staging/**"
    ),
    # Who submits builds on a schedule; they run as the builder.
    Grant("function", "roles/cloudbuild.builds.editor", f"projects/{PROJECT}"),
    Grant(
        "function", "roles/iam.serviceAccountUser", f"projects/{PROJECT}/serviceAccounts/{email('builder')}"
    ),
    Grant("deployer", "roles/storage.objectUser", "projects/_/buckets/**"),
    Grant("deployer", "roles/storage.bucketViewer", "projects/_/buckets/*"),
    Grant("deployer", "projects/local-project/roles/notebookDeployer", f"projects/{PROJECT}"),
    Grant("deployer", "projects/local-project/roles/notebookDeployer", f"projects/{PROJECT}/**"),
    Grant(SCHEDULER_AGENT, "roles/cloudscheduler.serviceAgent", f"projects/{PROJECT}/**"),
)
