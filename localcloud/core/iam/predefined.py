"""Google's predefined roles, as data: the permissions that each has for the services here.

The source is Google's published roles (`gcloud iam roles describe ROLE`), read in the copy that
https://github.com/iann0036/iam-dataset keeps (gcp/roles/, 2026-08).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# The name of a role, and below it what it may do with resources of a kind.
_TABLE = """
roles/artifactregistry.reader
  artifactregistry.dockerimages: get list
  artifactregistry.files: get list
  artifactregistry.locations: get list
  artifactregistry.packages: get list
  artifactregistry.repositories: downloadArtifacts get list readViaVirtualRepository
  artifactregistry.tags: get list
  artifactregistry.versions: get list
roles/artifactregistry.writer
  artifactregistry.dockerimages: get list
  artifactregistry.files: get list
  artifactregistry.packages: get list
  artifactregistry.repositories: downloadArtifacts get list uploadArtifacts
  artifactregistry.tags: create get list update
  artifactregistry.versions: get list
roles/bigquery.dataViewer
  bigquery.datasets: get
  bigquery.tables: export get getData list
roles/bigquery.jobUser
  bigquery.config: get
  bigquery.jobs: create
roles/browser
  resourcemanager.projects: get
roles/cloudbuild.builds.builder
  artifactregistry.dockerimages: get list
  artifactregistry.files: get list
  artifactregistry.packages: get list
  artifactregistry.repositories: downloadArtifacts get list uploadArtifacts
  artifactregistry.tags: create get list update
  artifactregistry.versions: get list
  cloudbuild.builds: create get list update
  logging.logEntries: create list
  logging.views: access
  pubsub.topics: create publish
  resourcemanager.projects: get
  storage.buckets: create get list
  storage.objects: create delete get list update
roles/cloudbuild.builds.editor
  cloudbuild.builds: create get list update
roles/cloudfunctions.developer
  cloudbuild.builds: get list
  cloudfunctions.functions: call create delete get invoke list sourceCodeGet sourceCodeSet update
  cloudfunctions.locations: get list
  cloudfunctions.operations: get list
  cloudfunctions.runtimes: list
  resourcemanager.projects: get
  run.configurations: get list
  run.locations: list
  run.revisions: get list
  run.routes: get invoke list
  run.services: create delete get getIamPolicy list update
roles/cloudscheduler.admin
  cloudscheduler.jobs: create delete enable fullView get list pause run update
  cloudscheduler.locations: get list
roles/cloudscheduler.jobRunner
  cloudscheduler.jobs: run
roles/cloudscheduler.serviceAgent
  iam.serviceAccounts: getAccessToken getOpenIdToken
  logging.logEntries: create route
  pubsub.topics: publish
roles/cloudscheduler.viewer
  cloudscheduler.jobs: get list
  cloudscheduler.locations: get list
roles/compute.imageUser
  compute.images: get getFromFamily list useReadOnly
roles/compute.instanceAdmin.v1
  compute.acceleratorTypes: get list
  compute.diskTypes: get list
  compute.disks: create delete get list setLabels update use
  compute.globalOperations: get list
  compute.images: get getFromFamily list useReadOnly
  compute.instances: attachDisk create delete detachDisk get getGuestAttributes getIamPolicy
  compute.instances: getSerialPortOutput list reset resume setIamPolicy setLabels setMachineType
  compute.instances: setMetadata setScheduling setServiceAccount setTags start stop suspend update
  compute.instances: use
  compute.machineTypes: get list
  compute.networks: get list use useExternalIp
  compute.projects: get
  compute.regionOperations: get list
  compute.regions: get list
  compute.routers: get list
  compute.subnetworks: get list use useExternalIp
  compute.zoneOperations: get list
  compute.zones: get list
  resourcemanager.projects: get
roles/compute.networkUser
  compute.networks: get list
  compute.subnetworks: get list use useExternalIp
roles/eventarc.serviceAgent
  cloudfunctions.functions: get
  eventarc.channels: publish
  iam.serviceAccounts: actAs getAccessToken
  pubsub.subscriptions: consume create delete get list update
  pubsub.topics: attachSubscription create delete get list publish update
  run.jobs: get
  run.services: get
  serviceusage.services: use
  storage.buckets: get update
roles/iam.roleAdmin
  iam.roles: create delete get list undelete update
  resourcemanager.projects: get getIamPolicy
roles/iam.serviceAccountAdmin
  iam.serviceAccounts: create delete disable enable get getIamPolicy list setIamPolicy undelete update
  resourcemanager.projects: get list
roles/iam.serviceAccountTokenCreator
  iam.serviceAccounts: get getAccessToken getOpenIdToken implicitDelegation list signBlob signJwt
  resourcemanager.projects: get list
roles/iam.serviceAccountUser
  iam.serviceAccounts: actAs get
roles/iam.serviceAccountViewer
  iam.serviceAccounts: get list
roles/logging.logWriter
  logging.logEntries: create
roles/pubsub.admin
  pubsub.subscriptions: consume create delete get getIamPolicy list setIamPolicy update
  pubsub.topics: attachSubscription create delete detachSubscription get getIamPolicy list
  pubsub.topics: publish setIamPolicy update
roles/pubsub.editor
  pubsub.subscriptions: consume create delete get list update
  pubsub.topics: attachSubscription create delete detachSubscription get list publish update
roles/pubsub.publisher
  pubsub.topics: publish
roles/pubsub.subscriber
  pubsub.subscriptions: consume
  pubsub.topics: attachSubscription
roles/pubsub.viewer
  pubsub.subscriptions: get list
  pubsub.topics: get list
roles/resourcemanager.projectIamAdmin
  resourcemanager.projects: get getIamPolicy setIamPolicy
roles/run.admin
  resourcemanager.projects: get
  run.configurations: get list
  run.instances: invoke
  run.jobs: run
  run.locations: list
  run.revisions: get list
  run.routes: get invoke list
  run.services: create delete get getIamPolicy list setIamPolicy update
roles/run.invoker
  run.instances: invoke
  run.jobs: run
  run.routes: invoke
roles/secretmanager.admin
  secretmanager.secrets: create delete get getIamPolicy list setIamPolicy update
  secretmanager.versions: access add destroy disable enable get list
roles/secretmanager.secretAccessor
  secretmanager.versions: access
roles/secretmanager.secretVersionAdder
  secretmanager.versions: add
roles/secretmanager.secretVersionManager
  secretmanager.versions: add destroy disable enable get list
roles/secretmanager.viewer
  secretmanager.secrets: get getIamPolicy list
  secretmanager.versions: get list
roles/serviceusage.serviceUsageAdmin
  serviceusage.services: disable enable get list use
roles/storage.admin
  resourcemanager.projects: get list
  storage.buckets: create delete get getIamPolicy list setIamPolicy update
  storage.folders: get list
  storage.multipartUploads: abort create listParts
  storage.objects: create delete get getIamPolicy list setIamPolicy update
roles/storage.bucketViewer
  storage.buckets: get list
roles/storage.objectAdmin
  resourcemanager.projects: get list
  storage.folders: get list
  storage.multipartUploads: abort create listParts
  storage.objects: create delete get getIamPolicy list setIamPolicy update
roles/storage.objectCreator
  resourcemanager.projects: get list
  storage.folders: create
  storage.objects: create
roles/storage.objectUser
  storage.folders: get list
  storage.multipartUploads: abort create listParts
  storage.objects: create delete get list update
roles/storage.objectViewer
  resourcemanager.projects: get list
  storage.folders: get list
  storage.objects: get list
"""

# What an owner may do beside that.
_OWNERS = """
  artifactregistry.repositories: create delete getIamPolicy setIamPolicy update
  compute.routers: create delete update
  compute.subnetworks: setPrivateIpGoogleAccess update
"""


def _permissions(lines: str) -> frozenset[str]:
    """Return the permissions in lines such as "pubsub.topics: get list"."""
    pairs = (line.split(": ") for line in lines.splitlines() if line)
    return frozenset(f"{kind.strip()}.{verb}" for kind, verbs in pairs for verb in verbs.split())


def _roles(table: str) -> Mapping[str, frozenset[str]]:
    parts = (part.partition("\n") for part in table.split("\nroles/")[1:])
    return {f"roles/{name}": _permissions(lines) for name, _, lines in parts}


ROLES: Mapping[str, frozenset[str]] = _roles(_TABLE)
OWNER_ROLE = "roles/owner"
PERMISSIONS = frozenset().union(*ROLES.values(), _permissions(_OWNERS))
"""All permissions that localcloud knows."""
