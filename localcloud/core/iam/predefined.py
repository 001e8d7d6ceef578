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
roles/bigquery.readSessionUser
  bigquery.readsessions: create getData update
roles/cloudfunctions.serviceAgent
  artifactregistry.dockerimages: get list
  artifactregistry.packages: delete get list
  artifactregistry.repositories: create delete downloadArtifacts get list uploadArtifacts
  artifactregistry.versions: delete get list
  cloudbuild.builds: create get list update
  cloudfunctions.functions: get invoke list
  eventarc.triggers: create delete get list update
  iam.serviceAccounts: actAs getAccessToken getOpenIdToken signBlob
  pubsub.subscriptions: consume create delete get list update
  pubsub.topics: attachSubscription create get list
  run.services: create delete get list update
  storage.buckets: create delete get update
  storage.objects: create delete get list
roles/cloudscheduler.serviceAgent
  iam.serviceAccounts: getAccessToken getOpenIdToken
  logging.logEntries: create route
  pubsub.topics: publish
roles/compute.imageUser
  compute.images: get getFromFamily list useReadOnly
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
roles/iam.serviceAccountTokenCreator
  iam.serviceAccounts: get getAccessToken getOpenIdToken implicitDelegation list signBlob signJwt
  resourcemanager.projects: get list
roles/iam.serviceAccountUser
  iam.serviceAccounts: actAs get
roles/logging.logWriter
  logging.logEntries: create
roles/pubsub.publisher
  pubsub.topics: publish
roles/run.invoker
  run.instances: invoke
  run.jobs: run
  run.routes: invoke
roles/secretmanager.admin
  secretmanager.secrets: create delete get getIamPolicy list setIamPolicy update
  secretmanager.versions: access add destroy disable enable get list
roles/secretmanager.secretAccessor
  secretmanager.versions: access
roles/storage.bucketViewer
  storage.buckets: get list
roles/storage.objectUser
  storage.folders: get list
  storage.multipartUploads: abort create listParts
  storage.objects: create delete get list update
roles/storage.objectViewer
  resourcemanager.projects: get list
  storage.folders: get list
  storage.objects: get list
"""

# What an owner may do beside that, and a custom role can have.
_OWNERS = """
  artifactregistry.repositories: create delete getIamPolicy setIamPolicy
  cloudbuild.builds: create get list update
  cloudfunctions.functions: create delete list sourceCodeSet update
  cloudfunctions.operations: get list
  cloudscheduler.jobs: create delete enable fullView get list pause run update
  cloudscheduler.locations: get list
  compute.acceleratorTypes: get list
  compute.disks: create setLabels
  compute.instances: create delete get getSerialPortOutput list setLabels setMetadata setServiceAccount stop
  compute.machineTypes: get list
  compute.networks: get list
  compute.projects: get
  compute.regionOperations: get list
  compute.regions: get list
  compute.routers: create delete get list update
  compute.subnetworks: get list setPrivateIpGoogleAccess use useExternalIp
  compute.zoneOperations: get list
  compute.zones: get list
  iam.roles: create delete get undelete update
  iam.serviceAccounts: create delete getIamPolicy setIamPolicy
  pubsub.subscriptions: getIamPolicy setIamPolicy
  pubsub.topics: getIamPolicy setIamPolicy
  resourcemanager.projects: getIamPolicy setIamPolicy
  run.services: getIamPolicy list setIamPolicy update
  serviceusage.services: disable enable get list
  storage.buckets: create delete getIamPolicy setIamPolicy
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
