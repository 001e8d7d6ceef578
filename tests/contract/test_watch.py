"""Following one attempt: a slow VM is told from a lost one, and only the heartbeat's movement counts as life."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from builder.act.fleet import Vm
from builder.act.watch import QUIET, SILENCE, Log, Watch, parse_heartbeat
from builder.errors import EnvironmentFailed, ProjectSetup, TimeLimit
from builder.plan.make import Plan
from builder.plan.vm_spec import Limits
from tests.contract.world import World

LIMITS = Limits(boot=60, notebook=900, cell=None)


class Bench:
    """A VM that runs, a watch on it, and the hand that writes what its guest would."""

    def __init__(self, world: World, plan: Plan) -> None:
        self.world = world
        self.fleet = world.fleet()
        self.vm: Vm = world.placement(self.fleet).place(world.order(plan))
        self.vm = replace(self.vm, attempt=replace(self.vm.attempt, nonce="n0nce"))
        world.booted()
        self.prefix = f"watch/{self.vm.name}-{id(self)}/"
        self.relayed: list[str] = []
        self.wishes: list[object] = []
        self.upload_seconds = 0.0
        self.log = Log()
        self.store = world.store()

    def watch(self, limits: Limits = LIMITS) -> Watch:
        return Watch(
            vm=self.vm,
            prefix=self.prefix,
            limits=limits,
            store=self.store,
            machines=self.fleet.machines,
            clock=self.world.time,
            supply=self.supply,
            relay=self.relayed.append,
            log=self.log,
        )

    def put(self, name: str, content: bytes) -> None:
        self.store.replace(self.prefix + name, content, content_type="text/plain")

    def beat(self, counter: int, phase: str = "notebook", chunks: int = 0, nonce: str = "n0nce") -> None:
        beat = {
            "nonce": nonce,
            "counter": counter,
            "phase": phase,
            "cell": 1,
            "cells": 2,
            "log_chunks": chunks,
        }
        self.put("heartbeat.json", json.dumps(beat).encode())

    def supply(self, wish: object) -> None:
        self.wishes.append(wish)
        self.world.time.sleep(self.upload_seconds)

    def ask(self, kit: object, nonce: str = "n0nce") -> None:
        """What the bootstrap writes in the place of the first heartbeat."""
        wish = {"schema": 1, "nonce": nonce, "attempt": 1, "phase": "kit", "kit": kit}
        self.put("heartbeat.json", json.dumps(wish).encode())

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Do something when the watch has waited so long."""
        self.world.clock.call_later(seconds, action)

    def end(self, chunks: int = 0) -> None:
        """What a guest does last."""
        self.put("evidence.json", b"{}")
        self.beat(99, "done", chunks=chunks)


@pytest.fixture
def bench(world: World, plan: Plan) -> Bench:
    return Bench(world, plan)


def test_evidence_ends_the_watch_and_the_log_is_whole(bench: Bench) -> None:
    bench.put("log/000001.txt", b"# one\n| two\n")
    bench.put("log/000002.txt", b"| three\n")
    bench.beat(1, "done", chunks=1)
    bench.put("evidence.json", b"{}")
    assert bench.watch().until_evidence() == b"{}"
    assert bench.relayed == ["# one", "| two", "| three"]


def test_a_vm_that_says_nothing_is_given_up_after_its_boot_timeout_with_its_serial_port(
    bench: Bench, world: World
) -> None:
    world.booted().events.serial(b"google_metadata_script_runner: nothing to run\n")
    with pytest.raises(EnvironmentFailed, match="no sign of life within 60 s") as caught:
        bench.watch().until_evidence()
    assert caught.value.reason == "boot_timeout"
    assert any("nothing to run" in line for line in bench.relayed)


def test_what_the_startup_script_says_of_its_failure_is_heard_at_once(bench: Bench, world: World) -> None:
    world.booted().events.serial(b"x notebook-builder: failed: no_python: no Python 3 on this image\n")
    started = world.time.monotonic()
    with pytest.raises(EnvironmentFailed, match="no Python 3 on this image") as caught:
        bench.watch().until_evidence()
    assert caught.value.reason == "boot_failed"
    assert world.time.monotonic() - started < 30


def test_a_vm_that_asks_for_a_kit_is_heard_once_and_its_boot_goes_on(bench: Bench) -> None:
    bench.ask("cp311")
    bench.later(20, partial(bench.beat, 1))
    bench.later(40, bench.end)
    assert bench.watch().until_evidence() == b"{}"
    assert bench.wishes == ["cp311"]


def test_a_strangers_wish_is_not_heard(bench: Bench) -> None:
    bench.ask("cp311", nonce="another")
    bench.later(20, bench.end)
    bench.watch().until_evidence()
    assert bench.wishes == []


def test_a_wish_is_no_sign_of_life(bench: Bench, world: World) -> None:
    bench.ask("cp311")
    bench.later(
        10, lambda: world.booted().events.serial(b"x notebook-builder: failed: kit: its sha256 is 0\n")
    )
    with pytest.raises(EnvironmentFailed, match="its sha256 is 0") as caught:
        bench.watch().until_evidence()
    assert caught.value.reason == "boot_failed"


def test_a_vm_that_waits_for_a_slow_upload_is_not_refused(bench: Bench, world: World) -> None:
    """It says so once, when it has waited for a while: a missing object is a 403 for who may not list."""
    bench.ask("cp311")
    bench.upload_seconds = 20
    world.booted().events.serial(
        b"x notebook-builder: boot: still waiting for gs://b/ci/kits/0.tar.gz: HTTP 403\n"
    )
    bench.later(22, partial(bench.beat, 1))
    bench.later(30, bench.end)
    assert bench.watch().until_evidence() == b"{}"


def test_a_vm_that_is_refused_after_the_upload_is_a_matter_of_set_up(bench: Bench, world: World) -> None:
    bench.ask("cp311")
    world.booted().events.serial(
        b"x notebook-builder: boot: still waiting for gs://b/ci/kits/0.tar.gz: HTTP 403\n"
    )
    with pytest.raises(ProjectSetup, match="HTTP 403"):
        bench.watch().until_evidence()


def test_a_vm_that_asks_and_then_says_nothing_is_given_up_after_its_boot_timeout(bench: Bench) -> None:
    bench.ask("cp311")
    with pytest.raises(EnvironmentFailed, match="no sign of life within 60 s"):
        bench.watch().until_evidence()


@pytest.mark.parametrize("status", [403, 404, 503])
def test_a_serial_port_that_cannot_be_read_decides_nothing(bench: Bench, world: World, status: int) -> None:
    world.fault("compute.instances.getSerialPortOutput", "error", times=10_000, status=status, message="no")
    bench.later(20, bench.end)
    assert bench.watch().until_evidence() == b"{}"


def test_bytes_that_the_serial_port_has_lost_are_marked(bench: Bench, world: World) -> None:
    world.booted().events.serial(b"first\n")
    bench.later(20, lambda: world.booted().events.serial((b"x" * 1023 + b"\n") * 1500))
    with pytest.raises(EnvironmentFailed):
        bench.watch().until_evidence()
    assert bench.relayed


def test_a_vm_that_falls_silent_is_given_up(bench: Bench, world: World) -> None:
    bench.beat(1)
    started = world.time.monotonic()
    with pytest.raises(EnvironmentFailed, match="silent") as caught:
        bench.watch().until_evidence()
    assert caught.value.reason == "heartbeat_lost"
    assert SILENCE < world.time.monotonic() - started < SILENCE + 10


def test_the_same_heartbeat_written_again_is_no_life(bench: Bench, world: World) -> None:
    bench.beat(1)
    bench.later(150, partial(bench.beat, 1))
    started = world.time.monotonic()
    with pytest.raises(EnvironmentFailed, match="silent"):
        bench.watch().until_evidence()
    assert world.time.monotonic() - started < SILENCE + 20


def test_a_strangers_heartbeat_is_no_life(bench: Bench) -> None:
    bench.beat(1, nonce="another")
    with pytest.raises(EnvironmentFailed, match="no sign of life"):
        bench.watch().until_evidence()


def test_a_builder_that_slept_for_an_hour_judges_by_what_came_meanwhile(bench: Bench, world: World) -> None:
    bench.beat(1)
    bench.later(5, lambda: setattr(world.time, "_slept", world.time._slept + 3000))
    bench.later(5, lambda: bench.beat(2, "done"))
    bench.later(8, lambda: bench.put("evidence.json", b"{}"))
    limits = Limits(boot=60, notebook=9000, cell=None)
    assert bench.watch(limits).until_evidence() == b"{}"


@pytest.mark.parametrize(
    ("action", "reason", "words"),
    [
        ("vanish", "vm_lost", "left no evidence: its host failed"),
        ("stop", "vm_lost", "left no evidence"),
        ("preempt", "preempted", "took the Spot VM back"),
    ],
)
def test_a_vm_that_ends_without_evidence_is_lost(
    world: World, plan: Plan, action: str, reason: str, words: str
) -> None:
    world.fault("vm.life", action, after=20)
    bench = Bench(world, plan)
    bench.beat(1)
    started = world.time.monotonic()
    with pytest.raises(EnvironmentFailed, match=words) as caught:
        bench.watch().until_evidence()
    assert caught.value.reason == reason
    assert world.time.monotonic() - started < 20 + 30


def test_evidence_of_a_vm_that_has_gone_counts(world: World, plan: Plan) -> None:
    world.fault("vm.life", "vanish", after=5)
    bench = Bench(world, plan)
    bench.beat(1)
    bench.later(6, lambda: bench.put("evidence.json", b"{}"))
    assert bench.watch().until_evidence() == b"{}"


def test_compute_being_down_does_not_end_a_run_whose_heart_beats(bench: Bench, world: World) -> None:
    world.fault("compute.instances.get", "error", times=10_000, status=503)
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
    assert bench.relayed == ["| first", "| second"]


def test_a_run_that_outlasts_everything_is_a_time_limit(bench: Bench) -> None:
    limits = Limits(boot=60, notebook=1, cell=None)
    for number in range(1, 60):
        bench.later(number * 20, partial(bench.beat, number))
    with pytest.raises(TimeLimit) as caught:
        bench.watch(limits).until_evidence()
    assert caught.value.reason == "run_timeout"


def test_watching_costs_little_while_nothing_happens(bench: Bench, world: World) -> None:
    """Over 170 quiet seconds: a conditional read each second, and a look at evidence and VM every few."""
    bench.beat(1)
    calls: list[str] = []
    real = world.findings.call
    world.findings.call = lambda method: (calls.append(method), real(method))[1]  # type: ignore[method-assign,func-returns-value]
    with pytest.raises(EnvironmentFailed):
        bench.watch().until_evidence()
    assert calls.count("compute.instances.get") < SILENCE / 5 + 5
    assert calls.count("storage.objects.get") < SILENCE * 1.3 + 2 * QUIET


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"null", b'{"nonce": "n"}', b'{"nonce": "n", "counter": "x"}', b"\xff"],
    ids=["empty", "half of an object", "a list", "null", "no counter", "counter as text", "not UTF-8"],
)
def test_a_heartbeat_that_cannot_be_read_is_none(raw: bytes) -> None:
    assert parse_heartbeat(raw, "n") is None


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
def test_a_heartbeat_of_a_hostile_vm_is_none(field: str, name: str) -> None:
    """It stands for silence, which the builder is prepared for, and is no bug of the builder's."""
    good = {"nonce": "n0nce", "counter": 1, "phase": "notebook", "cell": 1, "cells": 2, "log_chunks": 0}
    raw = json.dumps({**good, field: "@"}).encode().replace(b'"@"', STRANGE[name])
    assert parse_heartbeat(json.dumps(good).encode(), "n0nce") is not None
    assert parse_heartbeat(raw, "n0nce") is None


@pytest.mark.parametrize("name", ["infinity", "nesting"])
def test_a_watch_goes_on_after_a_hostile_heartbeat(bench: Bench, name: str) -> None:
    bench.beat(1)
    raw = b'{"nonce": "n0nce", "phase": "notebook", "cell": 1, "cells": 2, "log_chunks": 0, "counter": @}'
    bench.later(20, lambda: bench.put("heartbeat.json", raw.replace(b"@", STRANGE[name])))
    bench.later(40, bench.end)
    assert bench.watch().until_evidence() == b"{}"
