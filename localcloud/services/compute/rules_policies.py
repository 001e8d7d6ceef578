"""The organization policies that Compute Engine enforces when a VM is created: one row for each constraint."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TypeAlias

from localcloud.core.errors import precondition_failed
from localcloud.core.iam import PROJECT_NUMBER
from localcloud.services.compute.catalog import region_of
from localcloud.services.compute.wanted import Wanted

Policies: TypeAlias = Mapping[str, Collection[str]]
"""The values that each constraint in force allows. A constraint without a list, such as Shielded VMs, has none."""

_SEE = "See https://cloud.google.com/resource-manager/docs/organization-policy/org-policy-constraints for more information."


def check_known(policies: Policies) -> None:
    """Raise a ValueError for a constraint, or a group of locations, that is not enforced here."""
    if unknown := sorted(policies.keys() - CONSTRAINTS.keys()):
        message = f"{unknown[0]} is no constraint that localcloud enforces ({', '.join(CONSTRAINTS)})"
        raise ValueError(message)
    if groups := [value for allowed in policies.values() for value in allowed if value.startswith("in:")]:
        message = f"localcloud knows no groups of locations, such as {groups[0]}: name regions or zones"
        raise ValueError(message)


def check_policies(wanted: Wanted, policies: Policies) -> None:
    """Raise a 412 in Google's words if a policy forbids the instance."""
    for constraint, allowed in policies.items():
        for violation in CONSTRAINTS[constraint](wanted, f"constraints/{constraint}", allowed):
            raise precondition_failed(violation)


def _external_address(wanted: Wanted, name: str, allowed: Collection[str]) -> Iterator[str]:
    if wanted.interface.external_ip and wanted.path not in allowed:
        yield (
            f"Constraint {name} violated for project {PROJECT_NUMBER}. Add instance {wanted.path} to the constraint to use "
            "external IP with it."
        )


def _shielded(wanted: Wanted, name: str, _allowed: Collection[str]) -> Iterator[str]:
    if not wanted.shielded.get("enableSecureBoot"):
        yield (
            f"Constraint {name} violated for project projects/{wanted.project}. Secure Boot is not enabled in the "
            f"'shielded_instance_config' field. {_SEE}"
        )


def _image(wanted: Wanted, name: str, allowed: Collection[str]) -> Iterator[str]:
    for disk in wanted.disks:
        owner = disk.image.path.split("/")[1] if disk.image else ""
        if owner not in ("", wanted.project) and f"projects/{owner}" not in allowed:
            yield (
                f"Constraint {name} violated for project {wanted.project}. Use of images from project {owner} is prohibited."
            )


def _location(wanted: Wanted, name: str, allowed: Collection[str]) -> Iterator[str]:
    if not {wanted.zone, region_of(wanted.zone)} & set(allowed):
        yield f"Location ZONE:{wanted.zone} violates constraint {name} on the resource {wanted.path}."


CONSTRAINTS: Mapping[str, Callable[[Wanted, str, Collection[str]], Iterator[str]]] = {
    "compute.vmExternalIpAccess": _external_address,
    "compute.requireShieldedVm": _shielded,
    "compute.trustedImageProjects": _image,
    "gcp.resourceLocations": _location,
}
"""Yields how an instance violates a constraint that allows these values."""
