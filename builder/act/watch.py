"""Follows one attempt by its heartbeat, log and evidence in Cloud Storage, and distinguishes a slow VM from a lost one.

Ages count on the builder's own monotonic clock, from the last change of the heartbeat's counter; no clocks are
compared. While nothing happens, a tick costs one conditional read, and sometimes a check of the VM.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from builder.act.serial_lines import (
    boot_error,
    no_private_access,
    overrun,
    permission_denied,
    refusal,
)
from builder.act.vm import Vm
from builder.errors import BuilderError, EnvironmentFailed, TimeLimit
from builder.judge.cell_checks import START_AGAIN
from builder.judge.known_faults import SPOT_ADVICE
from builder.model import region_of
from builder.plan.subnetworks import subnetwork_of
from builder.plan.vm_spec import Limits
from builder.ports import CallFailed, Clock, Instance, Machines, ObjectStore
from builder.vm.codec import ProtocolError
from builder.vm.protocol import (
    DONE,
    EVIDENCE,
    HEARTBEAT,
    MAX_CHUNK_BYTES,
    MAX_EVIDENCE_BYTES,
    MAX_HEARTBEAT_BYTES,
    PREEMPTED,
    UPLOAD,
    Heartbeat,
    KitRequest,
    decode_heartbeat,
    log_chunk,
)
from builder.waiting import WaitTimeout, poll

TICK = 1.0  # seconds between two reads of the heartbeat ...
FIRST_TICK = 0.4  # ... and at first, so that the verdict on a short notebook does not wait
VM_INTERVAL = 15.0  # seconds between two checks of the VM itself
SERIAL_INTERVAL = 5.0  # seconds between two reads of the serial port, before the first heartbeat
SILENCE = 180.0  # seconds without a heartbeat after which a VM that still runs is given up
QUIET = 10.0  # seconds without a heartbeat after which evidence and VM are read more often ...
QUIET_INTERVAL = 5.0  # ... and how often
_ALIVE = frozenset({"PROVISIONING", "STAGING", "RUNNING"})
# A VM whose calls are refused for this share of its boot limit, after everything is staged, lacks a role.
_REFUSED_SHARE = 0.1
_SERIAL_TAIL = 20


@dataclass
class Log:
    """The log as relayed so far; it becomes run.log. `#` lines are the runner's, `|` lines the notebook's."""

    chunks: int = 0
    text: list[str] = field(default_factory=list)

    def begin(self, attempt: int) -> None:
        """Begin the log of an attempt, whose chunks count from 1. The text of earlier attempts remains."""
        self.chunks = 0
        if self.text:
            self.text.append(f"# attempt {attempt}\n")


class Watch:
    """Watches one attempt, from the VM's start to its evidence."""

    def __init__(
        self,
        *,
        vm: Vm,
        prefix: str,
        limits: Limits,
        store: ObjectStore,
        machines: Machines,
        clock: Clock,
        supply: Callable[[str], None],
        relay: Callable[[str], None],
        log: Log,
    ) -> None:
        self._vm = vm
        self._prefix = prefix
        self._limits = limits
        self._store = store
        self._machines = machines
        self._clock = clock
        self._supply = supply
        self._relay = relay
        self._log = log
        self._started = clock.monotonic()
        self._supplied = self._started  # the time since which the bucket has all that the VM waits for
        self._last_change = self._started  # of the heartbeat's counter
        self._vm_checked = self._started
        self._serial_checked = self._started
        self._heartbeat: Heartbeat | None = None
        self._unreadable = ""  # why the last heartbeat that cannot be read counts as silence
        self._generation = 0
        self._serial_next = 0
        self._serial_lost = 0  # bytes; Compute Engine keeps the last 1 MiB only
        self._serial_lines: list[str] = []

    def until_evidence(self) -> bytes:
        """Return evidence.json once it is there.

        Raises EnvironmentFailed if the VM is lost, TimeLimit after the VM's whole time.
        """
        try:
            evidence = poll(
                self._tick,
                what="evidence",
                interval=TICK,
                first=FIRST_TICK,
                deadline=self._limits.vm,
                clock=self._clock,
            )
        except WaitTimeout as timeout:
            raise TimeLimit(
                f"VM {self._vm.name} stored no results within its limit of {timeout.seconds:.0f} s.",
                reason="run_timeout",
                advice="Raise NB_TIMEOUT if the notebook needs longer.",
            ) from timeout
        self._relay_chunks(self._find_chunks())
        return evidence

    def _tick(self) -> bytes | None:
        now = self._clock.monotonic()
        self._read_heartbeat(now)
        quiet = now - self._last_change
        phase = self._heartbeat.phase if self._heartbeat else ""
        if phase in {UPLOAD, DONE, PREEMPTED}:
            evidence = self._read_evidence()
            if evidence is not None:
                return evidence
        if now - self._vm_checked >= (QUIET_INTERVAL if quiet > QUIET else VM_INTERVAL):
            self._vm_checked = now
            evidence = self._check_vm()
            if evidence is not None:
                return evidence
        if self._heartbeat is None:
            self._check_boot(now)
        elif quiet > SILENCE:
            silent = (
                f"VM {self._vm.name} runs, but has sent no heartbeat for {quiet:.0f} s{self._unreadable}."
            )
            self._read_serial()
            raise overrun(self._vm, self._serial_lines) or self._lost("heartbeat_lost", silent)
        return None

    def _read_evidence(self) -> bytes | None:
        return self._store.read(self._prefix + EVIDENCE, max_bytes=MAX_EVIDENCE_BYTES)

    def _read_heartbeat(self, now: float) -> None:
        newer = self._store.read_newer(
            self._prefix + HEARTBEAT, self._generation, max_bytes=MAX_HEARTBEAT_BYTES
        )
        if newer is None:
            return
        raw, self._generation = newer
        try:
            message = decode_heartbeat(raw)
        except ProtocolError as error:
            self._unreadable = f" (it sent a heartbeat that this version cannot read: {error})"
            return
        if message.nonce_sha256 != self._vm.attempt.nonce_sha256:
            return
        if isinstance(message, KitRequest):
            # Not a heartbeat of the runner: until the first one, the serial port and the boot limit reveal a failed
            # boot.
            self._supply(message.kit)
            self._supplied = self._clock.monotonic()
            return
        if self._heartbeat is None:
            self._relay(f"# first heartbeat {now - self._started:.0f} s after the VM's start")
        if self._heartbeat is None or message.counter != self._heartbeat.counter:
            self._last_change = now
        self._heartbeat, self._unreadable = message, ""
        self._relay_chunks(message.log_chunks)

    def _relay_chunks(self, upto: int) -> None:
        while self._log.chunks < upto:
            name = self._prefix + log_chunk(self._log.chunks + 1)
            chunk = self._store.read(name, max_bytes=MAX_CHUNK_BYTES)
            if chunk is None:
                return  # announced, but not there yet: the next tick reads it
            self._log.chunks += 1
            text = chunk[:MAX_CHUNK_BYTES].decode("utf-8", "replace")
            if len(chunk) > MAX_CHUNK_BYTES:
                text += f"\n# {name.rpartition('/')[2]}: the log after {MAX_CHUNK_BYTES} bytes of this part is not read\n"
            self._log.text.append(text)
            for line in text.splitlines():
                self._relay(line)

    def _find_chunks(self) -> int:
        return self._log.chunks + sum(
            1
            for item in self._store.list(self._prefix + "log/")
            if self._number(item.name) > self._log.chunks
        )

    @staticmethod
    def _number(name: str) -> int:
        digits = name.rpartition("/")[2].removesuffix(".txt")
        return int(digits) if digits.isdecimal() else 0

    def _check_boot(self, now: float) -> None:
        if now - self._serial_checked >= SERIAL_INTERVAL:
            self._serial_checked = now
            self._read_serial()
            failed = boot_error(self._vm, self._machines.project, self._serial_lines)
            if failed is not None:
                raise self._with_serial_tail(self._explained(failed))
            self._check_refusals(now)
        if now - self._started > self._limits.boot:
            self._read_serial()
            silent = f"VM {self._vm.name} sent no heartbeat within {self._limits.boot} s of its start{self._unreadable}."
            raise self._explained(self._lost("boot_timeout", silent))

    def _explained(self, error: BuilderError) -> BuilderError:
        """Return the error of a VM that failed to boot, or a better one if its subnetwork keeps it from Google's APIs.

        A VM that wrote anything has reached Cloud Storage.
        """
        spec = self._vm.spec
        if self._generation or spec is None or spec.external_ip or not isinstance(error, EnvironmentFailed):
            return error
        project = self._machines.project
        try:
            if self._machines.has_private_access(*subnetwork_of(spec, project, region_of(self._vm.zone))):
                return error
        except CallFailed:
            return error  # the subnetwork only explains
        return no_private_access(self._vm, project, error.message)

    def _check_refusals(self, now: float) -> None:
        """Raise ProjectSetup if the VM's account lacks a role. The VM can report that on the serial port only."""
        refused = refusal(self._serial_lines)
        if refused is not None and now - self._supplied > self._limits.boot * _REFUSED_SHARE:
            raise permission_denied(self._vm, refused)

    def _read_serial(self) -> None:
        try:
            output = self._machines.serial(self._vm.zone, self._vm.name, self._serial_next)
        except CallFailed as failure:
            # The serial port only explains, and an organization can forbid it. The heartbeat decides.
            if not self._serial_lines:
                self._serial_lines.append(f"[the serial port cannot be read: {failure.message}]")
            return
        if output is None:
            return
        if self._serial_next and output.start > self._serial_next:
            self._serial_lost += output.start - self._serial_next
        self._serial_next = output.next
        self._serial_lines.extend(output.text.splitlines())
        del self._serial_lines[:-200]

    def _check_vm(self) -> bytes | None:
        """Return the evidence, if it is there. Raises EnvironmentFailed if the VM has ended without it."""
        evidence = self._read_evidence()
        if evidence is not None:
            return evidence
        try:
            instance = self._machines.get(self._vm.zone, self._vm.name)
        except CallFailed as failure:
            if failure.transient:
                return None  # heartbeats show too whether the VM lives
            raise
        if instance is not None and (instance.status in _ALIVE or self._saves_its_results(instance)):
            return None
        # The VM may have finished between the two reads.
        in_time = self._read_evidence()
        if in_time is not None:
            return in_time
        how = "is gone" if instance is None else f"is {instance.status}"
        raise self._ended(how)

    def _saves_its_results(self, instance: Instance) -> bool:
        """Return True if the VM is stopping and its runner still writes: a preempted Spot VM has 30 seconds."""
        return instance.status == "STOPPING" and self._clock.monotonic() - self._last_change < QUIET

    def _ended(self, how: str) -> BuilderError:
        """Return the error of a VM that ended without evidence, with the cause that Compute Engine names."""
        try:
            cause = self._machines.cause_of_end(self._vm.zone, self._vm.name)
        except CallFailed:
            cause = ""  # the cause only explains
        reported = self._heartbeat.phase if self._heartbeat else ""
        if PREEMPTED in {cause, reported}:
            message = f"VM {self._vm.name} was preempted: Compute Engine took the Spot VM back."
            return EnvironmentFailed(message, reason=PREEMPTED, advice=SPOT_ADVICE)
        why = ": its host failed" if cause == "hostError" else ""
        return self._lost("vm_lost", f"VM {self._vm.name} {how} and left no evidence{why}.")

    def _lost(self, reason: str, message: str) -> BuilderError:
        return self._with_serial_tail(EnvironmentFailed(message, reason=reason, advice=START_AGAIN))

    def _with_serial_tail(self, error: BuilderError) -> BuilderError:
        """Return the error, after adding the serial port's last lines to the log: they explain a failed boot."""
        if self._heartbeat is None:
            lost = [f"[{self._serial_lost} earlier bytes lost]"] if self._serial_lost else []
            for line in (*lost, *self._serial_lines[-_SERIAL_TAIL:]):
                self._relay(f"#serial {line}")
        return error
