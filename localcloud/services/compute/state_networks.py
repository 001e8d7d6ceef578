"""The VPC networks of the project: which VM reaches Google's APIs, and which the internet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localcloud.core.kept import Kept
from localcloud.services.compute import catalog
from localcloud.services.compute.links import parse

if TYPE_CHECKING:
    from localcloud.services.compute.wanted import Interface

Json = dict[str, Any]


class Networks:
    """Networks by name, with Private Google Access of their subnetworks and Cloud NAT, which are kept in `folder`.

    `names` are those of the catalogue that the project has. With `open_default`, the subnetworks of the network
    `default` have Private Google Access until a call changes that.
    """

    def __init__(self, folder: Path, names: Sequence[str], *, open_default: bool) -> None:
        self.by_name: Mapping[str, catalog.Network] = {name: catalog.NETWORKS[name] for name in names}
        self.routers = Kept(folder / "routers.json")
        self._access = Kept(folder / "subnetworks.json")
        self._open_default = open_default

    def subnetwork(self, region: str, name: str) -> catalog.Network | None:
        """Return the network that has a subnetwork of this name in this region."""
        found = (n for n in self.by_name.values() if n.subnetworks.get(region) == name)
        return next(found, None)

    def has_private_access(self, region: str, name: str) -> bool:
        """True if VMs of a subnetwork reach Google's APIs without an external address."""
        kept = self._access.find(f"{region}/{name}")
        return bool(kept["on"]) if kept is not None else self._open_default and name == "default"

    def set_private_access(self, region: str, name: str, *, on: bool) -> None:
        """Switch Private Google Access of a subnetwork on or off."""
        self._access.put(f"{region}/{name}", {"on": on})

    def reaches_google(self, region: str, interface: Interface) -> bool:
        """True if a VM reaches Google's APIs."""
        return self.has_private_access(region, interface.subnetwork) or self.reaches_internet(
            region, interface
        )

    def reaches_internet(self, region: str, interface: Interface) -> bool:
        """True if a VM reaches addresses outside Google: by its external address, or by Cloud NAT."""
        return interface.external_ip or any(
            router["region"] == region
            and router["network"] == interface.network
            and _serves(router, interface)
            for _, router in self.routers.items()
        )


def _serves(router: Json, interface: Interface) -> bool:
    """True if a NAT of a router serves a subnetwork."""
    for nat in router["body"].get("nats") or ():
        if str(nat.get("sourceSubnetworkIpRangesToNat", "")).startswith("ALL_SUBNETWORKS_"):
            return True
        named = (
            parse(each["name"], "regions/{region}/subnetworks/{name}")
            for each in nat.get("subnetworks") or ()
        )
        if any(parts is not None and parts["name"] == interface.subnetwork for parts in named):
            return True
    return False
