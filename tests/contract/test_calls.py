"""Each call that the builder makes, under each passing fault, without end, and with a server that hangs."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from builder.gcp.clients import CALL_BUDGET, CALL_TIMEOUT
from builder.model import Listed
from builder.plan.make import Plan
from builder.ports import CallFailed
from tests.contract.test_fleet import body_of
from tests.contract.world import ZONE, MovedClock, World

_SCALE = 300.0
_TIMEOUT = CALL_TIMEOUT / _SCALE


@dataclass
class Bench:
    """What the calls below are made on: a VM, an object, and doors to both."""

    world: World
    plan: Plan
    timeout: float = CALL_TIMEOUT

    def __post_init__(self) -> None:
        self.machines = self.world.machines(timeout=self.timeout)
        self.store = self.world.store(timeout=self.timeout)
        self.name = f"calls/{uuid.uuid4().hex}"
        self.object: Listed | None = self.world.store().create(self.name, b"bytes", content_type="text/plain")
        self.vm = self.world.vm(self.plan)
        self.body = body_of(self.world, self.plan, self.vm)
        self.operation = ""

    def found(self) -> Listed:
        assert self.object is not None
        return self.object

    def insert(self) -> Any:
        made = self.machines.insert(
            ZONE, self.body, request_id=str(uuid.uuid5(uuid.NAMESPACE_OID, self.name))
        )
        self.operation = made.name
        return made

    def running(self) -> None:
        made = self.world.machines().insert(
            ZONE, self.body, request_id=str(uuid.uuid5(uuid.NAMESPACE_OID, self.name))
        )
        self.operation = made.name
        self.world.machines().operation(ZONE, made.name)


@dataclass(frozen=True)
class CallUnderTest:
    """One call of the builder: its method id, how it is made, and what must be so afterwards."""

    method: str
    make: Callable[[Bench], Any]
    check: Callable[[Bench, Any], object]
    before: Callable[[Bench], object] = lambda _bench: None
    variant: str = ""


def _no_vm_or_one(bench: Bench, _answer: Any) -> bool:
    return len(bench.world.inserted()) <= 1


CALLS = [
    CallUnderTest(
        "compute.images.getFromFamily",
        lambda b: b.machines.image_of_family("debian-cloud", "debian-12"),
        lambda _b, image: image.path.startswith("projects/debian-cloud/global/images/debian-12"),
    ),
    CallUnderTest(
        "compute.images.get",
        lambda b: b.machines.image(b.world.machines().image_of_family("debian-cloud", "debian-12").path),
        lambda _b, image: "debian-12" in image.path,
    ),
    CallUnderTest(
        "compute.regions.get",
        lambda b: b.machines.zones("us-east1"),
        lambda _b, zones: zones == ["us-east1-b", "us-east1-c", "us-east1-d"],
    ),
    CallUnderTest(
        "compute.instances.insert", lambda b: b.insert(), lambda b, _: b.world.inserted() == [b.vm.name]
    ),
    CallUnderTest(
        "compute.zoneOperations.wait",
        lambda b: b.machines.operation(ZONE, b.operation),
        lambda _b, operation: operation.done and not operation.errors,
        Bench.running,
    ),
    CallUnderTest(
        "compute.instances.get",
        lambda b: b.machines.get(ZONE, b.vm.name),
        lambda b, instance: instance.labels["nb-nonce"] == b.vm.attempt.nonce,
        Bench.running,
    ),
    CallUnderTest(
        "compute.instances.aggregatedList",
        lambda b: b.machines.ours(),
        lambda b, found: [instance.name for instance in found] == [b.vm.name],
        Bench.running,
    ),
    CallUnderTest(
        "compute.instances.getSerialPortOutput",
        lambda b: b.machines.serial(ZONE, b.vm.name, 0),
        lambda _b, output: "Detected virtualization google" in output.text,
        Bench.running,
    ),
    CallUnderTest(
        "compute.instances.delete",
        lambda b: b.machines.delete(ZONE, b.vm.name, request_id=str(uuid.uuid4())),
        lambda _b, operation: operation is not None,
        Bench.running,
    ),
    CallUnderTest(
        "compute.zones.list", lambda b: b.machines.now(), lambda b, now: abs(now - b.world.clock.now()) < 5
    ),
    CallUnderTest(
        "storage.objects.insert",
        lambda b: b.store.create(b.name + "-new", b"new", content_type="text/plain"),
        lambda b, made: made is not None and b.world.store().read(b.name + "-new") == b"new",
    ),
    CallUnderTest(
        "storage.objects.insert",
        lambda b: b.store.replace(b.name, b"other", content_type="text/plain"),
        lambda b, made: made.size == 5 and b.world.store().read(b.name) == b"other",
        variant=", over another",
    ),
    CallUnderTest(
        "storage.objects.get", lambda b: b.store.read(b.name), lambda _b, content: content == b"bytes"
    ),
    CallUnderTest(
        "storage.objects.get",
        lambda b: b.store.read_newer(b.name, 0),
        lambda b, newer: newer == (b"bytes", b.object and b.object.generation),
        variant=", if newer",
    ),
    CallUnderTest(
        "storage.objects.get",
        lambda b: b.store.stat(b.name),
        lambda b, found: found == b.object,
        variant=", metadata alone",
    ),
    CallUnderTest(
        "storage.objects.list", lambda b: b.store.list(b.name), lambda b, found: found == [b.object]
    ),
    CallUnderTest(
        "storage.objects.rewrite",
        lambda b: b.store.copy(b.found(), b.name + "-copy", over=0),
        lambda b, made: made.size == 5 and b.world.store().read(b.name + "-copy") == b"bytes",
    ),
    CallUnderTest(
        "storage.objects.delete",
        lambda b: b.store.delete(b.name),
        lambda b, _: b.world.store().read(b.name) is None,
    ),
]
_PER_MINUTE = "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute' of service 'compute.googleapis.com'"
_PACED = {"storage.objects.insert", "storage.objects.rewrite"}
FAULTS: dict[str, dict[str, Any]] = {
    **{str(status): {"action": "error", "status": status} for status in (408, 429, 500, 502, 503, 504)},
    "per minute": {"action": "error", "status": 403, "reason": "forbidden", "message": _PER_MINUTE},
    "reset": {"action": "drop_before"},
    "reply lost": {"action": "drop_after"},
    "error after": {"action": "error_after", "status": 503},
}


def label(call: CallUnderTest) -> str:
    return call.method.removeprefix("compute.").removeprefix("storage.") + call.variant


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", CALLS, ids=label)
def test_up_to_three_passing_faults_are_not_noticed(
    world: World, plan: Plan, call: CallUnderTest, fault: str
) -> None:
    bench = Bench(world, plan)
    call.before(bench)
    times = 3
    if call.method == "compute.zones.list" and "status" in FAULTS[fault]:
        times = 1  # the Date is read from an error as well
    elif fault in {"reply lost", "error after"} and call.method in _PACED:
        times = 1  # each try is a write, and an object bears one a second of real time
    world.fault(call.method, times=times, **FAULTS[fault])
    answer = call.make(bench)
    assert call.check(bench, answer)
    assert _no_vm_or_one(bench, answer)


@pytest.mark.parametrize("call", [call for call in CALLS if call.method != "compute.zones.list"], ids=label)
def test_a_fault_without_end_ends_with_the_budget(world: World, plan: Plan, call: CallUnderTest) -> None:
    bench = Bench(world, plan)
    call.before(bench)
    world.fault(call.method, "error", times=10_000, status=503)
    started = world.time.monotonic()
    with pytest.raises(CallFailed) as caught:
        call.make(bench)
    assert caught.value.transient
    assert caught.value.call.startswith(call.method.rpartition(".")[0])
    assert CALL_BUDGET - 25 < world.time.monotonic() - started < CALL_BUDGET + 5


@pytest.mark.parametrize("call", CALLS, ids=label)
def test_a_server_that_hangs_holds_no_call_beyond_its_budget(
    world: World, plan: Plan, call: CallUnderTest
) -> None:
    """Time runs three hundred times faster here, so that 30 s are 0.1 s."""
    world.time = MovedClock(world.clock, world.cancellation, scale=_SCALE)
    bench = Bench(world, plan, timeout=_TIMEOUT)
    call.before(bench)
    world.fault(call.method, "stall", times=10_000, seconds=60)
    started = time.monotonic()
    with pytest.raises(CallFailed):
        call.make(bench)
    one = 5 * _TIMEOUT if call.method == "compute.zoneOperations.wait" else _TIMEOUT
    assert time.monotonic() - started < CALL_BUDGET / _SCALE + one + 1.0


# `now` reads the Date header, which an error has, too.
_REFUSABLE = [call for call in CALLS if call.method != "compute.zones.list"]


@pytest.mark.parametrize("call", _REFUSABLE, ids=label)
def test_a_lasting_refusal_is_not_repeated(world: World, plan: Plan, call: CallUnderTest) -> None:
    bench = Bench(world, plan)
    call.before(bench)
    world.fault(call.method, "error", times=2, status=403, reason="forbidden", message="no")
    with pytest.raises(CallFailed, match="no") as caught:
        call.make(bench)
    assert caught.value.http_status == 403
    assert not caught.value.transient
    assert [fault["consumed"] for fault in world.faults.inventory()] == [1]


def test_a_repeated_delete_is_the_same_request(world: World, plan: Plan) -> None:
    bench = Bench(world, plan)
    bench.running()
    world.fault("compute.instances.delete", "drop_after")
    assert bench.machines.delete(ZONE, bench.vm.name, request_id=str(uuid.uuid4())) is not None


def test_a_failed_operation_without_http_fields_has_failed(world: World, plan: Plan) -> None:
    bench = Bench(world, plan)
    world.fault("compute.instances.insert", "operation_error", code="X", message="m")
    operation = bench.insert()
    while not operation.done:
        operation = bench.machines.operation(ZONE, operation.name)
    assert [(error.code, error.message) for error in operation.errors] == [("X", "m")]


def test_what_is_missing_is_none_and_no_failure(world: World) -> None:
    machines, store = world.machines(), world.store()
    assert machines.get(ZONE, "nothing") is None
    assert machines.delete(ZONE, "nothing", request_id=str(uuid.uuid4())) is None
    assert machines.serial(ZONE, "nothing", 0) is None
    assert store.read("calls/nothing") is None
    assert store.read_newer("calls/nothing", 0) is None
    assert store.stat("calls/nothing") is None
    assert store.delete("calls/nothing") is False


def test_the_clock_of_the_answers_is_computes(world: World) -> None:
    world.clock.advance(100_000)
    assert abs(world.machines().now() - world.clock.now()) < 5


# Cloud Storage


def test_a_create_meets_its_own_object_after_a_lost_reply(world: World) -> None:
    store, name = world.store(), f"calls/{uuid.uuid4().hex}"
    world.fault("storage.objects.insert", "drop_after")
    made = store.create(name, b"mine", content_type="text/plain")
    assert made == store.stat(name)


def test_a_create_never_takes_anothers_object_for_its_own(world: World) -> None:
    store, name = world.store(), f"calls/{uuid.uuid4().hex}"
    assert store.create(name, b"theirs", content_type="text/plain") is not None
    assert store.create(name, b"mine", content_type="text/plain") is None
    assert store.read(name) == b"theirs"


def test_bytes_that_are_stored_broken_are_never_returned(world: World) -> None:
    store, name = world.store(), f"calls/{uuid.uuid4().hex}"
    world.fault("storage.objects.insert", "corrupt")
    store.create(name, b"some bytes", content_type="text/plain")
    started = world.time.monotonic()
    with pytest.raises(CallFailed) as caught:
        store.read(name)
    assert caught.value.code == "checksumMismatch"
    assert world.time.monotonic() - started < 30, "what is stored broken stays broken"


def test_a_missing_bucket_is_no_missing_object(world: World) -> None:
    store = world.store()
    store._bucket = store._client.bucket("nowhere-at-all")
    with pytest.raises(CallFailed) as caught:
        store.read("x")
    assert caught.value.http_status == 404


def test_an_object_of_another_generation_is_not_copied(world: World) -> None:
    store, name = world.store(), f"calls/{uuid.uuid4().hex}"
    first = store.replace(name, b"first", content_type="text/plain")
    store.replace(name, b"second", content_type="text/plain")
    with pytest.raises(CallFailed):
        store.copy(first, name + "-copy", over=0)
