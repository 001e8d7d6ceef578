"""Handlers of the read-only collections: projects, regions, zones, types, images, networks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from localcloud.core.filters import matching
from localcloud.core.iam import PROJECT, PROJECT_NUMBER
from localcloud.core.listing import page
from localcloud.services.compute import catalog, images
from localcloud.services.compute.links import link
from localcloud.services.compute.refusals import bad_filter, missing, unordered

if TYPE_CHECKING:
    from localcloud.core.service import Call, Handler
    from localcloud.services.compute.quotas import Quotas
    from localcloud.services.compute.state import State

Json = dict[str, Any]
# Google's creation time of resources that have always existed.
_ALWAYS = "1969-12-31T16:00:00.000-08:00"
_MAX_PAGE = 500


def listing(kind: str, path: str, resources: Iterable[Json], params: Mapping[str, str]) -> Json:
    """Return one page of a list call: `kind` is "compute#instanceList", `path` the collection's."""
    return {"kind": kind, "id": path, "selfLink": link(path), **_page(resources, params)}


def _page(resources: Iterable[Json], params: Mapping[str, str]) -> Json:
    """Return the page that a list call asks for, by name; raises `ApiError` 400, or 501 for `orderBy`."""
    if params.get("orderBy") not in {None, "", "name"}:
        raise unordered(params["orderBy"])
    by_name = sorted(resources, key=lambda resource: (str(resource["name"]), str(resource.get("zone", ""))))
    expression = params.get("filter", "")
    chosen = matching(by_name, expression, lambda reason: bad_filter(expression, reason))
    return page(chosen, params, "items", _MAX_PAGE, size="maxResults", clamp=False)


def resource(kind: str, path: str, **fields: object) -> Json:
    """Return a resource of a kind ("network") that has always existed, with its id, name and link."""
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
    """Handlers of the read-only collections. State is only needed for the usage of quotas."""

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
            **both("region", "regions", "project", self._regions),
            **both("zone", "zones", "project", _zones),
            **both("machineType", "machineTypes", "zone", _machine_types),
            **both("acceleratorType", "acceleratorTypes", "zone", _accelerator_types),
            "compute.machineTypes.aggregatedList": lambda call: aggregate(
                call, "machineTypes", _machine_types
            ),
            "compute.acceleratorTypes.aggregatedList": lambda call: aggregate(
                call, "acceleratorTypes", _accelerator_types
            ),
        }

    def _project(self, call: Call) -> Json:
        project = call.params["project"]
        call.require("compute.projects.get", f"projects/{project}")
        if project != PROJECT:
            raise missing(f"projects/{project}")
        with self._state.changed:
            quotas = self._quotas.of_project(self._state.vms.values(), self._state.disks.values())
        return resource("project", f"projects/{project}") | {"id": PROJECT_NUMBER, "quotas": quotas}

    def _regions(self, parent: str) -> Iterable[Json]:
        with self._state.changed:
            vms, disks = list(self._state.vms.values()), list(self._state.disks.values())
        for region, letters in catalog.REGIONS.items():
            yield resource(
                "region",
                f"{parent}/regions/{region}",
                description=region,
                status="UP",
                zones=[link(f"{parent}/zones/{region}-{letter}") for letter in letters],
                quotas=self._quotas.of_region(region, vms, disks),
            )


def both(
    kind: str,
    collection: str,
    parent: str,
    resources: Callable[[str], Iterable[Json]],
    *,
    path: str | None = None,
) -> Mapping[str, Handler]:
    """Return get and list of one collection. `parent` is its parent: project, zone or region.

    `path` is the collection's path below the parent, where it is not its name.
    """
    below = path or collection

    def where(call: Call, permission: str, name: str | None) -> str:
        path = scope(call, parent)
        call.require(permission, f"{path}/{below}/{name}" if name else path)
        check_scope(path)
        return path

    def get(call: Call) -> Json:
        name = call.params[kind]
        path = where(call, f"compute.{collection}.get", name)
        for resource in resources(path):
            if name in (resource["name"], resource["id"]):
                return resource
        raise missing(f"{path}/{below}/{name}")

    def list_all(call: Call) -> Json:
        path = where(call, f"compute.{collection}.list", None)
        return listing(f"compute#{kind}List", f"{path}/{below}", resources(path), call.params)

    return {f"compute.{collection}.get": get, f"compute.{collection}.list": list_all}


def aggregate(
    call: Call, collection: str, resources: Callable[[str], Iterable[Json]], *, regional: bool = False
) -> Json:
    """Return one page over all zones or regions; one without items on this page has a warning instead."""
    project = scope(call, "project")
    call.require(f"compute.{collection}.list", project)
    check_scope(project)
    kind, places = ("region", tuple(catalog.REGIONS)) if regional else ("zone", catalog.ZONES)
    found = [view for place in places for view in resources(f"{project}/{kind}s/{place}")]
    chosen = _page(found, call.params)
    items = chosen.pop("items", [])
    path = f"{project}/aggregated/{collection}"
    printed: Json = {
        "kind": f"compute#{collection[:-1]}AggregatedList",
        "id": path,
        "selfLink": link(path),
        "items": {f"{kind}s/{place}": _scoped(collection, kind, place, items) for place in places},
    }
    return printed | chosen


def _scoped(collection: str, kind: str, place: str, items: Iterable[Json]) -> Json:
    own = [item for item in items if item[kind].rpartition("/")[2] == place]
    if own:
        return {collection: own}
    warning = {
        "code": "NO_RESULTS_ON_PAGE",
        "message": f"There are no results for scope '{kind}s/{place}' on this page.",
        "data": [{"key": "scope", "value": f"{kind}s/{place}"}],
    }
    return {"warning": warning}


def scope(call: Call, parent: str) -> str:
    """Return the path of a collection's parent: the project, a zone or a region."""
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
        yield resource(
            "zone",
            f"{parent}/zones/{zone}",
            description=zone,
            status="UP",
            region=link(f"{parent}/regions/{catalog.region_of(zone)}"),
        )


def _machine_types(parent: str) -> Iterable[Json]:
    zone = parent.rsplit("/", 1)[-1]
    for name in catalog.MACHINE_TYPES:
        machine = catalog.machine_type(zone, name)
        if machine is None:
            continue
        printed = resource(
            "machineType",
            f"{parent}/machineTypes/{name}",
            description=f"{machine.cpus} vCPUs, {machine.memory_mb / 1024:g} GB RAM",
            guestCpus=machine.cpus,
            memoryMb=machine.memory_mb,
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
            yield resource(
                "acceleratorType",
                f"{parent}/acceleratorTypes/{name}",
                description=found.description,
                maximumCardsPerInstance=max(found.max_cpus, default=8),
                zone=link(parent),
            )


def _image_view(image: images.Image) -> Json:
    printed = resource(
        "image",
        image.path,
        description=image.description,
        family=image.family,
        diskSizeGb=str(image.size_gb),
        status="READY",
        guestOsFeatures=[{"type": "UEFI_COMPATIBLE"}],
        creationTimestamp=image.created,
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
    """Return a project's images, the deprecated ones too: gcloud leaves those out itself."""
    project = call.params["project"]
    path = f"projects/{project}/global/images"
    call.require("compute.images.list", f"projects/{project}")
    if project not in images.PROJECTS and project != PROJECT:
        raise missing(f"projects/{project}")
    views = (_image_view(image) for image in images.IMAGES if image.project == project)
    return listing("compute#imageList", path, views, call.params)
