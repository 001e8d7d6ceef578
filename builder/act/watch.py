"""Follows one attempt through Cloud Storage: heartbeat, log, evidence; and tells a slow VM from a lost one.

Ages are measured on the builder's own monotonic clock from the moment a heartbeat's counter moved: no two machines'
clocks are ever compared. While nothing happens a tick costs one conditional read, and a look at the VM now and then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from builder.act.fleet import Vm
from builder.act.waiting import WaitTimeout, poll
from builder.errors import BuilderError, EnvironmentFailed, ProjectSetup, TimeLimit
from builder.plan.vm_spec import Limits
from builder.ports import CallFailed, Clock, Machines, ObjectStore
from builder.stored_json import read_object

TICK = 1.0  # seconds between two looks at the heartbeat
LOOK_AT_VM = 15.0  # seconds between two looks at the VM itself
LOOK_AT_SERIAL = 5.0  # the same for the serial port, before the first heartbeat
SILENCE = 180.0  # seconds without a heartbeat after which a VM that still runs is given up
QUIET = 10.0  # seconds without one after which evidence and VM are looked for unasked ...
LOOK_WHEN_QUIET = 5.0  # ... and how often
_ALIVE = frozenset({"PROVISIONING", "STAGING", "RUNNING"})
# Once everything is staged, a VM that is refused for this share of its boot limit is not waiting for anything any more.
_REFUSED_SHARE = 0.1
_REFUSALS = ("HTTP 403", "Forbidden: 403")  # in the words of the bootstrap, and of the runner
_SERIAL_TAIL = 20
_SERIAL_MARK = "notebook-builder: "


@dataclass(frozen=True)
class Heartbeat:
    """What the VM says of itself every two seconds."""

    counter: int
    phase: str
    cell: int
    cells: int
    log_chunks: int


@dataclass
class Log:
    """The attempt's log as relayed so far; becomes run.log. `#` lines are the runner's, `|` lines the notebook's."""

    chunks: int = 0
    text: list[str] = field(default_factory=list)

    def begin(self, attempt: int) -> None:
        """Each attempt numbers its chunks anew; what earlier ones said stays in the text."""
        self.chunks = 0
        if self.text:
            self.text.append(f"# attempt {attempt}\n")


def parse_wish(raw: bytes, nonce: str) -> object:
    """Return the CPython whose kit the VM asks for in the place of its first heartbeat; None where it asks for none."""
    try:
        document = read_object(raw)
        return document["kit"] if document["nonce"] == nonce and document["phase"] == "kit" else None
    except (ValueError, KeyError):
        return None


def parse_heartbeat(raw: bytes, nonce: str) -> Heartbeat | None:
    """The heartbeat, or None where it is not this attempt's or cannot be read: it decides nothing on its own."""
    try:
        document = read_object(raw)
        if document["nonce"] != nonce:
            return None
        return Heartbeat(
            counter=_count(document["counter"]),
            phase=str(document["phase"]),
            cell=_count(document["cell"] or 0),
            cells=_count(document["cells"] or 0),
            log_chunks=_count(document["log_chunks"]),
        )
    except (ValueError, KeyError):
        return None


def _count(value: object) -> int:
    """Return a whole number that is not negative. Raises ValueError for anything else."""
    if type(value) is not int or value < 0:
        raise ValueError
    return value


class Watch:
    """One attempt under observation, from the VM's start to its evidence."""

    def __init__(
        self,
        *,
        vm: Vm,
        prefix: str,
        limits: Limits,
        store: ObjectStore,
        machines: Machines,
        clock: Clock,
        supply: Callable[[object], None],
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
        self._supplied = self._started  # since when all that the VM waits for stands in the bucket
        self._heard = self._started
        self._looked_at_vm = self._started
        self._looked_at_serial = self._started
        self._heartbeat: Heartbeat | None = None
        self._generation = 0
        self._serial_next = 0
        self._serial_lines: list[str] = []

    def until_evidence(self) -> bytes:
        """Wait for evidence.json. Raises EnvironmentFailed when the VM is lost, TimeLimit when it overruns everything."""
        try:
            evidence = poll(
                self._tick, what="evidence", interval=TICK, deadline=self._limits.vm, clock=self._clock
            )
        except WaitTimeout as timeout:
            raise TimeLimit(
                f"VM {self._vm.name} gave no evidence within {timeout.seconds:.0f} s, its whole time.",
                reason="run_timeout",
                advice="Raise NB_TIMEOUT if the notebook needs longer.",
            ) from timeout
        self._relay_chunks(self._find_chunks())
        return evidence

    def _tick(self) -> bytes | None:
        now = self._clock.monotonic()
        self._listen(now)
        quiet = now - self._heard
        phase = self._heartbeat.phase if self._heartbeat else ""
        if phase in {"upload", "done"}:
            evidence = self._read_evidence()
            if evidence is not None:
                return evidence
        if now - self._looked_at_vm >= (LOOK_WHEN_QUIET if quiet > QUIET else LOOK_AT_VM):
            self._looked_at_vm = now
            evidence = self._look_around(self._read_evidence())
            if evidence is not None:
                return evidence
        if self._heartbeat is None:
            self._check_boot(now)
        elif quiet > SILENCE:
            raise self._lost("heartbeat_lost", f"VM {self._vm.name} runs, but was silent for {quiet:.0f} s.")
        return None

    def _read_evidence(self) -> bytes | None:
        return self._store.read(self._prefix + "evidence.json")

    def _listen(self, now: float) -> None:
        newer = self._store.read_newer(self._prefix + "heartbeat.json", self._generation)
        if newer is None:
            return
        raw, self._generation = newer
        wish = parse_wish(raw, self._vm.attempt.nonce)
        if wish is not None:
            # No sign of life yet: until the runner's own heartbeat the serial port and the boot limit tell of a failed boot.
            self._supply(wish)
            self._supplied = self._clock.monotonic()
            return
        heartbeat = parse_heartbeat(raw, self._vm.attempt.nonce)
        if heartbeat is None:
            return
        if self._heartbeat is None or heartbeat.counter != self._heartbeat.counter:
            self._heard = now
        self._heartbeat = heartbeat
        self._relay_chunks(heartbeat.log_chunks)

    def _relay_chunks(self, upto: int) -> None:
        while self._log.chunks < upto:
            chunk = self._store.read(f"{self._prefix}log/{self._log.chunks + 1:06d}.txt")
            if chunk is None:
                return  # announced, but not there yet: the next tick asks again
            self._log.chunks += 1
            text = chunk.decode("utf-8", "replace")
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
        if now - self._looked_at_serial >= LOOK_AT_SERIAL:
            self._looked_at_serial = now
            self._read_serial()
            failed = [line for line in self._serial_lines if f"{_SERIAL_MARK}failed: " in line]
            if failed:
                said = failed[-1].partition(f"{_SERIAL_MARK}failed: ")[2]
                raise self._lost("boot_failed", f"VM {self._vm.name} could not start its runner: {said}")
            self._check_refusals(now)
        if now - self._started > self._limits.boot:
            self._read_serial()
            raise self._lost(
                "boot_timeout", f"VM {self._vm.name} gave no sign of life within {self._limits.boot} s."
            )

    def _check_refusals(self, now: float) -> None:
        """The VM's account lacks a role: it says so on the serial port, for want of another place where it may write."""
        refused = [line for line in self._serial_lines if any(words in line for words in _REFUSALS)]
        if refused and now - self._supplied > self._limits.boot * _REFUSED_SHARE:
            said = refused[-1].partition(_SERIAL_MARK)[2] or refused[-1]
            raise ProjectSetup(
                f"The account of VM {self._vm.name} may not use the bucket as it must: {said}",
                reason="vm_permission_denied",
                advice="Grant NB_VM_SERVICE_ACCOUNT its roles on kits/ and staging/ (docs/accounts.md); a fresh grant may take "
                "some minutes to count.",
            )

    def _read_serial(self) -> None:
        try:
            output = self._machines.serial(self._vm.zone, self._vm.name, self._serial_next)
        except CallFailed as failure:
            # It only explains; an organization may even forbid it. The heartbeat decides.
            if not self._serial_lines:
                self._serial_lines.append(f"[the serial port cannot be read: {failure.message}]")
            return
        if output is None:
            return
        if self._serial_next and output.start > self._serial_next:
            self._serial_lines.append(f"[{output.start - self._serial_next} bytes lost]")
        self._serial_next = output.next
        self._serial_lines.extend(output.text.splitlines())
        del self._serial_lines[:-200]

    def _look_around(self, evidence: bytes | None) -> bytes | None:
        """The evidence, if it is there. Raises EnvironmentFailed where the VM has ended without."""
        if evidence is not None:
            return evidence
        try:
            instance = self._machines.get(self._vm.zone, self._vm.name)
        except CallFailed as failure:
            if failure.transient:
                return None  # heartbeats tell as well whether it lives
            raise
        if instance is not None and instance.status in _ALIVE:
            return None
        # It may have finished between the two looks.
        in_time = self._read_evidence()
        if in_time is not None:
            return in_time
        how = "is gone" if instance is None else f"is {instance.status}"
        raise self._ended(how)

    def _ended(self, how: str) -> BuilderError:
        """The error for a VM that ended without evidence, with what Compute Engine itself says of it."""
        try:
            cause = self._machines.cause_of_end(self._vm.zone, self._vm.name)
        except CallFailed:
            cause = ""  # it only explains
        if cause == "preempted":
            return self._lost(
                "preempted", f"VM {self._vm.name} was preempted: Compute Engine took the Spot VM back."
            )
        why = ": its host failed" if cause == "hostError" else ""
        return self._lost("vm_lost", f"VM {self._vm.name} {how} and left no evidence{why}.")

    def _lost(self, reason: str, message: str) -> BuilderError:
        for line in self._serial_lines[-_SERIAL_TAIL:] if self._heartbeat is None else ():
            self._relay(f"#serial {line}")
        return EnvironmentFailed(
            message, reason=reason, advice="Nothing is known against the notebook; a fresh VM may do better."
        )
