"""Each call that the builder makes, under each transient fault, without end, and with a server that hangs."""

from __future__ import annotations

import logging
import tracemalloc
import uuid
from typing import Any

import pytest

from builder.gcp import call_table
from builder.gcp.clients import CALL_BUDGET, CALL_TIMEOUT, OUTAGE_BUDGET
from builder.plan.build_plan import Plan
from builder.ports import CallFailed
from tests.integration.call_cases import CALLS, Bench, CallUnderTest, label
from tests.integration.cloud_fixture import ZONE, CloudFixture, MovedClock
from tests.patience import HANGS
from tests.timeouts import record_timeouts

_SCALE = 300.0
_TIMEOUT = CALL_TIMEOUT / _SCALE
# Seconds for which Compute Engine itself may hold an answer back (docs/facts.md 1.7): the client waits longer by them.
HELD_BACK = {"compute.zoneOperations.wait": 120.0}


_PER_MINUTE = "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute' of service 'compute.googleapis.com'"
_PACED = {"storage.objects.insert", "storage.objects.rewrite"}
# A reply that is lost comes first: `make test` has it for each call. It has the others for all calls of a run at once
# (test_call_faults.py).
FAULTS: dict[str, dict[str, Any]] = {
    "reply lost": {"action": "drop_after"},
    **{str(status): {"action": "error", "status": status} for status in (408, 429, 500, 502, 503, 504)},
    "per minute": {"action": "error", "status": 403, "reason": "forbidden", "message": _PER_MINUTE},
    "reset": {"action": "drop_before"},
    "error after": {"action": "error_after", "status": 503},
}


@pytest.mark.always(len(CALLS))
@pytest.mark.parametrize("call", CALLS, ids=label)
@pytest.mark.parametrize("fault", FAULTS)
def test_up_to_three_transient_faults_are_not_noticed(
    cloud_fixture: CloudFixture, plan: Plan, call: CallUnderTest, fault: str
) -> None:
    bench = Bench(cloud_fixture, plan)
    call.before(bench)
    times = 3
    if call.method == "compute.zones.list" and "status" in FAULTS[fault]:
        times = 1  # the Date is read from an error as well
    elif fault in {"reply lost", "error after"} and call.method in _PACED:
        times = 1  # each try is a write, and an object bears one a second of real time
    cloud_fixture.fault(call.method, times=times, **FAULTS[fault])
    answer = call.make(bench)
    assert call.check(bench, answer)
    assert cloud_fixture.faults.inventory()[-1]["consumed"] == times, "a swallowed fault is met once"
    assert len(cloud_fixture.inserted()) <= 1


@pytest.mark.parametrize("call", [call for call in CALLS if call.method != "compute.zones.list"], ids=label)
def test_a_fault_without_end_ends_with_the_budget(
    cloud_fixture: CloudFixture, plan: Plan, call: CallUnderTest
) -> None:
    bench = Bench(cloud_fixture, plan)
    call.before(bench)
    cloud_fixture.fault(call.method, "error", times=10_000, status=503)
    started = cloud_fixture.time.monotonic()
    with pytest.raises(CallFailed) as caught:
        call.make(bench)
    assert caught.value.transient
    assert caught.value.call.startswith(call.method.rpartition(".")[0])
    budget = next(known.budget for known in call_table.CALLS if known.method == call.method)
    assert budget - min(25, budget / 2) < cloud_fixture.time.monotonic() - started < budget + 5


def test_after_an_outage_a_call_has_a_shorter_budget_until_one_is_answered(
    cloud_fixture: CloudFixture,
) -> None:
    store = cloud_fixture.store()
    cloud_fixture.fault("storage.objects.get", "error", times=10_000, status=503)

    def seconds() -> float:
        started = cloud_fixture.time.monotonic()
        with pytest.raises(CallFailed):
            store.read("x")
        return cloud_fixture.time.monotonic() - started

    assert CALL_BUDGET - 25 < seconds() < CALL_BUDGET + 5
    assert OUTAGE_BUDGET / 2 < seconds() < OUTAGE_BUDGET + 5
    store.list("x")
    assert CALL_BUDGET - 25 < seconds() < CALL_BUDGET + 5


@pytest.mark.parametrize("call", CALLS, ids=label)
def test_a_server_that_hangs_holds_no_call_beyond_its_budget(
    cloud_fixture: CloudFixture, plan: Plan, call: CallUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time runs three hundred times faster here, so that 30 s are 0.1 s."""
    cloud_fixture.time = MovedClock(cloud_fixture.clock, cloud_fixture.cancellation, scale=_SCALE)
    bench = Bench(cloud_fixture, plan, timeout=_TIMEOUT)
    call.before(bench)
    cloud_fixture.fault(call.method, "stall", times=10_000, seconds=HANGS)
    most = _TIMEOUT + HELD_BACK.get(call.method, 0.0) / _SCALE
    timeouts = record_timeouts(monkeypatch, cloud_fixture.url, most)
    with pytest.raises(CallFailed):
        call.make(bench)
    # No try waits longer than the client's timeout, and none begins after the budget.
    hung = cloud_fixture.faults.inventory()[-1]["consumed"]
    assert 1 <= hung <= CALL_BUDGET / CALL_TIMEOUT + 1
    assert len(timeouts) >= hung
    assert all(timeout is not None and timeout <= most for timeout in timeouts), timeouts


# `now` reads the Date header, which an error has, too.
_REFUSABLE = [call for call in CALLS if call.method != "compute.zones.list"]


@pytest.mark.parametrize("call", _REFUSABLE, ids=label)
def test_a_lasting_refusal_is_not_repeated(
    cloud_fixture: CloudFixture, plan: Plan, call: CallUnderTest
) -> None:
    bench = Bench(cloud_fixture, plan)
    call.before(bench)
    cloud_fixture.fault(call.method, "error", times=2, status=403, reason="forbidden", message="no")
    with pytest.raises(CallFailed, match="no") as caught:
        call.make(bench)
    assert caught.value.http_status == 403
    assert not caught.value.transient
    assert [fault["consumed"] for fault in cloud_fixture.faults.inventory()] == [1]


def test_a_repeated_delete_is_the_same_request(cloud_fixture: CloudFixture, plan: Plan) -> None:
    bench = Bench(cloud_fixture, plan)
    bench.running()
    cloud_fixture.fault("compute.instances.delete", "drop_after")
    assert bench.machines.delete(ZONE, bench.vm.name, request_id=str(uuid.uuid4())) is not None


def test_a_failed_operation_without_http_fields_has_failed(cloud_fixture: CloudFixture, plan: Plan) -> None:
    bench = Bench(cloud_fixture, plan)
    cloud_fixture.fault("compute.instances.insert", "operation_error", code="X", message="m")
    operation = bench.insert()
    while not operation.done:
        operation = bench.machines.operation(ZONE, operation.name)
    assert [(error.code, error.message) for error in operation.errors] == [("X", "m")]


def test_a_missing_resource_is_none_and_no_failure(cloud_fixture: CloudFixture) -> None:
    machines, store = cloud_fixture.machines(), cloud_fixture.store()
    assert machines.get(ZONE, "nb-nothing") is None
    assert machines.delete(ZONE, "nb-nothing", request_id=str(uuid.uuid4())) is None
    assert machines.serial(ZONE, "nb-nothing", 0) is None
    assert store.read("calls/nothing") is None
    assert store.read_newer("calls/nothing", 0) is None
    assert store.stat("calls/nothing") is None
    assert store.delete("calls/nothing") is False


def test_the_clock_of_the_answers_is_computes(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.clock.advance(100_000)
    assert abs(cloud_fixture.machines().now() - cloud_fixture.clock.now()) < 5


# Cloud Storage


def test_a_create_meets_its_own_object_after_a_lost_reply(cloud_fixture: CloudFixture) -> None:
    store, name = cloud_fixture.store(), f"calls/{uuid.uuid4().hex}"
    cloud_fixture.fault("storage.objects.insert", "drop_after")
    made = store.create(name, b"mine", content_type="text/plain")
    assert made == store.stat(name)


def test_a_create_never_takes_anothers_object_for_its_own(cloud_fixture: CloudFixture) -> None:
    store, name = cloud_fixture.store(), f"calls/{uuid.uuid4().hex}"
    assert store.create(name, b"theirs", content_type="text/plain") is not None
    assert store.create(name, b"mine", content_type="text/plain") is None
    assert store.read(name) == b"theirs"


def test_bytes_that_are_stored_broken_are_never_returned(cloud_fixture: CloudFixture) -> None:
    store, name = cloud_fixture.store(), f"calls/{uuid.uuid4().hex}"
    cloud_fixture.fault("storage.objects.insert", "corrupt")
    store.create(name, b"some bytes", content_type="text/plain")
    started = cloud_fixture.time.monotonic()
    with pytest.raises(CallFailed) as caught:
        store.read(name)
    assert caught.value.code == "checksumMismatch"
    assert cloud_fixture.time.monotonic() - started < 30, "what is stored broken stays broken"


def test_of_a_large_object_no_more_is_read_than_was_asked_for(cloud_fixture: CloudFixture) -> None:
    store, name = cloud_fixture.store(), f"calls/{uuid.uuid4().hex}"
    store.create(name, bytes(24 * 2**20), content_type="text/plain")
    tracemalloc.start()
    content = store.read(name, max_bytes=1000)
    newer = store.read_newer(name, 0, max_bytes=1000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert content is not None
    assert newer is not None
    assert (len(content), len(newer[0])) == (1001, 1001)
    assert newer[1] > 0
    assert peak < 8 * 2**20
    assert len(store.read(name) or b"") == 24 * 2**20


def test_a_missing_bucket_is_no_missing_object(cloud_fixture: CloudFixture) -> None:
    store = cloud_fixture.store()
    store._bucket = store._client.bucket("nowhere-at-all")
    with pytest.raises(CallFailed) as caught:
        store.read("x")
    assert caught.value.http_status == 404


def test_an_object_of_another_generation_is_not_copied(cloud_fixture: CloudFixture) -> None:
    store, name = cloud_fixture.store(), f"calls/{uuid.uuid4().hex}"
    first = store.replace(name, b"first", content_type="text/plain")
    store.replace(name, b"second", content_type="text/plain")
    with pytest.raises(CallFailed):
        store.copy(first, name + "-copy", over=0)


def test_no_log_at_any_level_has_a_token(
    cloud_fixture: CloudFixture, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = str(cloud_fixture.access().credentials.token)
    cloud_fixture.fault("storage.objects.list", "error", status=403, reason="forbidden", message="No.")
    with pytest.raises(CallFailed) as refused:
        cloud_fixture.store().list("logged/")
    cloud_fixture.store().create("logged/a", b"", content_type="text/plain")
    cloud_fixture.machines().zones("us-central1")
    assert "storage" in caplog.text
    for told in (caplog.text, str(refused.value), repr(refused.value.__dict__)):
        assert token not in told
        assert "Bearer" not in told
