"""Handlers of instances, and of the operations of zones and regions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from localcloud.core.errors import ApiError, invalid, unimplemented
from localcloud.services.compute.calls_catalog import aggregate, check_scope, listing, scope
from localcloud.services.compute.calls_insert import Inserts, planned_failure, request_key, requester
from localcloud.services.compute.links import link
from localcloud.services.compute.refusals import missing
from localcloud.services.compute.state_operations import Operation, Operations
from localcloud.services.compute.views import instance_view

if TYPE_CHECKING:
    from localcloud.core.clock import Clock
    from localcloud.core.service import Call, Handler
    from localcloud.services.compute.life import Life
    from localcloud.services.compute.state import State, Vm

Json = dict[str, Any]


def _not_ready(path: str) -> ApiError:
    return invalid(f"The resource '{path}' is not ready", reason="resourceNotReady")


class Instances:
    """Handlers of instances and their operations."""

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
            "compute.instances.getSerialPortOutput": self._serial,
            **{
                f"compute.{parent}Operations.{name}": partial(method, parent)
                for parent in ("zone", "region")
                for name, method in (
                    ("get", self._operation),
                    ("wait", self._wait),
                    ("list", self._operation_list),
                )
            },
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

    def _list(self, call: Call) -> Json:
        zone = scope(call, "zone")
        call.require("compute.instances.list", f"projects/{call.params['project']}")
        check_scope(zone)
        with self._state.changed:
            found = self._views(call.params["zone"])
        return listing("compute#instanceList", f"{zone}/instances", found, call.params)

    def _aggregated(self, call: Call) -> Json:
        with self._state.changed:
            return aggregate(call, "instances", lambda path: self._views(path.rpartition("/")[2]))

    def _delete(self, call: Call) -> Json:
        with self._state.changed:
            earlier = self._replayed(call)
            if earlier is not None:
                return earlier
            vm = self._find(call, "delete")
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

    def _serial(self, call: Call) -> Json:
        if (port := int(call.params.get("port") or 1)) != 1:
            raise unimplemented(f"localcloud's instances have serial port 1 only, not {port}.")
        with self._state.changed:
            vm = self._find(call, "getSerialPortOutput")
            if vm.status not in {"RUNNING", "STOPPING"} or not vm.boot:
                raise _not_ready(vm.wanted.path)
            output = vm.serial.read(int(call.params.get("start") or 0))
        return {
            "kind": "compute#serialPortOutput",
            "selfLink": link(f"{vm.wanted.path}/serialPort"),
            "contents": output.contents,
            "start": str(output.start),
            "next": str(output.next),
        }

    def _operation(self, parent: str, call: Call) -> Json:
        return self._operations.view(self._find_operation(parent, call))

    def _wait(self, parent: str, call: Call) -> Json:
        operation = self._find_operation(parent, call)
        self._operations.wait(operation)
        return self._operations.view(operation)

    def _find_operation(self, parent: str, call: Call) -> Operation:
        place, name = scope(call, parent), call.params["operation"]
        call.require(f"compute.{parent}Operations.get", f"{place}/operations/{name}")
        check_scope(place)
        operation = self._operations.find(place, name)
        if operation is None:
            raise missing(f"{place}/operations/{name}")
        return operation

    def _operation_list(self, parent: str, call: Call) -> Json:
        place = scope(call, parent)
        call.require(f"compute.{parent}Operations.list", f"projects/{call.params['project']}")
        check_scope(place)
        views: Iterable[Json] = self._operations.of(place)
        renamed = ({**view, "creationTimestamp": view["insertTime"]} for view in views)
        return listing("compute#operationList", f"{place}/operations", renamed, call.params)

    def _request_key(self, call: Call) -> tuple[str, ...]:
        return request_key(call, call.params["project"], call.params["zone"], call.params["instance"])

    def _replayed(self, call: Call) -> Json | None:
        operation = self._operations.replayed(self._request_key(call))
        return None if operation is None else self._operations.view(operation)

    def _open(self, call: Call, kind: str, vm: Vm) -> Operation:
        target = (vm.wanted.project, f"zones/{vm.wanted.zone}", vm.wanted.path, vm.id)
        return self._operations.open(kind, target, requester(call.caller), request=self._request_key(call))
