"""Following one attempt: a slow VM is told from a lost one, and only the heartbeat's movement counts as life."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from google.cloud import compute_v1
from google.oauth2.credentials import Credentials

from builder.act.vm import Vm
from builder.act.watch import QUIET, SILENCE, Log, Watch
from builder.errors import EnvironmentFailed, ProjectSetup, TimeLimit
from builder.plan.build_plan import Plan
from builder.plan.vm_spec import Limits
from builder.vm.codec import ProtocolError
from builder.vm.protocol import (
    MAX_CHUNK_BYTES,
    MAX_EVIDENCE_BYTES,
    MAX_HEARTBEAT_BYTES,
    Evidence,
    decode_heartbeat,
)
from localcloud.services.storage import calls_downloads, content
from tests.integration.cloud_fixture import CloudFixture
from tests.integration.simulated_guests import hashed

LIMITS = Limits(boot=60, notebook=900)
FIRST_HEARTBEAT = "# first heartbeat 0 s after the VM's start"


class Bench:
    """A VM that runs, a watch on it, and the hand that writes what its guest would."""

    def __init__(self, cloud_fixture: CloudFixture, plan: Plan) -> None:
        self.cloud_fixture = cloud_fixture
        self.fleet = cloud_fixture.fleet()
        self.vm: Vm = cloud_fixture.placement(self.fleet).place(cloud_fixture.vm_request(plan))
        self.vm = replace(self.vm, attempt=replace(self.vm.attempt, nonce="n0nce"))
        cloud_fixture.booted()
        self.prefix = f"watch/{uuid.uuid4().hex}/"  # another test of the module left objects below its own
        self.relayed: list[str] = []
        self.wishes: list[object] = []
        self.upload_seconds = 0.0
        self.log = Log()
        self.store = cloud_fixture.store()

    def watch(self, limits: Limits = LIMITS) -> Watch:
        return Watch(
            vm=self.vm,
            prefix=self.prefix,
            limits=limits,
            store=self.store,
            machines=self.fleet.machines,
            clock=self.cloud_fixture.time,
            supply=self.supply,
            relay=self.relayed.append,
            log=self.log,
        )

    def put(self, name: str, content: bytes) -> None:
        self.store.replace(self.prefix + name, content, content_type="text/plain")

    def beat(self, counter: int, phase: str = "notebook", chunks: int = 0, nonce: str = "n0nce") -> None:
        beat = {
            "schema": 1,
            "nonce_sha256": hashed(nonce),
            "attempt": 1,
            "counter": counter,
            "phase": phase,
            "cell": 1,
            "cells": 2,
            "log_chunks": chunks,
        }
        self.put("heartbeat.json", json.dumps(beat).encode())

    def supply(self, wish: object) -> None:
        self.wishes.append(wish)
        self.cloud_fixture.time.sleep(self.upload_seconds)

    def ask(self, kit: object, nonce: str = "n0nce") -> None:
        """Write the request that the bootstrap writes instead of the first heartbeat."""
        wish = {"schema": 1, "nonce_sha256": hashed(nonce), "attempt": 1, "phase": "kit", "kit": kit}
        self.put("heartbeat.json", json.dumps(wish).encode())

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Do something when the watch has waited so long."""
        self.cloud_fixture.clock.call_later(seconds, action)

    def end(self, chunks: int = 0) -> None:
        """Write the evidence and the last heartbeat."""
        self.put("evidence.json", b"{}")
        self.beat(99, "done", chunks=chunks)


@pytest.fixture
def bench(cloud_fixture: CloudFixture, plan: Plan) -> Bench:
    return Bench(cloud_fixture, plan)


def test_evidence_ends_the_watch_and_the_log_is_whole(bench: Bench) -> None:
    bench.put("log/000001.txt", b"# one\n| two\n")
    bench.put("log/000002.txt", b"| three\n")
    bench.beat(1, "done", chunks=1)
    bench.put("evidence.json", b"{}")
    assert bench.watch().until_evidence() == b"{}"
    assert bench.relayed == [FIRST_HEARTBEAT, "# one", "| two", "| three"]


_LARGE = 96 * 2**20
# What the connection's buffers hold when the reader ends it, and some more.
_ON_THE_WAY = 32 * 2**20


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the pieces of objects that Cloud Storage has sent."""
    sent: list[int] = []

    def counted(*arguments: Any) -> Iterator[bytes]:
        for piece in content.part_of(*arguments):
            sent.append(len(piece))
            yield piece

    monkeypatch.setattr(calls_downloads, "part_of", counted)
    return sent


def test_evidence_that_is_too_large_is_not_read_beyond_its_limit(bench: Bench, served: list[int]) -> None:
    bench.put("evidence.json", b"{" + b" " * _LARGE + b"}")
    bench.beat(1, "done")
    read = bench.watch().until_evidence()
    assert len(read) == MAX_EVIDENCE_BYTES + 1
    assert sum(served) < MAX_EVIDENCE_BYTES + _ON_THE_WAY
    with pytest.raises(ProtocolError, match=f"evidence.json: more than the {MAX_EVIDENCE_BYTES} bytes"):
        Evidence.decode(read)


def test_a_heartbeat_that_is_too_large_is_not_read_beyond_its_limit(bench: Bench, served: list[int]) -> None:
    bench.put("heartbeat.json", b"{" + b" " * _LARGE + b"}")
    with pytest.raises(EnvironmentFailed, match=f"heartbeat.json: more than the {MAX_HEARTBEAT_BYTES} bytes"):
        bench.watch().until_evidence()
    assert sum(served) < _ON_THE_WAY, "it has one generation, and is read once"


def test_a_part_of_the_log_that_is_too_large_is_not_read_beyond_its_limit(
    bench: Bench, served: list[int]
) -> None:
    bench.put("log/000001.txt", b"| line\n" * (_LARGE // 7))
    bench.put("log/000002.txt", b"| the end\n")
    bench.beat(1, "done", chunks=2)
    bench.put("evidence.json", b"{}")
    assert bench.watch().until_evidence() == b"{}"
    assert sum(served) < _ON_THE_WAY
    assert sum(map(len, bench.relayed)) < MAX_CHUNK_BYTES
    note = f"# 000001.txt: the log after {MAX_CHUNK_BYTES} bytes of this part is not read"
    assert bench.relayed[-2:] == [note, "| the end"]


def test_a_vm_that_says_nothing_is_given_up_after_its_boot_timeout_with_its_serial_port(
    bench: Bench, cloud_fixture: CloudFixture
) -> None:
    cloud_fixture.booted().events.serial(b"google_metadata_script_runner: nothing to run\n")
    with pytest.raises(EnvironmentFailed, match="no heartbeat within 60 s") as caught:
        bench.watch().until_evidence()
    assert caught.value.reason == "boot_timeout"
    assert any("nothing to run" in line for line in bench.relayed)


@pytest.fixture
def closed_subnetwork(cloud_fixture: CloudFixture) -> None:
    """Switch Private Google Access of the VM's subnetwork off."""
    client = compute_v1.SubnetworksClient(
        credentials=Credentials(cloud_fixture.iam.owner_token),
        client_options={"api_endpoint": cloud_fixture.url},
    )
    client.set_private_ip_google_access_unary(
        project="local-project",
        region="us-central1",
        subnetwork="default",
        subnetworks_set_private_ip_google_access_request_resource=compute_v1.SubnetworksSetPrivateIpGoogleAccessRequest(
            private_ip_google_access=False
        ),
    )


@pytest.mark.usefixtures("closed_subnetwork")
@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param(b"nothing to run\n", "no heartbeat within 60 s", id="silence"),
        pytest.param(
            b"x notebook-builder: failed: unreachable: no connection to storage opens: timed out\n",
            "could not start its runner: unreachable",
            id="reported",
        ),
    ],
)
def test_a_vm_without_private_google_access_that_reaches_nothing_is_a_mistake_in_the_set_up(
    bench: Bench, cloud_fixture: CloudFixture, line: bytes, words: str
) -> None:
    cloud_fixture.booted().events.serial(line)
    with pytest.raises(ProjectSetup, match=words) as caught:
        bench.watch().until_evidence()
    assert caught.value.reason == "no_private_google_access"
    command = "gcloud compute networks subnets update default --project=local-project --region=us-central1"
    assert command in caught.value.advice


@pytest.mark.usefixtures("closed_subnetwork")
def test_a_vm_that_wrote_something_has_reached_google(bench: Bench) -> None:
    bench.ask("cp311")
    with pytest.raises(EnvironmentFailed) as caught:
        bench.watch().until_evidence()
    assert caught.value.reason == "boot_timeout"


@pytest.mark.usefixtures("closed_subnetwork")
def test_a_subnetwork_that_cannot_be_read_explains_nothing(bench: Bench, cloud_fixture: CloudFixture) -> None:
    cloud_fixture.fault("compute.subnetworks.get", "error", status=403, message="no")
    with pytest.raises(EnvironmentFailed) as caught:
        bench.watch().until_evidence()
    assert caught.value.reason == "boot_timeout"


def test_a_failure_that_the_startup_script_prints_ends_the_wait_at_once(
    bench: Bench, cloud_fixture: CloudFixture
) -> None:
    cloud_fixture.booted().events.serial(
        b"x notebook-builder: failed: no_python: no Python 3 on this image\n"
    )
    started = cloud_fixture.time.monotonic()
    with pytest.raises(ProjectSetup, match="no Python 3 on this image") as caught:
        bench.watch().until_evidence()
    assert caught.value.reason == "no_python"
    assert cloud_fixture.time.monotonic() - started < 30


def test_a_vms_request_for_a_kit_is_served_once_and_its_boot_continues(bench: Bench) -> None:
    bench.ask("cp311")
    bench.later(20, partial(bench.beat, 1))
    bench.later(40, bench.end)
    assert bench.watch().until_evidence() == b"{}"
    assert bench.wishes == ["cp311"]


def test_a_request_for_a_kit_without_the_nonce_is_ignored(bench: Bench) -> None:
    bench.ask("cp311", nonce="another")
    bench.later(20, bench.end)
    bench.watch().until_evidence()
    assert bench.wishes == []


def test_a_wish_is_no_sign_of_life(bench: Bench, cloud_fixture: CloudFixture) -> None:
    bench.ask("cp311")
    bench.later(
        10,
        lambda: cloud_fixture.booted().events.serial(b"x notebook-builder: failed: kit: its sha256 is 0\n"),
    )
    with pytest.raises(EnvironmentFailed, match="its sha256 is 0") as caught:
        bench.watch().until_evidence()
    assert caught.value.reason == "boot_failed"


def test_a_vm_that_waits_for_a_slow_upload_is_not_refused(bench: Bench, cloud_fixture: CloudFixture) -> None:
    """It says so once, when it has waited for a while: a missing object is a 403 for who may not list."""
    bench.ask("cp311")
    bench.upload_seconds = 20
    cloud_fixture.booted().events.serial(
        b"x notebook-builder: boot: still waiting for gs://b/ci/kits/0.tar.gz: HTTP 403\n"
    )
    bench.later(22, partial(bench.beat, 1))
    bench.later(30, bench.end)
    assert bench.watch().until_evidence() == b"{}"


def test_a_vm_that_is_refused_after_the_upload_is_a_matter_of_set_up(
    bench: Bench, cloud_fixture: CloudFixture
) -> None:
    bench.ask("cp311")
    cloud_fixture.booted().events.serial(
        b"x notebook-builder: boot: still waiting for gs://b/ci/kits/0.tar.gz: HTTP 403\n"
    )
    with pytest.raises(ProjectSetup, match="HTTP 403"):
        bench.watch().until_evidence()


def test_a_vm_that_asks_and_then_says_nothing_is_given_up_after_its_boot_timeout(bench: Bench) -> None:
    bench.ask("cp311")
    with pytest.raises(EnvironmentFailed, match="no heartbeat within 60 s"):
        bench.watch().until_evidence()


@pytest.mark.parametrize("status", [403, 404, 503])
def test_a_serial_port_that_cannot_be_read_decides_nothing(
    bench: Bench, cloud_fixture: CloudFixture, status: int
) -> None:
    cloud_fixture.fault(
        "compute.instances.getSerialPortOutput", "error", times=10_000, status=status, message="no"
    )
    bench.later(20, bench.end)
    assert bench.watch().until_evidence() == b"{}"


def test_bytes_that_the_serial_port_has_lost_are_marked(bench: Bench, cloud_fixture: CloudFixture) -> None:
    cloud_fixture.booted().events.serial(b"first\n")
    bench.later(20, lambda: cloud_fixture.booted().events.serial((b"x" * 1023 + b"\n") * 1500))
    with pytest.raises(EnvironmentFailed):
        bench.watch().until_evidence()
    marks = [line for line in bench.relayed if re.fullmatch(r"#serial \[\d+ earlier bytes lost\]", line)]
    assert len(marks) == 1, bench.relayed[:3]
    assert bench.relayed.index(marks[0]) < bench.relayed.index(f"#serial {'x' * 1023}")


def test_a_vm_that_falls_silent_is_given_up(bench: Bench, cloud_fixture: CloudFixture) -> None:
    bench.beat(1)
    started = cloud_fixture.time.monotonic()
    with pytest.raises(EnvironmentFailed, match="has sent no heartbeat") as caught:
        bench.watch().until_evidence()
    assert caught.value.reason == "heartbeat_lost"
    assert SILENCE < cloud_fixture.time.monotonic() - started < SILENCE + 10


def test_a_vm_whose_watchdog_killed_the_runner_has_reached_its_limit(
    bench: Bench, cloud_fixture: CloudFixture
) -> None:
    """Not a fault of the environment: the notebook would do the same on two more VMs."""
    bench.beat(1)
    cloud_fixture.booted().events.serial(
        b"x notebook-builder: failed: run_limit: the runner was ended at its limit\n"
    )
    with pytest.raises(TimeLimit, match="reached its limit before it had stored") as caught:
        bench.watch().until_evidence()
    assert caught.value.reason == "run_timeout"


def test_the_same_heartbeat_written_again_is_no_life(bench: Bench, cloud_fixture: CloudFixture) -> None:
    bench.beat(1)
    bench.later(150, partial(bench.beat, 1))
    started = cloud_fixture.time.monotonic()
    with pytest.raises(EnvironmentFailed, match="has sent no heartbeat"):
        bench.watch().until_evidence()
    assert cloud_fixture.time.monotonic() - started < SILENCE + 20


def test_a_strangers_heartbeat_is_no_life(bench: Bench) -> None:
    bench.beat(1, nonce="another")
    with pytest.raises(EnvironmentFailed, match="no heartbeat"):
        bench.watch().until_evidence()


def test_a_builder_that_was_suspended_for_an_hour_judges_by_the_latest_heartbeat(
    bench: Bench, cloud_fixture: CloudFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleep = cloud_fixture.time.sleep
    suspended: list[bool] = []

    def suspend_once(seconds: float) -> None:
        """Sleep; the third time for an hour, in which the VM goes on."""
        sleep(seconds)
        suspended.append(True)
        if len(suspended) == 3:
            bench.beat(2, "done")
            cloud_fixture.time._slept += 3000
            bench.later(3, lambda: bench.put("evidence.json", b"{}"))

    monkeypatch.setattr(cloud_fixture.time, "sleep", suspend_once)
    bench.beat(1)
    limits = Limits(boot=60, notebook=9000)
    assert bench.watch(limits).until_evidence() == b"{}"
    assert len(suspended) > 3


@pytest.mark.parametrize(
    ("action", "reason", "words"),
    [
        ("vanish", "vm_lost", "left no evidence: its host failed"),
        ("stop", "vm_lost", "left no evidence"),
        ("preempt", "preempted", "took the Spot VM back"),
    ],
)
def test_a_vm_that_ends_without_evidence_is_lost(
    cloud_fixture: CloudFixture, plan: Plan, action: str, reason: str, words: str
) -> None:
    cloud_fixture.fault("vm.life", action, after=20)
    bench = Bench(cloud_fixture, plan)
    bench.beat(1)
    started = cloud_fixture.time.monotonic()
    with pytest.raises(EnvironmentFailed, match=words) as caught:
        bench.watch().until_evidence()
    assert caught.value.reason == reason
    assert cloud_fixture.time.monotonic() - started < 20 + 30


def test_a_preempted_vm_has_its_notice_period_to_save_results(
    cloud_fixture: CloudFixture, plan: Plan
) -> None:
    cloud_fixture.fault("vm.life", "preempt", after=5, notice=30)
    bench = Bench(cloud_fixture, plan)
    bench.beat(1)
    bench.later(8, partial(bench.beat, 2, "preempted"))
    bench.later(17, lambda: bench.put("evidence.json", b"{}"))
    assert bench.watch().until_evidence() == b"{}"


def test_a_heartbeat_that_says_preempted_names_the_cause_where_compute_does_not(
    cloud_fixture: CloudFixture, plan: Plan
) -> None:
    cloud_fixture.fault("vm.life", "preempt", after=5, notice=5)
    cloud_fixture.fault("compute.zoneOperations.list", "error", status=403, reason="forbidden", message="no")
    bench = Bench(cloud_fixture, plan)
    bench.beat(1)
    bench.later(8, partial(bench.beat, 2, "preempted"))
    with pytest.raises(EnvironmentFailed, match="took the Spot VM back") as caught:
        bench.watch().until_evidence()
    assert caught.value.reason == "preempted"
    assert "NB_PROVISIONING=spot-then-standard" in caught.value.advice


def test_evidence_of_a_vm_that_has_gone_counts(cloud_fixture: CloudFixture, plan: Plan) -> None:
    cloud_fixture.fault("vm.life", "vanish", after=5)
    bench = Bench(cloud_fixture, plan)
    bench.beat(1)
    bench.later(6, lambda: bench.put("evidence.json", b"{}"))
    assert bench.watch().until_evidence() == b"{}"


def test_compute_being_down_does_not_end_a_run_whose_heart_beats(
    bench: Bench, cloud_fixture: CloudFixture
) -> None:
    cloud_fixture.fault("compute.instances.get", "error", times=10_000, status=503)
    for number in range(1, 20):
        bench.later(number * 20, partial(bench.beat, number))
    bench.later(390, bench.end)
    assert bench.watch().until_evidence() == b"{}"


def test_a_log_chunk_that_is_late_is_waited_for_and_none_is_skipped(bench: Bench) -> None:
    bench.beat(1, chunks=2)
    bench.put("log/000002.txt", b"| second\n")
    bench.later(3, lambda: bench.put("log/000001.txt", b"| first\n"))
    bench.later(6, lambda: bench.end(chunks=2))
    bench.watch().until_evidence()
    assert bench.relayed == [FIRST_HEARTBEAT, "| first", "| second"]


@pytest.mark.exhaustive
def test_a_run_that_outlasts_everything_is_a_time_limit(bench: Bench) -> None:
    limits = Limits(boot=60, notebook=1)
    for number in range(1, 60):
        bench.later(number * 20, partial(bench.beat, number))
    with pytest.raises(TimeLimit) as caught:
        bench.watch(limits).until_evidence()
    assert caught.value.reason == "run_timeout"


def test_watching_costs_little_while_nothing_happens(bench: Bench, cloud_fixture: CloudFixture) -> None:
    """Over 170 quiet seconds: a conditional read each second, and a look at evidence and VM every few."""
    bench.beat(1)
    calls: list[str] = []
    real = cloud_fixture.findings.call
    cloud_fixture.findings.call = lambda method: (calls.append(method), real(method))[1]  # type: ignore[method-assign,func-returns-value]
    with pytest.raises(EnvironmentFailed):
        bench.watch().until_evidence()
    assert calls.count("compute.instances.get") < SILENCE / 5 + 5
    assert calls.count("storage.objects.get") < SILENCE * 1.3 + 2 * QUIET


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"schema": 1, "nonce_sha256": "n"}',
        b'{"schema": 1, "nonce_sha256": "n", "attempt": 1, "counter": "x"}',
        b"\xff",
    ],
    ids=["empty", "half of an object", "a list", "null", "no counter", "counter as text", "not UTF-8"],
)
def test_a_heartbeat_that_cannot_be_read_is_one_error(raw: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"^heartbeat\.json: "):
        decode_heartbeat(raw)


STRANGE = {
    "infinity": b"Infinity",
    "minus infinity": b"-Infinity",
    "no number": b"NaN",
    "too large a number": b"1e999",
    "many digits": b"9" * 5000,
    "negative": b"-1",
    "a fraction": b"1.5",
    "true": b"true",
    "text": b'"1"',
    "nesting": b"[" * 100_000,
    "closed nesting": b"[" * 500 + b"]" * 500,
}


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("field", ["counter", "cell", "cells", "log_chunks"])
def test_a_heartbeat_of_a_hostile_vm_is_one_error(field: str, name: str) -> None:
    """It stands for silence, which the builder is prepared for, and is no bug of the builder's."""
    own = {"schema": 1, "nonce_sha256": "n0nce", "attempt": 1}
    good = {**own, "counter": 1, "phase": "notebook", "cell": 1, "cells": 2, "log_chunks": 0}
    raw = json.dumps({**good, field: "@"}).encode().replace(b'"@"', STRANGE[name])
    assert decode_heartbeat(json.dumps(good).encode()).nonce_sha256 == "n0nce"
    with pytest.raises(ProtocolError):
        decode_heartbeat(raw)


@pytest.mark.parametrize("name", ["infinity", "nesting"])
def test_a_watch_goes_on_after_a_hostile_heartbeat(bench: Bench, name: str) -> None:
    bench.beat(1)
    good = {
        "schema": 1,
        "nonce_sha256": hashed("n0nce"),
        "attempt": 1,
        "phase": "notebook",
        "cell": 1,
        "cells": 2,
        "log_chunks": 0,
    }
    raw = json.dumps({**good, "counter": "@"}).encode().replace(b'"@"', STRANGE[name])
    bench.later(20, lambda: bench.put("heartbeat.json", raw))
    bench.later(40, bench.end)
    assert bench.watch().until_evidence() == b"{}"


def test_a_heartbeat_of_another_schema_explains_the_silence(bench: Bench) -> None:
    bench.put("heartbeat.json", b'{"schema": 2}')
    explained = r"no heartbeat within 60 s of its start \(.*its schema is 2, and 1 was expected"
    with pytest.raises(EnvironmentFailed, match=explained) as caught:
        bench.watch().until_evidence()
    assert caught.value.reason == "boot_timeout"


def test_a_readable_heartbeat_ends_the_explanation_of_an_unreadable_one(bench: Bench) -> None:
    bench.put("heartbeat.json", b'{"schema": 2}')
    bench.later(20, lambda: bench.beat(1))
    with pytest.raises(EnvironmentFailed, match=r"has sent no heartbeat for \d+ s\.$") as caught:
        bench.watch().until_evidence()
    assert caught.value.reason == "heartbeat_lost"
