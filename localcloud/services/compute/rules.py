"""The rules of an insert body beyond the discovery document. Pure.

`read` turns a body into `Wanted`, or raises Google's ApiError. docs/facts.md 1.2, 1.3, 1.5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from localcloud.core.bodies import label_problem
from localcloud.core.errors import ApiError, invalid, required
from localcloud.services.compute import catalog
from localcloud.services.compute.links import parse
from localcloud.services.compute.refusals import bad_field, check_name, incompatible, malformed, missing
from localcloud.services.compute.rules_disks import read_disks
from localcloud.services.compute.rules_schedule import read_schedule
from localcloud.services.compute.rules_supported import check_supported
from localcloud.services.compute.state_networks import Networks
from localcloud.services.compute.wanted import Gpus, Interface, Wanted

Json = dict[str, Any]

_METADATA_KEY = r"[a-zA-Z0-9-_]{1,128}"
_MAX_VALUE_BYTES = 256 * 1024
_MAX_METADATA_BYTES = 512 * 1024


def read(project: str, zone: str, body: Json, networks: Networks) -> Wanted:
    """Return the requested instance; raises ApiError 400, 404 or 501."""
    check_supported(body)
    if zone not in catalog.ZONES:
        raise bad_field("zone", zone, "Unknown zone.")
    name = body.get("name")
    if not name:
        raise required("Required field 'resource.name' not specified")
    check_name("resource.name", name)
    machine = _machine(project, zone, body)
    gpus = _gpus(project, zone, machine, body.get("guestAccelerators") or [])
    disks = read_disks(project, zone, name, machine, body.get("disks") or [], gpus=gpus is not None)
    schedule = read_schedule(body.get("scheduling") or {}, has_gpu=gpus is not None)
    for number, disk in enumerate(disks):
        _labels(f"resource.disks[{number}].initializeParams.labels", disk.labels)
    account, scopes = _account(body.get("serviceAccounts") or [])
    return Wanted(
        project=project,
        zone=zone,
        name=name,
        description=body.get("description", ""),
        machine=machine,
        disks=disks,
        gpus=gpus,
        schedule=schedule,
        interface=_interface(project, zone, body.get("networkInterfaces") or [], networks),
        account=account,
        scopes=scopes,
        labels=_labels("resource.labels", body.get("labels") or {}),
        metadata=read_metadata(body.get("metadata") or {}),
        shielded=_shielded(body.get("shieldedInstanceConfig") or {}),
    )


def _labels(field: str, labels: Mapping[str, str]) -> Mapping[str, str]:
    if problem := label_problem(labels):
        raise bad_field(field, "", problem)
    return dict(labels)


def read_metadata(metadata: Json) -> Mapping[str, str]:
    """Return metadata items as a mapping; raises ApiError 400 beyond the limits of docs/facts.md 1.3."""
    found: dict[str, str] = {}
    for number, item in enumerate(metadata.get("items") or []):
        key, value = item.get("key", ""), item.get("value", "")
        field = f"resource.metadata.items[{number}]"
        if re.fullmatch(_METADATA_KEY, key) is None:
            raise bad_field(f"{field}.key", key, f"Must be a match of regex '{_METADATA_KEY}'")
        if key in found:
            raise bad_field("resource.metadata", "", f"Metadata has duplicate keys: {key}")
        if (size := len(value.encode())) > _MAX_VALUE_BYTES:
            raise _too_large(f"metadata.items[{number}].value", _MAX_VALUE_BYTES, size)
        found[key] = value
    total = sum(len(key.encode()) + len(value.encode()) for key, value in found.items())
    if total > _MAX_METADATA_BYTES:
        raise _too_large("metadata", _MAX_METADATA_BYTES, total)
    return found


def _too_large(field: str, most: int, size: int) -> ApiError:
    return invalid(
        f"Value for field '{field}' is too large: maximum size {most} character(s); actual size {size}.",
        reason="fieldSizeTooLarge",
    )


def _machine(project: str, zone: str, body: Json) -> catalog.MachineType:
    url = body.get("machineType")
    if not url:
        raise required("Required field 'resource.machineType' not specified")
    parts = parse(url, "zones/{zone}/machineTypes/{name}")
    if parts is None:
        raise malformed("resource.machineType", url)
    if parts.get("project", project) != project or parts["zone"] != zone:
        text = f"Machine type must be in the instance's own project and zone, '{project}' and '{zone}'."
        raise bad_field("resource.machineType", url, text)
    machine = catalog.machine_type(zone, parts["name"])
    if machine is None:
        text = f"Machine type with name '{parts['name']}' does not exist in zone '{zone}'."
        raise bad_field("resource.machineType", url, text)
    return machine


def _gpus(project: str, zone: str, machine: catalog.MachineType, wanted: Sequence[Json]) -> Gpus | None:
    attached = _attached(project, zone, machine, wanted)
    if machine.gpu is None:
        return attached
    built_in = Gpus(machine.gpu, machine.gpu_count, catalog.ACCELERATORS[machine.gpu].metric, attached=False)
    if attached is not None and (attached.model, attached.count) != (built_in.model, built_in.count):
        raise incompatible(machine.name, attached.model)
    return built_in


def _attached(project: str, zone: str, machine: catalog.MachineType, wanted: Sequence[Json]) -> Gpus | None:
    if not wanted:
        return None
    if len(wanted) > 1:
        raise bad_field("resource.guestAccelerators", "", "At most one type of accelerator can be attached.")
    url, count = wanted[0].get("acceleratorType", ""), int(wanted[0].get("acceleratorCount", 0))
    parts = parse(url, "zones/{zone}/acceleratorTypes/{name}")
    if parts is None:
        raise malformed("resource.guestAccelerators[0].acceleratorType", url)
    found = catalog.accelerator(zone, parts["name"])
    if found is None or parts["zone"] != zone or parts.get("project", project) != project:
        owner = parts.get("project", project)
        raise missing(f"projects/{owner}/zones/{parts['zone']}/acceleratorTypes/{parts['name']}")
    if machine.gpu is None and (machine.family != "n1" or not found.max_cpus):
        raise incompatible(machine.name, found.name)
    if machine.gpu is None and count not in found.max_cpus:
        text = f"Invalid number of accelerators; {found.name} can be attached in these counts: {sorted(found.max_cpus)}."
        raise bad_field("resource.guestAccelerators[0].acceleratorCount", str(count), text)
    if machine.gpu is None and machine.cpus > found.max_cpus[count]:
        raise incompatible(machine.name, found.name)
    return Gpus(found.name, count, found.metric, attached=True)


def _interface(project: str, zone: str, wanted: Sequence[Json], networks: Networks) -> Interface:
    """Return network and subnetwork of the one interface; without either, the network `default`."""
    if not wanted:
        raise bad_field("resource.networkInterfaces", "", "At least one network interface is required.")
    if len(wanted) > 1:
        raise bad_field(
            "resource.networkInterfaces", "", "localcloud has instances with one network interface only."
        )
    interface = wanted[0]
    external = bool(interface.get("accessConfigs"))
    region = catalog.region_of(zone)
    named = interface.get("network")
    network = _network(project, named, networks) if named or not interface.get("subnetwork") else None
    if interface.get("subnetwork"):
        name, owner = _subnetwork(project, region, interface["subnetwork"], networks)
        if network is not None and network.name != owner.name:
            text = f"The subnetwork does not belong to the network '{network.name}'."
            raise bad_field("resource.networkInterfaces[0].subnetwork", interface["subnetwork"], text)
        return Interface(owner.name, project, name, external)
    if network is None or not network.auto:
        raise bad_field(
            "resource.networkInterfaces[0]",
            str(named),
            "Subnetwork should be specified for custom subnetmode network",
        )
    return Interface(network.name, project, network.subnetworks[region], external)


def _network(project: str, url: str | None, networks: Networks) -> catalog.Network:
    url = url or "global/networks/default"
    parts = parse(url, "global/networks/{name}")
    if parts is None:
        raise malformed("resource.networkInterfaces[0].network", url)
    owner = parts.get("project", project)
    if owner != project or parts["name"] not in networks.by_name:
        raise missing(f"projects/{owner}/global/networks/{parts['name']}")
    return networks.by_name[parts["name"]]


def _subnetwork(project: str, region: str, url: str, networks: Networks) -> tuple[str, catalog.Network]:
    field = "resource.networkInterfaces[0].subnetwork"
    parts = parse(url, "regions/{region}/subnetworks/{name}")
    if parts is None:
        raise malformed(field, url)
    owner, name = parts.get("project", project), parts["name"]
    found = networks.subnetwork(parts["region"], name) if owner == project else None
    if found is None:
        raise missing(f"projects/{owner}/regions/{parts['region']}/subnetworks/{name}")
    if parts["region"] != region:
        raise bad_field(field, url, f"The subnetwork must be in the region of the instance, '{region}'.")
    return name, found


def _account(wanted: Sequence[Json]) -> tuple[str | None, tuple[str, ...]]:
    """Return the one service account and its scopes; None for no identity: there is no default (docs/facts.md 1.2)."""
    if not wanted:
        return None, ()
    if len(wanted) > 1:
        raise bad_field("resource.serviceAccounts", "", "At most one service account can be specified.")
    address = wanted[0].get("email")
    if not address:
        raise required("Required field 'resource.serviceAccounts[0].email' not specified")
    return address, tuple(wanted[0].get("scopes") or ())


def _shielded(config: Json) -> Mapping[str, bool]:
    defaults = {"enableSecureBoot": False, "enableVtpm": True, "enableIntegrityMonitoring": True}
    chosen = {key: bool(config.get(key, default)) for key, default in defaults.items()}
    if chosen["enableIntegrityMonitoring"] and not chosen["enableVtpm"]:
        raise bad_field(
            "resource.shieldedInstanceConfig", "", "Integrity monitoring needs the virtual TPM (enableVtpm)."
        )
    return chosen
