"""The life of an instance: PROVISIONING, STAGING, RUNNING, STOPPING, then TERMINATED or gone.

Every step is a timer of the virtual clock. Nothing here blocks while it holds the state's lock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from localcloud.services.compute.power import Power, boot_lines
from localcloud.services.compute.state import State, Vm, Watch
from localcloud.services.compute.state_operations import Failure, Operation, Operations
from localcloud.services.compute.state_serial import SerialPort

if TYPE_CHECKING:
    from localcloud.core.clock import Clock, Timer
    from localcloud.core.faults import Fault, FaultPlan

Json = dict[str, Any]

SYSTEM = "system@google.com"
# A failed insert can leave its instance visible in STOPPING for a while (docs/facts.md 1.7).
_LINGERS = 60.0


@dataclass(frozen=True)
class Pace:
    """Durations in seconds: shorter than Google's, in the same order."""

    insert: float = 0.2
    delete: float = 0.3
    stop: float = 0.2
    shutdown: float = 0.3
    offline: float = 0.1
    """The end of a shutdown, without a network."""


class Life:
    """Moves instances through their states, and finishes the operations for that."""

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

    # Calls of the API. The caller holds the lock.

    def create(self, vm: Vm, operation: Operation, failure: Failure | None, *, lingers: bool = False) -> None:
        """Bring a new instance to RUNNING; or fail its insert and remove it (`lingers`: after a minute)."""
        vm.pending.append(operation)
        step = self._pace.insert / 3
        self._later(vm, step, partial(self._operations.run, operation))
        self._later(vm, 2 * step, partial(self._stage, vm))
        if failure is None:
            self._later(vm, 3 * step, partial(self._run, vm))
        else:
            self._later(vm, 3 * step, partial(self._fail, vm, operation, failure, lingers))

    def delete(self, vm: Vm, operation: Operation) -> None:
        """Stop and remove an instance; a second delete ends with the first."""
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

    # Events of the machine.

    def shut_down(self, vm: Vm, boot: int) -> None:
        """The VM has called `shutdown`: TERMINATED, disk kept, for each termination action (docs/facts.md 1.6)."""
        self._system_event(vm, boot, "compute.instances.guestTerminate")

    def crashed(self, vm: Vm, boot: int) -> None:
        """The machine's supervisor has ended, as after a host failure; the instance is not restarted."""
        self._system_event(vm, boot, "compute.instances.hostError")

    def heard(self, vm: Vm, boot: int, data: bytes) -> None:
        """Output for serial port 1."""
        with self._state.changed:
            if vm.boot != boot:
                return
            vm.serial.write(data)
            if vm.watch is not None and vm.watch.saw(data):
                self._later(vm, 0, vm.watch.found)
                vm.watch = None

    def _system_event(self, vm: Vm, boot: int, kind: str) -> None:
        with self._state.changed:
            if vm.boot == boot and vm.status == "RUNNING":
                self._event(vm, kind)
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
            vm.status, vm.cut_off = "RUNNING", False
            vm.boot += 1
            vm.serial = SerialPort()
            vm.serial.write(boot_lines(vm))
            self._finish_pending(vm)
            self._arm_deadline(vm)
            self._arm_fault(vm)
            self._boot(vm)

    def _boot(self, vm: Vm) -> None:
        fault = self._faults.take("vm.boot", _facts(vm))
        script = vm.wanted.metadata.get("startup-script")
        if fault is not None and fault.action == "idle":
            script = None
        elif fault is not None:
            vm.visible_gpus = int(fault.args["count"])
        self._power.on(vm, _Events(self, vm), script)

    def _arm_deadline(self, vm: Vm) -> None:
        """Set the time limit: maxRunDuration from now on."""
        limit = vm.schedule.max_run
        if limit is not None:
            vm.deadline = self._clock.now() + limit
            self._later(vm, limit, partial(self._overrun, vm))

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
                self._event(vm, "compute.instances.preempted")
                notice = float(fault.args.get("notice", self._pace.shutdown))
                self._end(vm, notice, self._gone if vm.schedule.deletes else self._stopped)
            elif fault.action == "vanish":
                self._event(vm, "compute.instances.hostError")
                self._end(vm, 0, self._gone)
            else:
                self._event(vm, "stop")
                self._end(vm, self._pace.stop, self._stopped)

    def _overrun(self, vm: Vm) -> None:
        """The time limit has passed: DELETE or STOP the instance, as its schedule says."""
        with self._state.changed:
            if vm.status != "RUNNING":
                return
            deletes = vm.schedule.deletes
            self._event(vm, "delete" if deletes else "stop")
            self._end(
                vm,
                self._pace.delete if deletes else self._pace.stop,
                self._gone if deletes else self._stopped,
            )

    def _event(self, vm: Vm, kind: str) -> None:
        """Record an operation of Compute Engine's own, done once the instance has stopped."""
        target = (vm.wanted.project, f"zones/{vm.wanted.zone}", vm.wanted.path, vm.id)
        operation = self._operations.open(kind, target, SYSTEM)
        self._operations.run(operation)
        vm.pending.append(operation)

    def _end(self, vm: Vm, seconds: float, then: Callable[[Vm], None]) -> None:
        """Set STOPPING, power off after `seconds`, then call `then`. All other timers are cancelled.

        As the operating system shuts down, it takes the network down before it ends the last processes.
        """
        vm.cancel_timers()
        vm.watch, vm.deadline, vm.status = None, None, "STOPPING"
        for operation in [o for o in vm.pending if o.kind == "insert"]:
            text = "Operation was canceled by user ''."
            self._operations.finish(operation, Failure("OPERATION_CANCELED_BY_USER", text, 409, "CONFLICT"))
            vm.pending.remove(operation)
        if seconds:
            self._later(vm, 0, partial(self._power.press_button, vm))
        self._later(vm, max(0, seconds - self._pace.offline), partial(self._cut_off, vm))
        self._later(vm, seconds, partial(self._power.off, vm, partial(then, vm)))

    def _cut_off(self, vm: Vm) -> None:
        with self._state.changed:
            vm.cut_off = True

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
            vm.status = "TERMINATED"
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
    """The events of one boot of a machine. Events of an earlier boot are ignored."""

    def __init__(self, life: Life, vm: Vm) -> None:
        self._life = life
        self._vm = vm
        self._boot = vm.boot

    def serial(self, data: bytes) -> None:
        """Handle bytes from serial port 1."""
        self._life.heard(self._vm, self._boot, data)

    def guest_shutdown(self) -> None:
        """Stop the VM after `shutdown` inside it."""
        self._life.shut_down(self._vm, self._boot)

    def ended(self) -> None:
        """Handle a VM whose processes ended without a power-off."""
        self._life.crashed(self._vm, self._boot)


def _facts(vm: Vm) -> Json:
    """Return the values of an instance that a fault plan's `match` may name."""
    wanted = vm.wanted
    return {
        "project": wanted.project,
        "zone": wanted.zone,
        "instance": wanted.name,
        "name": wanted.name,
        "machineType": wanted.machine.name,
        "provisioningModel": "SPOT" if wanted.schedule.spot else "STANDARD",
        **{f"labels.{key}": value for key, value in wanted.labels.items()},
    }
