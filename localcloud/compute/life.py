"""The life of an instance: PROVISIONING, STAGING, RUNNING, STOPPING, then TERMINATED or gone.

Every step is a timer of the virtual clock. Nothing here blocks while it holds the state's lock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from localcloud.compute.operations import Failure, Operation, Operations
from localcloud.compute.power import Power, boot_lines
from localcloud.compute.serial import SerialPort
from localcloud.compute.state import State, Vm, Watch

if TYPE_CHECKING:
    from localcloud.clock import Clock, Timer
    from localcloud.faults import Fault, FaultPlan

Json = dict[str, Any]

SYSTEM = "system@google.com"
# A failed insert can leave its instance visible in STOPPING for a while (docs/facts.md 1.7).
_LINGERS = 60.0


@dataclass(frozen=True)
class Pace:
    """How long things take, in seconds. Google's minutes, shortened; the order of events is the same."""

    insert: float = 0.2
    delete: float = 0.3
    stop: float = 0.2
    shutdown: float = 0.3


class Life:
    """Moves instances through their lives, and finishes the operations that stand for it."""

    def __init__(
        self,
        state: State,
        operations: Operations,
        power: Power,
        *,
        clock: Clock,
        faults: FaultPlan,
        pace: Pace,
    ) -> None:
        self._state = state
        self._operations = operations
        self._power = power
        self._clock = clock
        self._faults = faults
        self._pace = pace

    # What the API asks for. The caller holds the lock.

    def create(self, vm: Vm, operation: Operation, failure: Failure | None, *, lingers: bool = False) -> None:
        """Bring a new instance to RUNNING; or let its insert fail, and then go (`lingers`: only after a minute)."""
        vm.pending.append(operation)
        step = self._pace.insert / 3
        self._later(vm, step, partial(self._operations.run, operation))
        self._later(vm, 2 * step, partial(self._stage, vm))
        if failure is None:
            self._later(vm, 3 * step, partial(self._run, vm))
        else:
            self._later(vm, 3 * step, partial(self._fail, vm, operation, failure, lingers))

    def delete(self, vm: Vm, operation: Operation) -> None:
        """Stop an instance and take it away; a second delete ends with the first."""
        vm.pending.append(operation)
        self._operations.run(operation)
        if not vm.deleting:
            vm.deleting = True
            self._end(vm, self._pace.delete, self._gone)

    def stop(self, vm: Vm, operation: Operation) -> None:
        """Stop a running instance; its disks stay."""
        vm.pending.append(operation)
        self._operations.run(operation)
        self._end(vm, self._pace.stop, self._stopped)

    def start(self, vm: Vm, operation: Operation) -> None:
        """Boot a stopped instance again, startup script included."""
        vm.status, vm.preempted, vm.status_message = "PROVISIONING", False, None
        self.create(vm, operation, None)

    # What happens to it.

    def shut_down(self, vm: Vm, boot: int) -> None:
        """The guest has called `shutdown`: TERMINATED, disk kept, whatever the termination action (docs/facts.md 1.6)."""
        self._system_event(
            vm, boot, "compute.instances.guestTerminate", "Instance terminated by guest OS shutdown."
        )

    def crashed(self, vm: Vm, boot: int) -> None:
        """The machine's supervisor is gone: the host has failed, and the instance is not restarted."""
        self._system_event(vm, boot, "compute.instances.hostError", "Instance terminated by Compute Engine.")

    def heard(self, vm: Vm, boot: int, data: bytes) -> None:
        """Output for serial port 1."""
        with self._state.changed:
            if vm.boot != boot:
                return
            vm.serial.write(data)
            if vm.watch is not None and vm.watch.saw(data):
                self._later(vm, 0, vm.watch.found)
                vm.watch = None

    def _system_event(self, vm: Vm, boot: int, kind: str, message: str) -> None:
        with self._state.changed:
            if vm.boot == boot and vm.status == "RUNNING":
                self._event(vm, kind, message)
                self._end(vm, self._pace.shutdown, self._stopped)

    def _stage(self, vm: Vm) -> None:
        with self._state.changed:
            if vm.status == "PROVISIONING":
                vm.status = "STAGING"
                for disk, _ in self._state.disks_of(vm):
                    disk.status = "READY"

    def _run(self, vm: Vm) -> None:
        with self._state.changed:
            if vm.status != "STAGING":
                return
            vm.cancel_timers()
            vm.status, vm.started = "RUNNING", self._clock.now()
            vm.boot += 1
            vm.serial = SerialPort()
            vm.serial.write(boot_lines(vm))
            self._finish_pending(vm)
            self._arm_deadline(vm)
            self._arm_fault(vm)
            self._boot(vm)

    def _boot(self, vm: Vm) -> None:
        fault = self._faults.take("vm.boot", _facts(vm))
        script = self._power.script(vm)
        if fault is not None and fault.action == "idle":
            script = None
        elif fault is not None and fault.action == "exit":
            script = f"#!/bin/sh\nexit {int(fault.args['code'])}\n"
        elif fault is not None and fault.action == "gpus":
            vm.visible_gpus = int(fault.args["count"])
        switch_on = partial(self._power.on, vm, _Events(self, vm), script)
        if fault is not None and fault.action == "slow":
            self._later(vm, float(fault.args["seconds"]), switch_on)
        else:
            switch_on()

    def _arm_deadline(self, vm: Vm) -> None:
        """Counted from this RUNNING (maxRunDuration), or a moment that was given."""
        schedule = vm.schedule
        if schedule.limited:
            vm.deadline = schedule.terminates or self._clock.now() + (schedule.max_run or 0)
            self._later(vm, vm.deadline - self._clock.now(), partial(self._overrun, vm))

    def _arm_fault(self, vm: Vm) -> None:
        fault = self._faults.take("vm.life", _facts(vm))
        if fault is None:
            return
        strike = partial(self._strike, vm, fault)
        if "at" in fault.args:
            vm.watch = Watch(str(fault.args["at"]).encode(), strike)
        else:
            self._later(vm, float(fault.args["after"]), strike)

    def _strike(self, vm: Vm, fault: Fault) -> None:
        with self._state.changed:
            if vm.status != "RUNNING":
                return
            if fault.action == "preempt":
                vm.preempted = True
                self._event(vm, "compute.instances.preempted", "Instance was preempted.")
                notice = float(fault.args.get("notice", self._pace.shutdown))
                self._end(vm, notice, self._gone if vm.schedule.deletes else self._stopped)
                self._power.soft_off(vm)
            elif fault.action == "vanish":
                self._event(vm, "compute.instances.hostError", "Instance terminated by Compute Engine.")
                self._end(vm, 0, self._gone)
            else:
                self._event(vm, "stop", "Instance stopped.")
                self._end(vm, self._pace.stop, self._stopped)

    def _overrun(self, vm: Vm) -> None:
        """Its time is up: DELETE or STOP, as asked for."""
        with self._state.changed:
            if vm.status != "RUNNING":
                return
            deletes = vm.schedule.deletes
            self._event(vm, "delete" if deletes else "stop", "Instance reached the end of its run duration.")
            self._end(
                vm,
                self._pace.delete if deletes else self._pace.stop,
                self._gone if deletes else self._stopped,
            )

    def _event(self, vm: Vm, kind: str, message: str) -> None:
        """Record what Compute Engine does of its own accord: an operation, done when the instance is at rest."""
        target = (vm.wanted.project, vm.wanted.zone, vm.wanted.path, vm.id)
        operation = self._operations.open(kind, target, SYSTEM, status_message=message)
        self._operations.run(operation)
        vm.status_message = message
        vm.pending.append(operation)

    def _end(self, vm: Vm, seconds: float, then: Callable[[Vm], None]) -> None:
        """STOPPING now, power off after `seconds`, then `then`. Nothing else that was planned happens."""
        vm.cancel_timers()
        vm.watch, vm.deadline, vm.status = None, None, "STOPPING"
        for operation in [o for o in vm.pending if o.kind in {"insert", "start"}]:
            text = "Operation was canceled by user ''."
            self._operations.finish(operation, Failure("OPERATION_CANCELED_BY_USER", text, 409, "CONFLICT"))
            vm.pending.remove(operation)
        self._later(vm, seconds, partial(self._power.off, vm, partial(then, vm)))

    def _fail(self, vm: Vm, operation: Operation, failure: Failure, lingers: bool) -> None:  # noqa: FBT001  partial
        with self._state.changed:
            if vm.status == "STOPPING":
                return
            vm.pending.remove(operation)
            if lingers:
                vm.status = "STOPPING"
                self._later(vm, _LINGERS, partial(self._gone, vm))
            else:
                self._state.remove(vm)
        self._operations.finish(operation, failure)

    def _gone(self, vm: Vm) -> None:
        self._power.remove(vm)
        with self._state.changed:
            if self._state.vms.get(vm.key) is vm:
                self._state.remove(vm)
            vm.boot += 1
            vm.cancel_timers()
            self._finish_pending(vm)

    def _stopped(self, vm: Vm) -> None:
        with self._state.changed:
            if vm.deleting or vm.status != "STOPPING":
                return
            vm.status, vm.stopped = "TERMINATED", self._clock.now()
            self._finish_pending(vm)

    def _finish_pending(self, vm: Vm) -> None:
        for operation in vm.pending:
            self._operations.finish(operation)
        vm.pending.clear()

    def _later(self, vm: Vm, seconds: float, action: Callable[[], None]) -> Timer:
        timer = self._clock.call_later(seconds, action)
        vm.timers.append(timer)
        return timer


class _Events:
    """What one boot of a machine reports; of an earlier boot nothing counts any more."""

    def __init__(self, life: Life, vm: Vm) -> None:
        self._life = life
        self._vm = vm
        self._boot = vm.boot

    def serial(self, data: bytes) -> None:
        """See machine.MachineEvents."""
        self._life.heard(self._vm, self._boot, data)

    def guest_shutdown(self) -> None:
        """See machine.MachineEvents."""
        self._life.shut_down(self._vm, self._boot)

    def ended(self) -> None:
        """See machine.MachineEvents."""
        self._life.crashed(self._vm, self._boot)


def _facts(vm: Vm) -> Json:
    """Return what a fault plan's `match` may name of an instance."""
    wanted = vm.wanted
    return {
        "project": wanted.project,
        "zone": wanted.zone,
        "instance": wanted.name,
        "name": wanted.name,
        "machineType": wanted.machine.name,
        "provisioningModel": "SPOT" if wanted.schedule.spot else "STANDARD",
        **{f"labels.{key}": value for key, value in vm.labels.items()},
    }
