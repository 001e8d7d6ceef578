"""The ports of `check`: Protocols for what Compute Engine offers and for a bucket, and the values that they return.

Like `ports.py`: the clients in builder/gcp/ implement them, and every method raises CallFailed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class MachineType:
    """A machine type of one zone. `gpus`: the number of built-in GPUs by accelerator type."""

    name: str
    cpus: int
    gpus: Mapping[str, int]


@dataclass(frozen=True)
class Quota:
    """A limit and how much of it is in use, in the metric's own unit."""

    limit: float
    usage: float

    @property
    def left(self) -> float:
        """The part that is not in use."""
        return max(0.0, self.limit - self.usage)


# By Compute Engine's metric names, as far as Compute Engine lists them.
Quotas = Mapping[str, Quota]


@dataclass(frozen=True)
class Region:
    """A region: the names of its zones, sorted, and its quotas."""

    zones: tuple[str, ...]
    quotas: Quotas


@dataclass(frozen=True)
class Network:
    """A VPC network. `auto`: Compute Engine chooses a VM's subnetwork. `subnetworks`: names by region."""

    auto: bool
    subnetworks: Mapping[str, str]


@dataclass(frozen=True)
class Subnetwork:
    """A subnetwork. `private_google_access`: VMs without an external address can reach Google's APIs."""

    network: str
    private_google_access: bool


@dataclass(frozen=True)
class BucketSettings:
    """A bucket's location in Google's spelling (US-CENTRAL1).

    `uniform_access`: only IAM controls access to its objects.
    """

    location: str
    uniform_access: bool


class Catalog(Protocol):
    """The offers of Compute Engine to one project. Read only."""

    project: str

    def region(self, name: str) -> Region:
        """A region's zones and quotas."""

    def quotas(self) -> Quotas:
        """The project's global quotas."""

    def machine_type(self, zone: str, name: str) -> MachineType:
        """A machine type in a zone."""

    def accelerator_type(self, zone: str, name: str) -> str:
        """Google's description of an accelerator type in a zone."""

    def network(self, project: str, name: str) -> Network:
        """A VPC network of a project."""

    def subnetwork(self, project: str, region: str, name: str) -> Subnetwork:
        """A subnetwork of a project."""

    def image_families(self, project: str) -> Sequence[str]:
        """The families of a project's images that are not deprecated, sorted."""


class Bucket(Protocol):
    """A bucket as a whole."""

    bucket: str

    def settings(self) -> BucketSettings:
        """Its location and its kind of access control."""

    def permissions(self, asked: Sequence[str]) -> frozenset[str]:
        """Those of these permissions that the caller has on it."""

    def try_create(self, name: str) -> None:
        """Raise CallFailed if the caller may not create an object of this name. Creates nothing."""
