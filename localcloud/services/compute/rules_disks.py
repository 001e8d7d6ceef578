"""The rules for an instance's disks, and for naming an image. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from localcloud.services.compute import catalog, images
from localcloud.services.compute.links import parse
from localcloud.services.compute.refusals import bad_field, check_name, incompatible, malformed, missing
from localcloud.services.compute.wanted import WantedDisk

Json = dict[str, Any]
_SMALLEST_GB = 10
_MAX_GB = 65536
_SMALLEST_WITH_GPU_GB = 40


def read_disks(
    project: str, zone: str, instance: str, machine: catalog.MachineType, disks: Sequence[Json], *, gpus: bool
) -> tuple[WantedDisk, ...]:
    """Return the disks, boot disk first; raises ApiError 400 or 404."""
    if not disks:
        raise bad_field("resource.disks", "", "No disks are specified.")
    if not disks[0].get("boot"):
        text = "Boot disk must be the first disk attached to the instance."
        raise bad_field("resource.disks[0].boot", "false", text)
    if any(disk.get("boot") for disk in disks[1:]):
        raise bad_field("resource.disks", "", "At most one disk can be the boot disk.")
    found = tuple(
        _disk(project, zone, instance, machine=machine, number=n, disk=disk) for n, disk in enumerate(disks)
    )
    if len({disk.name for disk in found}) < len(found):
        raise bad_field("resource.disks", "", "Two disks have the same name; set initializeParams.diskName.")
    boot = found[0]
    if gpus and boot.size_gb < _SMALLEST_WITH_GPU_GB:
        text = f"The boot disk of an instance with GPUs must have at least {_SMALLEST_WITH_GPU_GB} GB."
        raise bad_field("resource.disks[0].initializeParams.diskSizeGb", boot.size_gb, text)
    return found


def _disk(
    project: str, zone: str, instance: str, *, machine: catalog.MachineType, number: int, disk: Json
) -> WantedDisk:
    field = f"resource.disks[{number}]"
    params = disk.get("initializeParams")
    if params is None:
        raise bad_field(field, "", "Either source or initializeParams must be specified.")
    if disk.get("type", "PERSISTENT") != "PERSISTENT":
        raise bad_field(f"{field}.type", disk["type"], "localcloud has persistent disks only.")
    mode = disk.get("mode") or "READ_WRITE"
    if number == 0 and mode != "READ_WRITE":
        raise bad_field(f"{field}.mode", mode, "The boot disk must be attached in READ_WRITE mode.")
    if params.get("diskName"):
        check_name(f"{field}.initializeParams.diskName", params["diskName"])
    image = _image(project, f"{field}.initializeParams.sourceImage", params, boot=number == 0)
    default_name = instance if number == 0 else f"{instance}-{number}"
    return WantedDisk(
        name=params.get("diskName") or default_name,
        device_name=disk.get("deviceName") or f"persistent-disk-{number}",
        size_gb=_size(f"{field}.initializeParams.diskSizeGb", disk, params, image),
        type=_type(project, zone, machine, f"{field}.initializeParams.diskType", params),
        labels=dict(params.get("labels") or {}),
        image=image,
        boot=number == 0,
        # False unless set: the usual way to leave a disk behind.
        auto_delete=bool(disk.get("autoDelete", False)),
        mode=mode,
    )


def _size(field: str, disk: Json, params: Json, image: images.Image | None) -> int:
    text = params.get("diskSizeGb") or disk.get("diskSizeGb")
    smallest = image.size_gb if image else _SMALLEST_GB
    if text is None:
        return smallest if image else catalog.DISK_TYPES["pd-standard"].default_gb
    size = int(text)
    if image is not None and size < image.size_gb:
        raise bad_field(
            field, size, f"Requested disk size cannot be smaller than the image size ({image.size_gb} GB)"
        )
    if not _SMALLEST_GB <= size <= _MAX_GB:
        raise bad_field(
            field, size, f"Disk size must be between {_SMALLEST_GB} GB and {_MAX_GB} GB inclusive."
        )
    return size


def _type(project: str, zone: str, machine: catalog.MachineType, field: str, params: Json) -> str:
    """Return the disk type's name. An instance names it by URL; bare names are for templates (docs/facts.md 1.2)."""
    url = params.get("diskType")
    if not url:
        return catalog.default_disk_type(machine)
    parts = parse(url, "zones/{zone}/diskTypes/{name}")
    if parts is None:
        raise malformed(field, url)
    if (
        parts["zone"] != zone
        or parts.get("project", project) != project
        or parts["name"] not in catalog.DISK_TYPES
    ):
        raise bad_field(field, url, "The referenced diskType resource cannot be found.")
    if not catalog.disk_fits(machine, parts["name"]):
        raise incompatible(machine.name, parts["name"])
    return parts["name"]


def _image(project: str, field: str, params: Json, *, boot: bool) -> images.Image | None:
    url = params.get("sourceImage")
    if not url:
        if boot:
            raise bad_field(field, "", "A boot disk needs a source: specify sourceImage.")
        return None
    family = parse(url, "global/images/family/{name}")
    parts = family or parse(url, "global/images/{name}")
    if parts is None:
        raise malformed(field, url)
    owner, name = parts.get("project", project), parts["name"]
    found = images.by_family(owner, name) if family else images.BY_NAME.get((owner, name))
    if found is None:
        kind = "family/" if family else ""
        raise missing(f"projects/{owner}/global/images/{kind}{name}")
    if found.state == "OBSOLETE":
        raise bad_field(
            field, url, f"The image '{found.path}' is obsolete and can no longer be used for a new disk."
        )
    return found
