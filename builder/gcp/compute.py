"""Compute Engine through google-cloud-compute: the Machines of one project.

`insert_unary` and our own operations client, since the library's ExtendedOperation polls Google's public endpoint
whatever endpoint was asked for, and takes some failed operations for successes (docs/facts.md 2).
"""

from __future__ import annotations

import email.utils
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from google.auth.transport.requests import AuthorizedSession
from google.cloud import compute_v1

from builder.act.waiting import retry_transient
from builder.gcp.clients import CALL_BUDGET, CALL_TIMEOUT, Access
from builder.gcp.failures import google_call
from builder.model import JsonObject
from builder.plan.vm_spec import TOOL, TOOL_LABEL
from builder.ports import (
    CallFailed,
    Clock,
    Image,
    Instance,
    Operation,
    OperationError,
    SerialOutput,
    TypeKind,
)

T = TypeVar("T")

_FIELDS: Mapping[TypeKind, str] = {
    "machineTypes": "machine_types",
    "acceleratorTypes": "accelerator_types",
}
_AGGREGATED: Mapping[TypeKind, Any] = {
    "machineTypes": compute_v1.AggregatedListMachineTypesRequest,
    "acceleratorTypes": compute_v1.AggregatedListAcceleratorTypesRequest,
}
_NOT_FOUND = 404
_BAD_REQUEST = 400
# zoneOperations.wait holds its answer back for up to two minutes (docs/facts.md 1.7).
_HELD_BACK = 120.0


class GoogleMachines:
    """See ports.Machines."""

    def __init__(
        self,
        access: Access,
        clock: Clock,
        *,
        timeout: float = CALL_TIMEOUT,
        budget: float = CALL_BUDGET,
    ) -> None:
        self.project = access.project
        self._timeout = timeout
        self._budget = budget
        self._clock = clock
        self._access = access
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
        """Close the connections; a process that ends need not."""
        for client in (
            *(self._instances, self._operations, self._images, self._regions),
            *self._types.values(),
        ):
            client.transport.close()

    def image_of_family(self, project: str, family: str) -> Image:
        """See ports.Machines."""
        image = self._call(
            "compute.images.getFromFamily",
            f"projects/{project}/global/images/family/{family}",
            lambda: self._images.get_from_family(
                project=project, family=family, timeout=self._timeout, retry=None
            ),
        )
        return _image(image, project)

    def image(self, path: str) -> Image:
        """See ports.Machines."""
        _, project, _, _, name = path.rsplit("/", 4)
        image = self._call(
            "compute.images.get",
            path,
            lambda: self._images.get(project=project, image=name, timeout=self._timeout, retry=None),
        )
        return _image(image, project)

    def zones(self, region: str) -> Sequence[str]:
        """See ports.Machines."""
        answer = self._call(
            "compute.regions.get",
            f"projects/{self.project}/regions/{region}",
            lambda: self._regions.get(project=self.project, region=region, timeout=self._timeout, retry=None),
        )
        return sorted(url.rpartition("/")[2] for url in answer.zones)

    def zones_with(self, kind: TypeKind, name: str) -> Sequence[str]:
        """See ports.Machines."""
        found = partial(self._types[kind].aggregated_list, timeout=self._timeout, retry=None)
        request = _AGGREGATED[kind](project=self.project, filter=f'name="{name}"')

        def fetch() -> list[str]:
            return sorted(
                scope.rpartition("/")[2]
                for scope, scoped in found(request=request)
                if getattr(scoped, _FIELDS[kind])
            )

        return self._call(f"compute.{kind}.aggregatedList", f"projects/{self.project}", fetch)

    def type_names(self, kind: TypeKind, zone: str) -> Sequence[str]:
        """See ports.Machines."""
        found = partial(self._types[kind].list, timeout=self._timeout, retry=None)
        path = f"projects/{self.project}/zones/{zone}"

        def fetch() -> list[str]:
            return [item.name for item in found(project=self.project, zone=zone)]

        return self._call(f"compute.{kind}.list", path, fetch)

    def insert(
        self, zone: str, body: JsonObject, *, request_id: str, permit: Callable[[], None] = lambda: None
    ) -> Operation:
        """See ports.Machines."""
        request = compute_v1.InsertInstanceRequest(
            project=self.project,
            zone=zone,
            instance_resource=compute_v1.Instance.from_json(json.dumps(body)),
            request_id=request_id,
        )

        def send() -> compute_v1.Operation:
            permit()
            return self._instances.insert_unary(request=request, timeout=self._timeout, retry=None)

        answer = self._call("compute.instances.insert", self._path(zone, str(body["name"])), send)
        return _operation(answer)

    def delete(self, zone: str, name: str, *, request_id: str) -> Operation | None:
        """See ports.Machines."""
        request = compute_v1.DeleteInstanceRequest(
            project=self.project, zone=zone, instance=name, request_id=request_id
        )
        answer = self._unless_missing(
            "compute.instances.delete",
            self._path(zone, name),
            lambda: self._instances.delete_unary(request=request, timeout=self._timeout, retry=None),
        )
        return None if answer is None else _operation(answer)

    def operation(self, zone: str, name: str) -> Operation:
        """See ports.Machines."""
        held_back = _HELD_BACK * self._timeout / CALL_TIMEOUT
        answer = self._call(
            "compute.zoneOperations.wait",
            f"projects/{self.project}/zones/{zone}/operations/{name}",
            lambda: self._operations.wait(
                project=self.project, zone=zone, operation=name, timeout=self._timeout + held_back, retry=None
            ),
        )
        return _operation(answer)

    def get(self, zone: str, name: str) -> Instance | None:
        """See ports.Machines."""
        answer = self._unless_missing(
            "compute.instances.get",
            self._path(zone, name),
            lambda: self._instances.get(
                project=self.project, zone=zone, instance=name, timeout=self._timeout, retry=None
            ),
        )
        return None if answer is None else _instance(answer)

    def ours(self) -> Sequence[Instance]:
        """See ports.Machines."""
        request = compute_v1.AggregatedListInstancesRequest(
            project=self.project, filter=f"labels.{TOOL_LABEL}={TOOL}"
        )

        def fetch() -> list[Instance]:
            pages = self._instances.aggregated_list(request=request, timeout=self._timeout, retry=None)
            return [_instance(instance) for _, scoped in pages for instance in scoped.instances]

        return self._call("compute.instances.aggregatedList", f"projects/{self.project}", fetch)

    def cause_of_end(self, zone: str, name: str) -> str:
        """See ports.Machines. Compute Engine records what it does of its own accord as operations (docs/facts.md 1.8)."""
        for cause in ("preempted", "hostError"):
            request = compute_v1.ListZoneOperationsRequest(
                project=self.project, zone=zone, filter=f'operationType="compute.instances.{cause}"'
            )

            def fetch(request: compute_v1.ListZoneOperationsRequest = request) -> bool:
                found = self._operations.list(request=request, timeout=self._timeout, retry=None)
                return any(operation.target_link.endswith(f"/instances/{name}") for operation in found)

            if self._call("compute.zoneOperations.list", f"projects/{self.project}/zones/{zone}", fetch):
                return cause
        return ""

    def serial(self, zone: str, name: str, start: int) -> SerialOutput | None:
        """See ports.Machines."""
        request = compute_v1.GetSerialPortOutputInstanceRequest(
            project=self.project, zone=zone, instance=name, start=start
        )
        try:
            answer = self._call(
                "compute.instances.getSerialPortOutput",
                self._path(zone, name),
                lambda: self._instances.get_serial_port_output(
                    request=request, timeout=self._timeout, retry=None
                ),
            )
        except CallFailed as failure:
            if failure.http_status in {_NOT_FOUND, _BAD_REQUEST}:
                return None
            raise
        return SerialOutput(text=answer.contents, start=answer.start, next=answer.next_)

    def now(self) -> float:
        """See ports.Machines. Read from the Date header, which every answer of Google's carries."""
        path = f"projects/{self.project}"
        url = f"{self._access.endpoint('compute')}/compute/v1/{path}/zones?maxResults=1"

        def fetch() -> float:
            with AuthorizedSession(self._access.credentials) as session:
                answer = session.get(url, timeout=self._timeout)
            try:
                return email.utils.parsedate_to_datetime(answer.headers["Date"]).timestamp()
            except (KeyError, ValueError) as error:
                raise ConnectionError(f"the answer has no readable Date: {error}") from error

        return self._call("compute.zones.list", path, fetch)

    def _path(self, zone: str, name: str) -> str:
        return f"projects/{self.project}/zones/{zone}/instances/{name}"

    def _call(self, call: str, resource: str, action: Callable[[], T]) -> T:
        def once() -> T:
            with google_call(call, resource):
                return action()

        return retry_transient(once, budget=self._budget, clock=self._clock)

    def _unless_missing(self, call: str, resource: str, action: Callable[[], T]) -> T | None:
        try:
            return self._call(call, resource, action)
        except CallFailed as failure:
            if failure.http_status == _NOT_FOUND:
                return None
            raise


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
