"""The permissions that a build's account needs: those of docs/accounts.md, which a test compares with these."""

from __future__ import annotations

from builder.plan.make import Plan

ROLE_ID = "notebookBuilder"
# What the role notebookBuilder holds. `run` uses the first ones; the others are asked for by `check` alone.
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
# Of roles/storage.objectUser, what a run uses.
OBJECTS = (
    "storage.objects.create",
    "storage.objects.delete",
    "storage.objects.get",
    "storage.objects.list",
)
ACT_AS = "iam.serviceAccounts.actAs"


def project_permissions(plan: Plan) -> tuple[str, ...]:
    """What the build's account must be allowed in the project for this plan."""
    return (*ROLE, EXTERNAL_IP) if any(job.vm.external_ip for job in plan.jobs) else ROLE
