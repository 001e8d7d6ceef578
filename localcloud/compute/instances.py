"""Handlers of the instances, disks and zoneOperations collections. Thin: rules, state and life are elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from localcloud.compute import rules
from localcloud.compute.inserts import Inserts, planned_failure, request_key, requester
from localcloud.compute.links import link
from localcloud.compute.lookups import aggregate, check_scope, listing, scope
from localcloud.compute.operations import Operation, Operations
from localcloud.compute.refusals import in_use, missing
from localcloud.compute.views import disk_view, fingerprint, instance_view
from localcloud.errors import ApiError, invalid, precondition_failed

if TYPE_CHECKING:
    from localcloud.clock import Clock
    from localcloud.compute.life import Life
    from localcloud.compute.state import Disk, State, Vm
    from localcloud.service import Call, Handler

Json = dict[str, Any]
_SERIAL_PORTS = range(1, 5)


def _not_ready(path: str) -> ApiError:
    return invalid(f"The resource '{path}' is not ready", reason="resourceNotReady")


class Instances:
    """What can be asked of instances, their disks and their operations."""

    def __init__(
        self, state: State, operations: Operations, life: Life, inserts: Inserts, clock: Clock
    ) -> None:
        self._state = state
        self._operations = operations
        self._life = life
        self._inserts = inserts
        self._clock = clock

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler per method id."""
        return {
            "compute.instances.insert": self._inserts.handle,
            "compute.instances.get": self._get,
            "compute.instances.list": self._list,
            "compute.instances.aggregatedList": self._aggregated,
            "compute.instances.delete": self._delete,
            "compute.instances.stop": self._stop,
            "compute.instances.start": self._start,
            "compute.instances.setLabels": self._set_labels,
            "compute.instances.setMetadata": self._set_metadata,
            "compute.instances.getSerialPortOutput": self._serial,
            "compute.disks.get": self._disk,
            "compute.disks.list": self._disk_list,
            "compute.disks.aggregatedList": self._disks_aggregated,
            "compute.disks.delete": self._delete_disk,
            "compute.zoneOperations.get": self._operation,
            "compute.zoneOperations.wait": self._wait,
            "compute.zoneOperations.list": self._operation_list,
        }

    def _find(self, call: Call, permission: str) -> Vm:
        """Return the instance that a call names; raises ApiError 403 or 404. The caller holds the lock."""
        name = call.params["instance"]
        zone = scope(call, "zone")
        path = f"{zone}/instances/{name}"
        call.require(f"compute.instances.{permission}", path)
        check_scope(zone)
        vm = self._state.vm(call.params["zone"], name)
        if vm is None:
            raise missing(path)
        return vm

    def _get(self, call: Call) -> Json:
        with self._state.changed:
            return instance_view(self._find(call, "get"), self._clock)

    def _views(self, zone: str) -> list[Json]:
        return [instance_view(vm, self._clock) for vm in self._state.vms.values() if vm.wanted.zone == zone]

    def _disk_views(self, zone: str) -> list[Json]:
        return [disk_view(disk, self._clock) for disk in self._state.disks.values() if disk.zone == zone]

    def _list(self, call: Call) -> Json:
        return self._list_zone(call, "instances", self._views)

    def _disk_list(self, call: Call) -> Json:
        return self._list_zone(call, "disks", self._disk_views)

    def _list_zone(self, call: Call, collection: str, views: Callable[[str], list[Json]]) -> Json:
        zone = scope(call, "zone")
        call.require(f"compute.{collection}.list", f"projects/{call.params['project']}")
        check_scope(zone)
        with self._state.changed:
            found = views(call.params["zone"])
        return listing(f"compute#{collection[:-1]}List", f"{zone}/{collection}", found, call.params)

    def _aggregated(self, call: Call) -> Json:
        return self._aggregate(call, "instances", self._views)

    def _disks_aggregated(self, call: Call) -> Json:
        return self._aggregate(call, "disks", self._disk_views)

    def _aggregate(self, call: Call, collection: str, views: Callable[[str], list[Json]]) -> Json:
        def resources(path: str) -> list[Json]:
            return views(path.rpartition("/")[2])

        with self._state.changed:
            return aggregate(call, collection, resources)

    def _delete(self, call: Call) -> Json:
        with self._state.changed:
            earlier = self._replayed(call)
            if earlier is not None:
                return earlier
            vm = self._find(call, "delete")
            if vm.wanted.deletion_protection:
                text = f"Invalid resource usage: 'Resource cannot be deleted if it's protected against deletion. {vm.wanted.path}'."
                raise invalid(text, reason="resourceInUse")
            operation = self._open(call, "delete", vm)
            if call.fault is not None and call.fault.action == "operation_error":
                self._operations.finish(operation, planned_failure(call.fault))
            else:
                self._life.delete(vm, operation)
            return self._operations.view(operation)

    def _stop(self, call: Call) -> Json:
        with self._state.changed:
            earlier = self._replayed(call)
            if earlier is not None:
                return earlier
            vm = self._find(call, "stop")
            if vm.status not in {"RUNNING", "TERMINATED"}:
                raise _not_ready(vm.wanted.path)
            operation = self._open(call, "stop", vm)
            if vm.status == "RUNNING":
                self._life.stop(vm, operation)
            else:
                self._operations.finish(operation)
            return self._operations.view(operation)

    def _start(self, call: Call) -> Json:
        with self._state.changed:
            earlier = self._replayed(call)
            if earlier is not None:
                return earlier
            vm = self._find(call, "start")
            if vm.status not in {"RUNNING", "TERMINATED"}:
                raise _not_ready(vm.wanted.path)
            operation = self._open(call, "start", vm)
            if vm.status == "TERMINATED":
                self._life.start(vm, operation)
            else:
                self._operations.finish(operation)
            return self._operations.view(operation)

    def _set_labels(self, call: Call) -> Json:
        with self._state.changed:
            vm = self._find(call, "setLabels")
            if call.body.get("labelFingerprint") != fingerprint(dict(vm.labels)):
                raise precondition_failed("Labels fingerprint either invalid or resource labels have changed")
            vm.labels = rules.check_labels("labels", call.body.get("labels") or {})
            return self._at_once(call, "setLabels", vm)

    def _set_metadata(self, call: Call) -> Json:
        with self._state.changed:
            vm = self._find(call, "setMetadata")
            if call.body.get("fingerprint") != fingerprint(dict(vm.metadata)):
                raise precondition_failed("Supplied fingerprint does not match current metadata fingerprint.")
            vm.metadata = rules.read_metadata(call.body)
            return self._at_once(call, "setMetadata", vm)

    def _serial(self, call: Call) -> Json:
        port, start = int(call.params.get("port") or 1), int(call.params.get("start") or 0)
        with self._state.changed:
            vm = self._find(call, "getSerialPortOutput")
            if port not in _SERIAL_PORTS:
                raise invalid(f"Invalid value for field 'port': '{port}'. Must be between 1 and 4.")
            if vm.status not in {"RUNNING", "STOPPING"} or not vm.boot:
                raise _not_ready(vm.wanted.path)
            output = vm.serial.read(start)
        first = port == 1
        return {
            "kind": "compute#serialPortOutput",
            "selfLink": link(f"{vm.wanted.path}/serialPort"),
            "contents": output.contents if first else "",
            "start": str(output.start if first else 0),
            "next": str(output.next if first else 0),
        }

    def _find_disk(self, call: Call, permission: str) -> Disk:
        zone, name = scope(call, "zone"), call.params["disk"]
        call.require(f"compute.disks.{permission}", f"{zone}/disks/{name}")
        check_scope(zone)
        disk = self._state.disk(call.params["zone"], name)
        if disk is None:
            raise missing(f"{zone}/disks/{name}")
        return disk

    def _disk(self, call: Call) -> Json:
        with self._state.changed:
            return disk_view(self._find_disk(call, "get"), self._clock)

    def _delete_disk(self, call: Call) -> Json:
        with self._state.changed:
            earlier = self._replayed(call)
            if earlier is not None:
                return earlier
            disk = self._find_disk(call, "delete")
            if disk.user is not None:
                raise in_use(disk.path, disk.user)
            target = (disk.project, disk.zone, disk.path, disk.id)
            key = self._request_key(call)
            operation = self._operations.open("delete", target, requester(call.caller), request=key)
            del self._state.disks[disk.zone, disk.name]
            self._operations.finish(operation)
            return self._operations.view(operation)

    def _operation(self, call: Call) -> Json:
        return self._operations.view(self._find_operation(call))

    def _wait(self, call: Call) -> Json:
        operation = self._find_operation(call)
        self._operations.wait(operation)
        return self._operations.view(operation)

    def _find_operation(self, call: Call) -> Operation:
        zone, name = scope(call, "zone"), call.params["operation"]
        call.require("compute.zoneOperations.get", f"{zone}/operations/{name}")
        check_scope(zone)
        operation = self._operations.find(call.params["project"], call.params["zone"], name)
        if operation is None:
            raise missing(f"{zone}/operations/{name}")
        return operation

    def _operation_list(self, call: Call) -> Json:
        project, zone = call.params["project"], scope(call, "zone")
        call.require("compute.zoneOperations.list", f"projects/{project}")
        check_scope(zone)
        views: Iterable[Json] = self._operations.of_zone(project, call.params["zone"])
        renamed = ({**view, "creationTimestamp": view["insertTime"]} for view in views)
        return listing("compute#operationList", f"{zone}/operations", renamed, call.params)

    def _request_key(self, call: Call) -> tuple[str, ...]:
        target = call.params.get("instance") or call.params.get("disk") or ""
        return request_key(call, call.params["project"], call.params["zone"], target)

    def _replayed(self, call: Call) -> Json | None:
        operation = self._operations.replayed(self._request_key(call))
        return None if operation is None else self._operations.view(operation)

    def _open(self, call: Call, kind: str, vm: Vm) -> Operation:
        target = (vm.wanted.project, vm.wanted.zone, vm.wanted.path, vm.id)
        return self._operations.open(kind, target, requester(call.caller), request=self._request_key(call))

    def _at_once(self, call: Call, kind: str, vm: Vm) -> Json:
        operation = self._open(call, kind, vm)
        self._operations.finish(operation)
        return self._operations.view(operation)
