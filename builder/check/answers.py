"""Google's answers about a plan, and the zones and subnetworks that follow from them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TypeAlias, TypeVar

from builder.check_ports import BucketSettings, MachineType, Network, Quotas, Region, Subnetwork
from builder.model import is_zone, region_of
from builder.options import MachineOptions
from builder.plan.build_plan import ImageChoice, JobPlan
from builder.plan.subnetworks import named_subnetwork, network_of
from builder.ports import CallFailed, Image, TypeKind
from builder.refusals import service_of

T = TypeVar("T")

KINDS: tuple[TypeKind, ...] = ("machineTypes", "acceleratorTypes")
Answer: TypeAlias = T | CallFailed  # a value, or how the call for it failed


@dataclass(frozen=True)
class Answers:
    """The answers by what was asked about. Those with a default follow from earlier ones, and are asked for last."""

    caller: Answer[str]  # the account's address; "" if the credentials do not name it
    project_permissions: Answer[frozenset[str]]
    bucket: Answer[BucketSettings]
    bucket_permissions: Answer[frozenset[str]]
    folders: Mapping[str, Answer[None]]  # a failure where the caller may not create objects
    quotas: Answer[Quotas]  # the global ones
    accounts: Mapping[str, Answer[bool]]  # whether the service account is disabled
    account_permissions: Mapping[str, Answer[frozenset[str]]]
    images: Mapping[ImageChoice, Answer[Image]]
    regions: Mapping[str, Answer[Region]]
    networks: Mapping[tuple[str, str], Answer[Network]]  # project and name
    subnetworks: Mapping[tuple[str, str, str], Answer[Subnetwork]] = field(
        default_factory=dict
    )  # project, region and name
    machine_types: Mapping[tuple[str, str], Answer[MachineType]] = field(
        default_factory=dict
    )  # zone and name
    accelerators: Mapping[tuple[str, str], Answer[str]] = field(default_factory=dict)  # zone and name
    # For an image that does not exist, its project's current families; for a type that no allowed zone offers, the
    # zones that offer it, and the names of all types in one of the allowed zones.
    families: Mapping[str, Answer[Sequence[str]]] = field(default_factory=dict)
    zones_with: Mapping[tuple[TypeKind, str], Answer[Sequence[str]]] = field(default_factory=dict)
    type_names: Mapping[tuple[TypeKind, str], Answer[Sequence[str]]] = field(default_factory=dict)

    def failures(self, service: str) -> Iterator[CallFailed]:
        """The failed calls of one API, such as `compute`."""
        for each in fields(self):
            found = getattr(self, each.name)
            for answer in found.values() if isinstance(found, Mapping) else [found]:
                if isinstance(answer, CallFailed) and service_of(answer) == service:
                    yield answer

    def zones_of(self, job: JobPlan) -> Sequence[str]:
        """The names of the zones that a job may use, without those of a region that could not be read."""
        zones: list[str] = []
        for place in job.options.zones:
            region = None if is_zone(place) else known(self.regions.get(place))
            zones += [place] if is_zone(place) else region.zones if region else ()
        return list(dict.fromkeys(zones))

    def type_of(self, job: JobPlan, kind: TypeKind) -> tuple[str, Mapping[str, Answer[MachineType | str]]]:
        """The name of the job's type of this kind, "" if it has none, and the answer about it in each of its zones."""
        accelerator = job.options.accelerator
        found: Mapping[tuple[str, str], Answer[MachineType | str]]
        if kind == "machineTypes":
            name, found = job.options.machine_type, self.machine_types
        else:
            name, found = accelerator.type if accelerator else "", self.accelerators
        return name, {zone: found[zone, name] for zone in self.zones_of(job)} if name else {}

    def subnetwork_of(self, vm: MachineOptions, project: str, region: str) -> tuple[str, str, str] | None:
        """Project, region and name of the subnetwork that a VM in this region gets; None if that is not known."""
        named = named_subnetwork(vm, project, region)
        if named is not None:
            return named
        owner, name = network_of(vm, project)
        network = known(self.networks.get((owner, name)))
        if network is None or not network.auto or region not in network.subnetworks:
            return None
        return owner, region, network.subnetworks[region]


def known(answer: Answer[T] | None) -> T | None:
    """The answer; None if the call failed, or was not made."""
    return None if isinstance(answer, CallFailed) else answer


def regions_of(job: JobPlan) -> Sequence[str]:
    """The regions of the job's zones, in order."""
    return list(dict.fromkeys(region_of(place) for place in job.options.zones))
