"""Reads the offers of Compute Engine to one project, through google-cloud-compute."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from posixpath import basename

from builder.check_ports import MachineType, Network, Quota, Quotas, Region, Subnetwork
from builder.gcp import compute_v1
from builder.gcp.calls import Calls
from builder.gcp.clients import CALL_BUDGET, CALL_TIMEOUT, Access
from builder.ports import Clock


class GoogleCatalog:
    """The port `check_ports.Catalog`."""

    def __init__(
        self, access: Access, clock: Clock, *, timeout: float = CALL_TIMEOUT, budget: float = CALL_BUDGET
    ) -> None:
        self.project = access.project
        self._calls = Calls(clock, budget, timeout)
        credentials, options = access.credentials, {"api_endpoint": access.endpoint("compute")}
        self._projects = compute_v1.ProjectsClient(credentials=credentials, client_options=options)
        self._regions = compute_v1.RegionsClient(credentials=credentials, client_options=options)
        self._machines = compute_v1.MachineTypesClient(credentials=credentials, client_options=options)
        self._accelerators = compute_v1.AcceleratorTypesClient(
            credentials=credentials, client_options=options
        )
        self._networks = compute_v1.NetworksClient(credentials=credentials, client_options=options)
        self._subnetworks = compute_v1.SubnetworksClient(credentials=credentials, client_options=options)
        self._images = compute_v1.ImagesClient(credentials=credentials, client_options=options)

    def close(self) -> None:
        """Close the connections. A process that ends need not call it."""
        for client in (
            self._projects,
            self._regions,
            self._machines,
            self._accelerators,
            self._networks,
            self._subnetworks,
            self._images,
        ):
            client.transport.close()  # type: ignore[no-untyped-call]

    def region(self, name: str) -> Region:
        answer = self._calls.make(
            "compute.regions.get",
            f"projects/{self.project}/regions/{name}",
            lambda: self._regions.get(
                project=self.project, region=name, timeout=self._calls.timeout, retry=None
            ),
        )
        return Region(
            zones=tuple(sorted(basename(url) for url in answer.zones)), quotas=_quotas(answer.quotas)
        )

    def quotas(self) -> Quotas:
        answer = self._calls.make(
            "compute.projects.get",
            f"projects/{self.project}",
            lambda: self._projects.get(project=self.project, timeout=self._calls.timeout, retry=None),
        )
        return _quotas(answer.quotas)

    def machine_type(self, zone: str, name: str) -> MachineType:
        answer = self._calls.make(
            "compute.machineTypes.get",
            f"projects/{self.project}/zones/{zone}/machineTypes/{name}",
            lambda: self._machines.get(
                project=self.project, zone=zone, machine_type=name, timeout=self._calls.timeout, retry=None
            ),
        )
        gpus = {item.guest_accelerator_type: item.guest_accelerator_count for item in answer.accelerators}
        return MachineType(name=answer.name, cpus=answer.guest_cpus, gpus=gpus)

    def accelerator_type(self, zone: str, name: str) -> str:
        answer = self._calls.make(
            "compute.acceleratorTypes.get",
            f"projects/{self.project}/zones/{zone}/acceleratorTypes/{name}",
            lambda: self._accelerators.get(
                project=self.project,
                zone=zone,
                accelerator_type=name,
                timeout=self._calls.timeout,
                retry=None,
            ),
        )
        return str(answer.description or answer.name)

    def network(self, project: str, name: str) -> Network:
        answer = self._calls.make(
            "compute.networks.get",
            f"projects/{project}/global/networks/{name}",
            lambda: self._networks.get(
                project=project, network=name, timeout=self._calls.timeout, retry=None
            ),
        )
        parts = [url.split("/") for url in answer.subnetworks]  # …/regions/REGION/subnetworks/NAME
        return Network(
            auto=bool(answer.auto_create_subnetworks), subnetworks={part[-3]: part[-1] for part in parts}
        )

    def subnetwork(self, project: str, region: str, name: str) -> Subnetwork:
        answer = self._calls.make(
            "compute.subnetworks.get",
            f"projects/{project}/regions/{region}/subnetworks/{name}",
            lambda: self._subnetworks.get(
                project=project, region=region, subnetwork=name, timeout=self._calls.timeout, retry=None
            ),
        )
        return Subnetwork(
            network=basename(answer.network), private_google_access=bool(answer.private_ip_google_access)
        )

    def image_families(self, project: str) -> Sequence[str]:
        def fetch() -> list[str]:
            images = self._images.list(project=project, timeout=self._calls.timeout, retry=None)
            current = {image.family for image in images if image.deprecated.state in {"", "ACTIVE"}}
            return sorted(current - {""})

        return self._calls.make("compute.images.list", f"projects/{project}", fetch)


def _quotas(quotas: Iterable[compute_v1.Quota]) -> Quotas:
    return {quota.metric: Quota(limit=quota.limit, usage=quota.usage) for quota in quotas}
