"""The roles, as data: what each of Google's predefined ones holds of the services here, and the custom ones of our documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

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

_REGISTRY_ITEMS = frozenset(
    f"artifactregistry.{kind}.{verb}"
    for kind in ("dockerimages", "files", "packages", "repositories", "tags", "versions")
    for verb in ("get", "list")
) | {"artifactregistry.repositories.downloadArtifacts"}
_RUN_INVOKER = frozenset({"run.instances.invoke", "run.jobs.run", "run.routes.invoke"})
_RUN_VIEWER = frozenset(
    f"run.{kind}.{verb}"
    for kind in ("configurations", "revisions", "routes", "services")
    for verb in ("get", "list")
) | {"run.locations.list", "run.services.getIamPolicy"}

_BUILDS_EDITOR = frozenset(f"cloudbuild.builds.{verb}" for verb in ("create", "get", "list", "update"))

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
            "machineTypes.list",
            "acceleratorTypes.get",
            "acceleratorTypes.list",
            "networks.get",
            "subnetworks.get",
        )
    ),
    "roles/storage.objectUser": _OBJECT_USER,
    "roles/storage.objectViewer": frozenset({"storage.objects.get", "storage.objects.list"}),
    "roles/storage.bucketViewer": frozenset({"storage.buckets.get"}),
    "projects/local-project/roles/notebookBuildReader": frozenset({"cloudbuild.builds.get"}),
    "projects/local-project/roles/notebookVmReader": frozenset({"storage.objects.get"}),
    "projects/local-project/roles/notebookFunctionReader": frozenset({"storage.objects.get"}),
    "projects/local-project/roles/notebookFunction": frozenset(
        f"cloudbuild.builds.{verb}" for verb in ("create", "get", "list")
    ),
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
    "roles/cloudbuild.builds.editor": _BUILDS_EDITOR,
    "roles/cloudbuild.builds.builder": _BUILDS_EDITOR
    | _REGISTRY_ITEMS
    | {f"artifactregistry.{name}" for name in ("repositories.uploadArtifacts", "tags.create", "tags.update")}
    | {"logging.logEntries.create", "logging.logEntries.list", "logging.views.access"}
    | {"pubsub.topics.create", "pubsub.topics.publish", "resourcemanager.projects.get"}
    | {f"storage.buckets.{verb}" for verb in ("create", "get", "list")}
    | {f"storage.objects.{verb}" for verb in ("create", "delete", "get", "list", "update")},
    "roles/secretmanager.secretAccessor": frozenset({"secretmanager.versions.access"}),
    "roles/secretmanager.viewer": _SECRET_VIEWER,
    "roles/secretmanager.secretVersionAdder": frozenset({"secretmanager.versions.add"}),
    "roles/secretmanager.secretVersionManager": _SECRET_VERSION_MANAGER,
    "roles/secretmanager.admin": _SECRET_VIEWER
    | _SECRET_VERSION_MANAGER
    | _SECRET_CHANGES
    | {"secretmanager.versions.access"},
    # What "deploy" does beyond what a run does.
    "projects/local-project/roles/notebookDeployer": frozenset(
        {f"pubsub.topics.{verb}" for verb in ("create", "delete", "get", "update")}
        | {
            f"cloudscheduler.jobs.{verb}"
            for verb in ("create", "delete", "enable", "get", "pause", "run", "update")
        }
        | {
            f"cloudfunctions.functions.{verb}"
            for verb in ("create", "delete", "get", "list", "sourceCodeSet", "update")
        }
        | {f"cloudfunctions.operations.{verb}" for verb in ("get", "list")}
        | {f"run.services.{verb}" for verb in ("get", "getIamPolicy", "setIamPolicy")}
        | {f"cloudbuild.builds.{verb}" for verb in ("get", "list")}
    ),
    "roles/cloudfunctions.developer": _RUN_VIEWER
    | {
        f"cloudfunctions.{name}"
        for name in (
            "functions.call",
            "functions.create",
            "functions.delete",
            "functions.get",
            "functions.invoke",
            "functions.list",
            "functions.sourceCodeGet",
            "functions.sourceCodeSet",
            "functions.update",
            "locations.get",
            "locations.list",
            "operations.get",
            "operations.list",
            "runtimes.list",
        )
    }
    | {f"run.services.{verb}" for verb in ("create", "delete", "update")}
    | {
        "cloudbuild.builds.get",
        "cloudbuild.builds.list",
        "resourcemanager.projects.get",
        "run.routes.invoke",
    },
    "roles/run.invoker": _RUN_INVOKER,
    "roles/run.admin": _RUN_VIEWER
    | _RUN_INVOKER
    | {f"run.services.{verb}" for verb in ("create", "delete", "setIamPolicy", "update")}
    | {"resourcemanager.projects.get"},
    "roles/artifactregistry.reader": _REGISTRY_ITEMS
    | {
        f"artifactregistry.{name}"
        for name in ("locations.get", "locations.list", "repositories.readViaVirtualRepository")
    },
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
