"""The permissions that a build's account needs.

A test compares them with setup/table.sh, which the image does not hold.
"""

from __future__ import annotations

from builder.plan.build_plan import Plan

ROLE_ID = "notebookBuilder"
# The permissions of the role notebookBuilder: those that `run` uses, and those that only `check` uses.
_RUN = (
    "compute.instances.create",
    "compute.instances.get",
    "compute.instances.list",
    "compute.instances.delete",
    "compute.instances.setMetadata",
    "compute.instances.setLabels",
    "compute.instances.setServiceAccount",
    "compute.instances.getSerialPortOutput",
    "compute.disks.create",
    "compute.disks.setLabels",
    "compute.subnetworks.use",
    "compute.zoneOperations.get",
    "compute.zoneOperations.list",
    "compute.regions.get",
    "compute.zones.list",
    "compute.machineTypes.list",
    "compute.acceleratorTypes.list",
)
_CHECK = (
    "compute.projects.get",
    "compute.machineTypes.get",
    "compute.acceleratorTypes.get",
    "compute.networks.get",
    "compute.subnetworks.get",
)
ROLE = (*_RUN, *_CHECK)
EXTERNAL_IP = "compute.subnetworks.useExternalIp"
# The permissions of roles/storage.objectUser that a run uses.
OBJECTS = (
    "storage.objects.create",
    "storage.objects.delete",
    "storage.objects.get",
    "storage.objects.list",
)
_FOLDERS = ("kits", "staging", "open", "results")
_FOLDERS_OF_EVENTS = ("locks", "versions")
# A run that cannot write here is green as well, but nothing believes it later.
PROOFS = "proofs"
ACT_AS = "iam.serviceAccounts.actAs"


def written_folders(plan: Plan) -> tuple[str, ...]:
    """The folders below the prefix in which the build's account creates objects for this plan."""
    return (*_FOLDERS, *_FOLDERS_OF_EVENTS) if plan.scheduled else _FOLDERS


def project_permissions(plan: Plan) -> tuple[str, ...]:
    """The permissions in the project that the build's account needs for this plan."""
    return (*ROLE, EXTERNAL_IP) if any(job.options.external_ip for job in plan.jobs) else ROLE
