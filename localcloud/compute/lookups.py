"""The read-only part of the API: projects, regions, zones, types, images, networks. Thin: all data is elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from localcloud.compute import catalog, images
from localcloud.compute.filters import page
from localcloud.compute.links import link
from localcloud.compute.refusals import missing
from localcloud.compute.views import GUEST_FEATURES
from localcloud.iam import PROJECT, PROJECT_NUMBER

if TYPE_CHECKING:
    from localcloud.compute.quotas import Quotas
    from localcloud.compute.state import State
    from localcloud.service import Call, Handler

Json = dict[str, Any]
# What Google prints for things that have always been there.
_ALWAYS = "1969-12-31T16:00:00.000-08:00"


def listing(kind: str, path: str, resources: Iterable[Json], params: Mapping[str, str]) -> Json:
    """Return one page of a list call: `kind` is "compute#instanceList", `path` the collection's."""
    chosen = page(resources, params)
    printed: Json = {"kind": kind, "id": path, "selfLink": link(path)}
    if chosen.items:
        printed["items"] = chosen.items
    if chosen.next_token is not None:
        printed["nextPageToken"] = chosen.next_token
    return printed


def _resource(kind: str, path: str, **fields: object) -> Json:
    number = int(hashlib.sha256(path.encode()).hexdigest()[:15], 16)
    return {
        "kind": f"compute#{kind}",
        "id": str(10**18 + number),
        "name": path.rsplit("/", 1)[-1],
        "creationTimestamp": _ALWAYS,
        "selfLink": link(path),
        **fields,
    }


class Lookups:
    """Handlers for what is read only. State is needed for the usage of quotas alone."""

    def __init__(self, state: State, quotas: Quotas) -> None:
        self._state = state
        self._quotas = quotas

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler per method id."""
        return {
            "compute.projects.get": self._project,
            "compute.images.get": _image,
            "compute.images.getFromFamily": _image_of_family,
            "compute.images.list": _image_list,
            "compute.networks.get": _network,
            **_both("region", "regions", "project", self._regions),
            **_both("zone", "zones", "project", _zones),
            **_both("machineType", "machineTypes", "zone", _machine_types),
            **_both("acceleratorType", "acceleratorTypes", "zone", _accelerator_types),
            "compute.machineTypes.aggregatedList": lambda call: aggregate(
                call, "machineTypes", _machine_types
            ),
            "compute.acceleratorTypes.aggregatedList": lambda call: aggregate(
                call, "acceleratorTypes", _accelerator_types
            ),
            **_both("diskType", "diskTypes", "zone", _disk_types),
            **_both("subnetwork", "subnetworks", "region", _subnetworks),
        }

    def _project(self, call: Call) -> Json:
        project = call.params["project"]
        call.require("compute.projects.get", f"projects/{project}")
        if project != PROJECT:
            raise missing(f"projects/{project}")
        with self._state.changed:
            quotas = self._quotas.of_project(self._state.vms.values(), self._state.disks.values())
        fields = {
            "id": PROJECT_NUMBER,
            "commonInstanceMetadata": {"kind": "compute#metadata", "fingerprint": "bG9jYWw="},
            "defaultServiceAccount": f"{PROJECT_NUMBER}-compute@developer.gserviceaccount.com",
            "defaultNetworkTier": "PREMIUM",
            "xpnProjectStatus": "UNSPECIFIED_XPN_PROJECT_STATUS",
            "quotas": quotas,
        }
        return _resource("project", f"projects/{project}") | fields

    def _regions(self, parent: str) -> Iterable[Json]:
        with self._state.changed:
            vms, disks = list(self._state.vms.values()), list(self._state.disks.values())
        for region, letters in catalog.REGIONS.items():
            yield _resource(
                "region",
                f"{parent}/regions/{region}",
                description=region,
                status="UP",
                zones=[link(f"{parent}/zones/{region}-{letter}") for letter in letters],
                quotas=self._quotas.of_region(region, vms, disks),
            )


def _both(
    kind: str, collection: str, parent: str, resources: Callable[[str], Iterable[Json]]
) -> Mapping[str, Handler]:
    """Return get and list of one collection. `parent`: what its path lies in (project, zone or region)."""

    def where(call: Call, permission: str, name: str | None) -> str:
        path = scope(call, parent)
        call.require(permission, f"{path}/{collection}/{name}" if name else path)
        check_scope(path)
        return path

    def get(call: Call) -> Json:
        name = call.params[kind]
        path = where(call, f"compute.{collection}.get", name)
        for resource in resources(path):
            if name in (resource["name"], resource["id"]):
                return resource
        raise missing(f"{path}/{collection}/{name}")

    def list_all(call: Call) -> Json:
        path = where(call, f"compute.{collection}.list", None)
        return listing(f"compute#{kind}List", f"{path}/{collection}", resources(path), call.params)

    return {f"compute.{collection}.get": get, f"compute.{collection}.list": list_all}


def aggregate(call: Call, collection: str, resources: Callable[[str], Iterable[Json]]) -> Json:
    """Return one page over all zones, by zone; a zone with nothing on this page has a warning instead."""
    project = scope(call, "project")
    call.require(f"compute.{collection}.list", project)
    check_scope(project)
    found = [view for zone in catalog.ZONES for view in resources(f"{project}/zones/{zone}")]
    chosen = page(found, call.params)
    path = f"{project}/aggregated/{collection}"
    printed: Json = {
        "kind": f"compute#{collection[:-1]}AggregatedList",
        "id": path,
        "selfLink": link(path),
        "items": {f"zones/{zone}": _scoped(collection, zone, chosen.items) for zone in catalog.ZONES},
    }
    return printed | ({"nextPageToken": chosen.next_token} if chosen.next_token else {})


def _scoped(collection: str, zone: str, items: Iterable[Json]) -> Json:
    own = [item for item in items if item["zone"].rpartition("/")[2] == zone]
    if own:
        return {collection: own}
    warning = {
        "code": "NO_RESULTS_ON_PAGE",
        "message": f"There are no results for scope 'zones/{zone}' on this page.",
        "data": [{"key": "scope", "value": f"zones/{zone}"}],
    }
    return {"warning": warning}


def scope(call: Call, parent: str) -> str:
    """Return the path that a call's collection lies in: of the project, a zone or a region."""
    path = f"projects/{call.params['project']}"
    return path if parent == "project" else f"{path}/{parent}s/{call.params[parent]}"


def check_scope(path: str) -> None:
    """Raise ApiError 404 when a project, zone or region does not exist."""
    parts = path.split("/")
    if parts[1] != PROJECT:
        raise missing("/".join(parts[:2]))
    known: Mapping[str, Iterable[str]] = {"zones": catalog.ZONES, "regions": catalog.REGIONS}
    if len(parts) > 2 and parts[3] not in known[parts[2]]:  # noqa: PLR2004  projects/P and one pair more
        raise missing(path)


def _zones(parent: str) -> Iterable[Json]:
    for zone in catalog.ZONES:
        yield _resource(
            "zone",
            f"{parent}/zones/{zone}",
            description=zone,
            status="UP",
            region=link(f"{parent}/regions/{catalog.region_of(zone)}"),
            availableCpuPlatforms=["Intel Cascade Lake", "Intel Sapphire Rapids", "Intel Skylake"],
        )


def _machine_types(parent: str) -> Iterable[Json]:
    zone = parent.rsplit("/", 1)[-1]
    for name in catalog.MACHINE_TYPES:
        machine = catalog.machine_type(zone, name)
        if machine is None:
            continue
        printed = _resource(
            "machineType",
            f"{parent}/machineTypes/{name}",
            description=f"{machine.cpus} vCPUs, {machine.memory_mb / 1024:g} GB RAM",
            guestCpus=machine.cpus,
            memoryMb=machine.memory_mb,
            isSharedCpu=machine.shared_cpu,
            imageSpaceGb=0,
            maximumPersistentDisks=128,
            maximumPersistentDisksSizeGb="263168",
            architecture="X86_64",
            zone=zone,
        )
        if machine.gpu is not None:
            gpu = {"guestAcceleratorType": machine.gpu, "guestAcceleratorCount": machine.gpu_count}
            printed["accelerators"] = [gpu]
        yield printed


def _accelerator_types(parent: str) -> Iterable[Json]:
    zone = parent.rsplit("/", 1)[-1]
    for name in catalog.ACCELERATORS:
        found = catalog.accelerator(zone, name)
        if found is not None:
            yield _resource(
                "acceleratorType",
                f"{parent}/acceleratorTypes/{name}",
                description=found.description,
                maximumCardsPerInstance=max(found.max_cpus, default=8),
                zone=link(parent),
            )


def _disk_types(parent: str) -> Iterable[Json]:
    for disk in catalog.DISK_TYPES.values():
        yield _resource(
            "diskType",
            f"{parent}/diskTypes/{disk.name}",
            description=disk.description,
            defaultDiskSizeGb=str(disk.default_gb),
            validDiskSize=disk.sizes,
            zone=link(parent),
        )


def _subnetworks(parent: str) -> Iterable[Json]:
    project, region = parent.rsplit("/regions/", 1)
    for number, network in enumerate(catalog.NETWORKS.values()):
        if region in network.subnetworks:
            yield _resource(
                "subnetwork",
                f"{parent}/subnetworks/{network.subnetworks[region]}",
                network=link(f"{project}/global/networks/{network.name}"),
                region=link(parent),
                ipCidrRange=f"10.{128 + number}.0.0/16",
                gatewayAddress=f"10.{128 + number}.0.1",
                privateIpGoogleAccess=network.private_google_access,
                purpose="PRIVATE",
                stackType="IPV4_ONLY",
            )


def _network(call: Call) -> Json:
    project, name = call.params["project"], call.params["network"]
    path = f"projects/{project}/global/networks/{name}"
    call.require("compute.networks.get", path)
    network = catalog.NETWORKS.get(name)
    if network is None or project != PROJECT:
        raise missing(path)
    subnetworks = [
        link(f"projects/{project}/regions/{region}/subnetworks/{own}")
        for region, own in network.subnetworks.items()
    ]
    return _resource("network", path, autoCreateSubnetworks=network.auto, subnetworks=subnetworks, mtu=1460)


def _image_view(image: images.Image) -> Json:
    printed = _resource(
        "image",
        image.path,
        description=image.description,
        family=image.family,
        diskSizeGb=str(image.size_gb),
        archiveSizeBytes=str(image.size_gb * 300_000_000),
        architecture="X86_64",
        status="READY",
        sourceType="RAW",
        guestOsFeatures=GUEST_FEATURES,
        creationTimestamp=image.created,
        storageLocations=["us"],
    )
    if image.state != "ACTIVE":
        printed["deprecated"] = {"state": image.state}
        newer = images.by_family(image.project, image.family)
        if newer is not None:
            printed["deprecated"]["replacement"] = link(newer.path)
    return printed


def _image(call: Call) -> Json:
    project, name = call.params["project"], call.params["image"]
    path = f"projects/{project}/global/images/{name}"
    call.require("compute.images.get", path)
    image = images.BY_NAME.get((project, name))
    if image is None:
        raise missing(path)
    return _image_view(image)


def _image_of_family(call: Call) -> Json:
    project, family = call.params["project"], call.params["family"]
    path = f"projects/{project}/global/images/family/{family}"
    call.require("compute.images.getFromFamily", path)
    image = images.by_family(project, family)
    if image is None:
        raise missing(path)
    return _image_view(image)


def _image_list(call: Call) -> Json:
    """Return a project's images; those that are deprecated are out of sight, only their names still work."""
    project = call.params["project"]
    path = f"projects/{project}/global/images"
    call.require("compute.images.list", f"projects/{project}")
    if project not in images.PROJECTS and project != PROJECT:
        raise missing(f"projects/{project}")
    views = (_image_view(i) for i in images.IMAGES if i.project == project and i.state == "ACTIVE")
    return listing("compute#imageList", path, views, call.params)
