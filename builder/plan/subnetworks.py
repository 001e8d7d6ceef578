"""The names of a VM's network and subnetwork, and the command that lets its VMs reach Google's APIs. Pure."""

from __future__ import annotations

import re

from builder.options import MachineOptions

Subnet = tuple[str, str, str]  # project, region, name

_NETWORK = re.compile(r"(?:.*projects/([^/]+)/)?global/networks/([^/]+)")
_SUBNETWORK = re.compile(r"(?:.*projects/([^/]+)/)?regions/([^/]+)/subnetworks/([^/]+)")


def network_of(vm: MachineOptions, project: str) -> tuple[str, str]:
    """Return project and name of the network that the VM asks for."""
    given = vm.network or "default"
    match = _NETWORK.fullmatch(given)
    return (match[1] or project, match[2]) if match else (project, given)


def named_subnetwork(vm: MachineOptions, project: str, region: str) -> Subnet | None:
    """Return the subnetwork that NB_SUBNETWORK names for a VM in this region, or None."""
    if vm.subnetwork is None:
        return None
    match = _SUBNETWORK.fullmatch(vm.subnetwork)
    return (match[1] or project, match[2], match[3]) if match else (project, region, vm.subnetwork)


def subnetwork_of(vm: MachineOptions, project: str, region: str) -> Subnet:
    """Return the subnetwork of a running VM. Without NB_SUBNETWORK, it has the name of its auto mode network."""
    named = named_subnetwork(vm, project, region)
    if named is not None:
        return named
    owner, name = network_of(vm, project)
    return owner, region, name


def allow_private_access(subnet: Subnet) -> str:
    """Return the command that switches Private Google Access on."""
    owner, region, name = subnet
    return (
        f"gcloud compute networks subnets update {name} --project={owner} --region={region} "
        "--enable-private-ip-google-access"
    )
