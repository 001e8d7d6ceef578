"""Compute Engine through google-cloud-compute: the Machines of one project.

It uses `insert_unary` and its own operations client. The library's ExtendedOperation polls Google's public endpoint
even if another endpoint is configured, and takes some failed operations for successes (docs/facts.md 2).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

from builder.gcp import compute_v1
from builder.gcp.calls import Calls
from builder.gcp.clients import CALL_BUDGET, CALL_TIMEOUT, Access
from builder.gcp.rest import Rest
from builder.model import JsonObject
from builder.plan.vm_spec import TOOL, TOOL_LABEL
from builder.ports import (
    Clock,
    Image,
    Instance,
    Operation,
    OperationError,
    SerialOutput,
    TypeKind,
)

_FIELDS: Mapping[TypeKind, str] = {
    "machineTypes": "machine_types",
    "acceleratorTypes": "accelerator_types",
}
_AGGREGATED: Mapping[TypeKind, Any] = {
    "machineTypes": compute_v1.AggregatedListMachineTypesRequest,
    "acceleratorTypes": compute_v1.AggregatedListAcceleratorTypesRequest,
}
# zoneOperations.wait holds its answer back for up to two minutes (docs/facts.md 1.7).
_HELD_BACK = 120.0


class GoogleMachines:
    """The port `ports.Machines`."""

    def __init__(
        self,
        access: Access,
        clock: Clock,
        *,
        timeout: float = CALL_TIMEOUT,
        budget: float = CALL_BUDGET,
    ) -> None:
        self.project = access.project
        self._calls = Calls(clock, budget, timeout)
        self._access = access
        self._rest = Rest(access, clock, timeout=timeout, budget=budget)
        options = {"api_endpoint": access.endpoint("compute")}
        self._instances = compute_v1.InstancesClient(credentials=access.credentials, client_options=options)
        self._operations = compute_v1.ZoneOperationsClient(
            credentials=access.credentials, client_options=options
        )
        self._images = compute_v1.ImagesClient(credentials=access.credentials, client_options=options)
        self._regions = compute_v1.RegionsClient(credentials=access.credentials, client_options=options)
        self._types: Mapping[TypeKind, Any] = {
            "machineTypes": compute_v1.MachineTypesClient(
                credentials=access.credentials, client_options=options
            ),
            "acceleratorTypes": compute_v1.AcceleratorTypesClient(
                credentials=access.credentials, client_options=options
            ),
        }

    def close(self) -> None:
        """Close the connections. A process that ends need not call it."""
        for client in (
            *(self._instances, self._operations, self._images, self._regions),
            *self._types.values(),
        ):
            client.transport.close()

    @property
    def in_outage(self) -> bool:
        return self._calls.in_outage

    def image_of_family(self, project: str, family: str) -> Image:
        image = self._calls.make(
            "compute.images.getFromFamily",
            f"projects/{project}/global/images/family/{family}",
            lambda: self._images.get_from_family(
                project=project, family=family, timeout=self._calls.timeout, retry=None
            ),
        )
        return _image(image, project)

    def image(self, path: str) -> Image:
        _, project, _, _, name = path.rsplit("/", 4)
        image = self._calls.make(
            "compute.images.get",
            path,
            lambda: self._images.get(project=project, image=name, timeout=self._calls.timeout, retry=None),
        )
        return _image(image, project)

    def zones(self, region: str) -> Sequence[str]:
        answer = self._calls.make(
            "compute.regions.get",
            f"projects/{self.project}/regions/{region}",
            lambda: self._regions.get(
                project=self.project, region=region, timeout=self._calls.timeout, retry=None
            ),
        )
        return sorted(url.rpartition("/")[2] for url in answer.zones)

    def zones_with(self, kind: TypeKind, name: str) -> Sequence[str]:
        found = partial(self._types[kind].aggregated_list, timeout=self._calls.timeout, retry=None)
        request = _AGGREGATED[kind](project=self.project, filter=f'name="{name}"')

        def fetch() -> list[str]:
            return sorted(
                scope.rpartition("/")[2]
                for scope, scoped in found(request=request)
                if getattr(scoped, _FIELDS[kind])
            )

        return self._calls.make(f"compute.{kind}.aggregatedList", f"projects/{self.project}", fetch)

    def type_names(self, kind: TypeKind, zone: str) -> Sequence[str]:
        found = partial(self._types[kind].list, timeout=self._calls.timeout, retry=None)
        path = f"projects/{self.project}/zones/{zone}"

        def fetch() -> list[str]:
            return [item.name for item in found(project=self.project, zone=zone)]

        return self._calls.make(f"compute.{kind}.list", path, fetch)

    def insert(
        self, zone: str, body: JsonObject, *, request_id: str, before_try: Callable[[], None] = lambda: None
    ) -> Operation:
        request = compute_v1.InsertInstanceRequest(
            project=self.project,
            zone=zone,
            instance_resource=compute_v1.Instance.from_json(json.dumps(body)),
            request_id=request_id,
        )

        def send() -> compute_v1.Operation:
            before_try()
            return self._instances.insert_unary(request=request, timeout=self._calls.timeout, retry=None)

        answer = self._calls.make("compute.instances.insert", self._path(zone, str(body["name"])), send)
        return _operation(answer)

    def delete(self, zone: str, name: str, *, request_id: str) -> Operation | None:
        request = compute_v1.DeleteInstanceRequest(
            project=self.project, zone=zone, instance=name, request_id=request_id
        )
        answer = self._calls.unless_missing(
            "compute.instances.delete",
            self._path(zone, name),
            lambda: self._instances.delete_unary(request=request, timeout=self._calls.timeout, retry=None),
        )
        return None if answer is None else _operation(answer)

    def operation(self, zone: str, name: str) -> Operation:
        held_back = _HELD_BACK * self._calls.timeout / CALL_TIMEOUT
        answer = self._calls.make(
            "compute.zoneOperations.wait",
            f"projects/{self.project}/zones/{zone}/operations/{name}",
            lambda: self._operations.wait(
                project=self.project,
                zone=zone,
                operation=name,
                timeout=self._calls.timeout + held_back,
                retry=None,
            ),
        )
        return _operation(answer)

    def get(self, zone: str, name: str) -> Instance | None:
        answer = self._calls.unless_missing(
            "compute.instances.get",
            self._path(zone, name),
            lambda: self._instances.get(
                project=self.project, zone=zone, instance=name, timeout=self._calls.timeout, retry=None
            ),
        )
        return None if answer is None else _instance(answer)

    def ours(self) -> Sequence[Instance]:
        request = compute_v1.AggregatedListInstancesRequest(
            project=self.project, filter=f"labels.{TOOL_LABEL}={TOOL}"
        )

        def fetch() -> list[Instance]:
            pages = self._instances.aggregated_list(request=request, timeout=self._calls.timeout, retry=None)
            return [_instance(instance) for _, scoped in pages for instance in scoped.instances]

        return self._calls.make("compute.instances.aggregatedList", f"projects/{self.project}", fetch)

    def cause_of_end(self, zone: str, name: str) -> str:
        """The cause, from the operations that Compute Engine records for what it does by itself (docs/facts.md 1.8)."""
        for cause in ("preempted", "hostError"):
            request = compute_v1.ListZoneOperationsRequest(
                project=self.project, zone=zone, filter=f'operationType="compute.instances.{cause}"'
            )

            def fetch(request: compute_v1.ListZoneOperationsRequest = request) -> bool:
                found = self._operations.list(request=request, timeout=self._calls.timeout, retry=None)
                return any(operation.target_link.endswith(f"/instances/{name}") for operation in found)

            if self._calls.make(
                "compute.zoneOperations.list", f"projects/{self.project}/zones/{zone}", fetch
            ):
                return cause
        return ""

    def serial(self, zone: str, name: str, start: int) -> SerialOutput | None:
        request = compute_v1.GetSerialPortOutputInstanceRequest(
            project=self.project, zone=zone, instance=name, start=start
        )
        answer = self._calls.unless(
            {HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST},
            "compute.instances.getSerialPortOutput",
            self._path(zone, name),
            lambda: self._instances.get_serial_port_output(
                request=request, timeout=self._calls.timeout, retry=None
            ),
        )
        if answer is None:
            return None
        return SerialOutput(text=answer.contents, start=answer.start, next=answer.next_)

    def has_private_access(self, project: str, region: str, subnetwork: str) -> bool:
        credentials, options = self._access.credentials, {"api_endpoint": self._access.endpoint("compute")}
        with compute_v1.SubnetworksClient(credentials=credentials, client_options=options) as client:
            found = self._calls.make(
                "compute.subnetworks.get",
                f"projects/{project}/regions/{region}/subnetworks/{subnetwork}",
                lambda: client.get(
                    project=project,
                    region=region,
                    subnetwork=subnetwork,
                    timeout=self._calls.timeout,
                    retry=None,
                ),
            )
        return bool(found.private_ip_google_access)

    def now(self) -> float:
        """Seconds since the epoch by the Date header, which each answer of Google has."""
        url = self._rest.url("compute", f"compute/v1/projects/{self.project}/zones?maxResults=1")
        return self._rest.now("compute.zones.list", url)

    def _path(self, zone: str, name: str) -> str:
        return f"projects/{self.project}/zones/{zone}/instances/{name}"


def _operation(operation: compute_v1.Operation) -> Operation:
    errors = tuple(OperationError(code=entry.code, message=entry.message) for entry in operation.error.errors)
    done = operation.status == compute_v1.Operation.Status.DONE
    if done and not errors and operation.http_error_status_code:
        code = f"http{operation.http_error_status_code}"
        errors = (OperationError(code=code, message=operation.http_error_message or "the operation failed"),)
    return Operation(name=operation.name, done=done, errors=errors)


def _image(image: compute_v1.Image, project: str) -> Image:
    features = {feature.type_ for feature in image.guest_os_features}
    return Image(
        path=f"projects/{project}/global/images/{image.name}",
        family=image.family,
        disk_gb=int(image.disk_size_gb or 0),
        deprecated=image.deprecated.state not in {"", "ACTIVE"},
        obsolete=image.deprecated.state in {"OBSOLETE", "DELETED"},
        uefi="UEFI_COMPATIBLE" in features,
    )


def _instance(instance: compute_v1.Instance) -> Instance:
    seconds = instance.scheduling.max_run_duration.seconds
    return Instance(
        name=instance.name,
        zone=instance.zone.rpartition("/")[2],
        id=int(instance.id or 0),
        status=instance.status,
        labels=dict(instance.labels),
        metadata={item.key: item.value for item in instance.metadata.items},
        created=instance.creation_timestamp,
        max_run_seconds=int(seconds) if seconds else None,
        terminates=instance.resource_status.scheduling.termination_timestamp,
    )
