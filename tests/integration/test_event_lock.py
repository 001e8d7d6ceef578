"""One run per event.

Duplicates, dead owners, lost replies, and an owner that was thought dead, through Google's own client.
"""

from __future__ import annotations

import io
import json
import signal
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from builder.act import event_lock
from builder.act.event_lock import EventLock, Holder
from builder.act.fleet import Fleet
from builder.act.placement import Placement
from builder.act.run import Run
from builder.commands.run import carry_out
from builder.errors import EnvironmentFailed, ExitCode, Interrupted
from builder.gcp.clients import CALL_BUDGET, CALL_TIMEOUT
from builder.gcp.compute import GoogleMachines
from builder.gcp.storage import GoogleObjectStore
from builder.model import GcsLocation, Listed
from builder.plan.build_plan import Plan
from builder.ports import CallFailed
from builder.report.console import Console
from builder.waiting import Cancellation
from tests.integration.cloud_fixture import BUCKET, CloudFixture, MovedClock, StandIn
from tests.integration.simulated_guests import altered, execute, green, open_session, with_fault
from tests.patience import PATIENCE
from tests.polling import eventually

Json = dict[str, Any]
# The clocks of both runs are moved, the pause between two renewals is not: seconds.
BRISK, LOOK = 0.05, 0.5


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renewals that come before a clock that is moved has passed 120 seconds."""
    monkeypatch.setattr(event_lock, "_RENEW_SECONDS", BRISK)
    monkeypatch.setattr(event_lock, "_LOOK_SECONDS", LOOK)


@pytest.fixture
def event(cloud_fixture: CloudFixture) -> str:
    """An event's id, in a location of its own."""
    name = f"e{uuid.uuid4().hex[:8]}"
    cloud_fixture.use_prefix(f"ci-{name}")
    return name


def bury(lock: EventLock) -> None:
    """End the thread of a lock whose run was killed: a process would have taken it along."""
    lock._over.set()
    if lock._thread.is_alive():
        lock._thread.join(PATIENCE)


class GuestSession:
    """Locks of one event, each as a process of its own would have it."""

    def __init__(self, cloud_fixture: CloudFixture, event: str) -> None:
        self.cloud_fixture, self.event = cloud_fixture, event
        self.told: list[str] = []
        self.stopped: list[EventLock] = []

    def lock(self, clock: MovedClock | None = None, *, budget: float = CALL_BUDGET) -> EventLock:
        """`budget`: seconds in which its calls are repeated."""
        store = GoogleObjectStore(self.cloud_fixture.access(), BUCKET, self.cloud_fixture.time, budget=budget)
        self.cloud_fixture.closing.callback(store.close)
        made: EventLock = EventLock(
            store,
            GcsLocation(BUCKET, self.cloud_fixture.prefix),
            self.event,
            clock=clock or self.cloud_fixture.time,
            stop=lambda _error: self.stopped.append(made),
            report=self.told.append,
        )
        self.cloud_fixture.closing.callback(bury, made)
        return made

    def stored(self) -> Json:
        content = self.cloud_fixture.store().read(f"{self.cloud_fixture.prefix}/locks/{self.event}")
        return dict(json.loads(content or b"{}"))

    def put(self, content: bytes) -> None:
        name = f"{self.cloud_fixture.prefix}/locks/{self.event}"
        self.cloud_fixture.store().replace(name, content, content_type="application/json")


@pytest.fixture
def session(cloud_fixture: CloudFixture, event: str) -> GuestSession:
    return GuestSession(cloud_fixture, event)


def rename(lock: EventLock, run: str) -> None:
    """A renewal, at once."""
    lock.hold(run)
    lock.confirm()


# The object alone


def test_the_first_one_holds_the_event_and_says_how_it_ended(session: GuestSession) -> None:
    with session.lock() as lock:
        assert lock.take("event-1") is None
        lock.hold("event-1-2")
        lock.confirm()
        document = session.stored()
        assert document.pop("owner")
        assert document == {
            "schema": 1,
            "event": session.event,
            "run": "event-1-2",
            "renewal": 2,
            "state": "running",
        }
        lock.finish("red")
    document = session.stored()
    assert (document["state"], document["verdict"], document["run"]) == ("done", "red", "event-1-2")
    with session.lock() as another:
        assert another.take("event-2") == Holder("event-1-2", "red")
    assert session.stored() == document
    assert session.told == []


@pytest.mark.usefixtures("brisk")
def test_a_builder_that_renews_its_lease_keeps_the_event(session: GuestSession) -> None:
    with session.lock() as lock, session.lock() as another:
        assert lock.take("one") is None
        assert another.take("two") == Holder("one", "")
        lock.finish("green")
    assert session.stopped == []


def test_a_builder_without_renewal_for_120_seconds_loses_the_event(session: GuestSession) -> None:
    dead, heir = session.lock(), session.lock()
    assert dead.take("one") is None
    bury(dead)  # else it could renew while the heir looks, if the machine is busy
    started = session.cloud_fixture.time.monotonic()
    assert heir.take("two") is None
    assert session.cloud_fixture.time.monotonic() - started >= event_lock.STILL_SECONDS
    assert heir.former == "one"
    assert session.told == [
        f"run one has event {session.event}; waiting up to 120 s for it to renew its lock",
        f"run one does not renew its lock: this run takes over event {session.event}",
    ]
    # Whose VMs may still be there is known even if the heir dies, too.
    assert session.stored()["run"] == "one"
    rename(heir, "two")
    assert session.stored()["run"] == "two"
    with pytest.raises(Interrupted):
        rename(dead, "one")
    assert session.stopped == [dead]
    assert isinstance(dead.lost, EnvironmentFailed)
    assert "run two has it now" in dead.lost.message
    assert dead.lost.reason == "event_lost"
    before = session.stored()
    with pytest.raises(Interrupted):
        dead.finish("green")
    assert session.stopped == [dead], "it is told once"
    assert session.stored() == before
    heir.confirm()
    assert heir.lost is None


@pytest.mark.usefixtures("brisk")
def test_of_two_heirs_one_takes_over(session: GuestSession) -> None:
    session.put(json.dumps({"schema": 1, "run": "dead", "owner": "x", "state": "running"}).encode())
    found: list[Holder | None] = []
    locks = [
        session.lock(MovedClock(session.cloud_fixture.clock, session.cloud_fixture.cancellation))
        for _ in range(4)
    ]
    threads = [
        threading.Thread(target=lambda lock=lock, number=number: found.append(lock.take(f"heir-{number}")))
        for number, lock in enumerate(locks)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found.count(None) == 1, session.told
    assert len(found) == 4
    for lock in locks:
        lock.__exit__(None, None, None)


@pytest.mark.usefixtures("brisk")
def test_an_heir_that_is_slower_sees_the_other_one_live(
    session: GuestSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.put(json.dumps({"schema": 1, "run": "dead", "owner": "x", "state": "running"}).encode())
    quick, slow = session.lock(), session.lock()
    swap = slow._store.swap

    def overtaken(*args: Any, **options: Any) -> Listed | None:
        if not quick.former:
            assert quick.take("quick") is None
            rename(quick, "quick")
        return swap(*args, **options)

    monkeypatch.setattr(slow._store, "swap", overtaken)
    holder = slow.take("slow")
    assert holder is not None
    assert (holder.run, holder.verdict) == ("quick", "")
    assert slow.former == ""
    quick.finish("green")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"{", id="half of an object"),
        pytest.param(b'{"schema": 2, "run": "a", "owner": "b", "state": "done"}', id="other schema"),
        pytest.param(b"", id="empty", marks=pytest.mark.exhaustive),
        pytest.param(b"[]", id="a list", marks=pytest.mark.exhaustive),
        pytest.param(b'{"schema": 1, "run": 1}', id="no owner", marks=pytest.mark.exhaustive),
        pytest.param(b'{"schema": 1, "run": "a", "owner": "b"}', id="no state", marks=pytest.mark.exhaustive),
    ],
)
def test_an_object_that_cannot_be_read_is_reported_and_taken_over(
    session: GuestSession, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    session.put(content)
    lock = session.lock()
    assert lock.take("one") is None
    assert lock.former == "unknown"
    assert "the lock of an event cannot be read" in caplog.text


@pytest.mark.parametrize("action", ["drop_after", "drop_before"])
def test_a_lost_reply_to_the_first_write_is_no_other_owner(session: GuestSession, action: str) -> None:
    session.cloud_fixture.fault("storage.objects.insert", action, match={"name": "*/locks/*"})
    lock = session.lock()
    assert lock.take("one") is None
    assert session.told == []


@pytest.mark.parametrize("action", ["drop_after", "drop_before"])
def test_a_lost_reply_to_a_renewal_is_no_other_owner(session: GuestSession, action: str) -> None:
    lock = session.lock()
    assert lock.take("one") is None
    session.cloud_fixture.fault("storage.objects.insert", action, match={"name": "*/locks/*"})
    rename(lock, "one")
    rename(lock, "one")
    assert lock.lost is None


def test_a_renewal_that_failed_for_us_and_not_in_the_bucket_is_met_again(session: GuestSession) -> None:
    lock = session.lock(budget=0)
    assert lock.take("one") is None
    session.cloud_fixture.fault("storage.objects.insert", "drop_after", match={"name": "*/locks/*"})
    with pytest.raises(CallFailed):
        rename(lock, "two")
    assert session.stored()["run"] == "two"
    rename(lock, "three")
    assert session.stored()["run"] == "three"
    assert lock.lost is None
    assert session.stopped == []


def test_an_object_that_was_removed_is_no_event_of_ours(session: GuestSession) -> None:
    lock = session.lock()
    assert lock.take("one") is None
    session.cloud_fixture.store().delete(lock.object)
    with pytest.raises(Interrupted):
        rename(lock, "one")
    assert lock.lost is not None
    assert "removed" in lock.lost.message


def test_a_run_that_was_suspended_asks_before_it_goes_on(session: GuestSession) -> None:
    lock = session.lock()
    assert lock.take("one") is None
    renewal = session.stored()["renewal"]
    lock.confirm()
    assert session.stored()["renewal"] == renewal
    session.cloud_fixture.time.sleep(event_lock.STILL_SECONDS)
    lock.confirm()
    assert session.stored()["renewal"] > renewal


@pytest.mark.usefixtures("brisk")
def test_after_a_renewal_that_fails_the_next_one_is_made(session: GuestSession) -> None:
    with session.lock(budget=0) as lock:
        assert lock.take("run-1") is None
        session.cloud_fixture.fault(
            "storage.objects.insert", "error", status=503, match={"name": "*/locks/*"}
        )
        eventually(lambda: session.stored()["renewal"] > 3)
        assert lock.lost is None
    assert session.told == []


@pytest.mark.usefixtures("brisk")
def test_a_bug_in_a_renewal_is_reported_and_the_next_one_is_made(
    session: GuestSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = session.lock()
    renew, calls = lock._renew, iter(range(9**9))

    def broken(*arguments: str) -> None:
        if next(calls) == 0:
            raise RuntimeError
        renew(*arguments)

    monkeypatch.setattr(lock, "_renew", broken)
    with lock:
        assert lock.take("run-1") is None
        eventually(lambda: session.stored()["renewal"] > 2)
    eventually(lambda: not lock._thread.is_alive())  # the block has ended
    (warning,) = session.told
    assert warning.startswith("warning: because of a bug in Notebook Builder (RuntimeError)")
    assert f"did not renew its lock on event {session.event}." in warning


def test_done_is_never_written_over_by_a_renewal(session: GuestSession) -> None:
    lock = session.lock()
    assert lock.take("one") is None
    lock.finish("green")
    rename(lock, "one")
    assert session.stored()["state"] == "done"


def test_an_end_that_cannot_be_written_is_a_warning(session: GuestSession) -> None:
    lock = session.lock(budget=0)
    assert lock.take("one") is None
    session.cloud_fixture.fault("storage.objects.insert", "error", status=503, match={"name": "*/locks/*"})
    lock.finish("green")
    (warning,) = session.told
    assert warning.startswith("warning: the event could not be marked as done, and can be repeated: ")
    assert session.stored()["state"] == "running"
    lock.finish("green")
    assert session.stored()["verdict"] == "green"


def test_an_error_before_the_event_is_taken_writes_nothing(session: GuestSession) -> None:
    def fail() -> None:
        with session.lock():
            raise EnvironmentFailed("so it was", reason="so")

    with pytest.raises(EnvironmentFailed):
        fail()
    assert session.stored() == {}


def end_with(lock: EventLock, error: BaseException) -> None:
    with lock:
        lock.take("one")
        raise error


def test_an_error_ends_the_event_red_and_a_signal_leaves_it(session: GuestSession) -> None:
    with pytest.raises(EnvironmentFailed):
        end_with(session.lock(), EnvironmentFailed("so it was", reason="so"))
    assert session.stored()["verdict"] == "red"
    other = GuestSession(session.cloud_fixture, session.event + "-2")
    with pytest.raises(Interrupted):
        end_with(other.lock(), Interrupted(signal.SIGTERM))
    assert other.stored()["state"] == "running"


# Whole runs


def scheduled(cloud_fixture: CloudFixture, tmp_path: Path, **options: str) -> Plan:
    given = {"NB_EVENT": '{"today": "2018-04-01"}', **options}
    return cloud_fixture.plan(tmp_path / "repo", **given)


@dataclass
class Process:
    """A builder as a process of its own: its own stop sign, clock and log."""

    cloud_fixture: CloudFixture
    plan: Plan
    event: str

    def __post_init__(self) -> None:
        self.cancellation = Cancellation()
        self.time = MovedClock(self.cloud_fixture.clock, self.cancellation)
        self.stream = io.StringIO()
        self.console = Console(self.stream)
        self.store = store = GoogleObjectStore(self.cloud_fixture.access(), BUCKET, self.time)
        machines = GoogleMachines(self.cloud_fixture.access(), self.time)
        self.cloud_fixture.closing.callback(store.close)
        self.cloud_fixture.closing.callback(machines.close)
        self.run = Run(
            self.plan,
            store=store,
            machines=machines,
            endpoint=self.cloud_fixture.access().endpoint,
            clock=self.time,
            cancellation=self.cancellation,
            progress=self.console,
            event=self.event,
        )
        self.cloud_fixture.closing.callback(bury, self.lock)

    @property
    def lock(self) -> EventLock:
        assert self.run._event is not None
        return self.run._event

    @property
    def log(self) -> str:
        return self.stream.getvalue()

    def execute(self, run_id: str | None = None) -> ExitCode:
        return carry_out(
            self.run,
            run_id or f"event-{self.event}",
            store=self.store,
            location=self.plan.location,
            console=self.console,
            again="gcloud again",
        )

    def until_stopped(self) -> None:
        """Execute; the event is lost on the way, and what the command does on its way out is done."""
        with pytest.raises(Interrupted) as left:
            self.execute()
        assert left.value.error is self.lock.lost
        assert self.run.abandon(left.value).left == []
        assert self.lock.lost is not None
        assert self.lock.lost.exit_code is ExitCode.ENVIRONMENT_FAILED


def published(cloud_fixture: CloudFixture, *folder: str) -> dict[str, bytes]:
    store = cloud_fixture.store()
    prefix = "/".join((cloud_fixture.prefix, *folder)) + "/"
    return {item.name.removeprefix(prefix): store.read(item.name) or b"" for item in store.list(prefix)}


def everything(cloud_fixture: CloudFixture) -> dict[str, int]:
    return {item.name: item.generation for item in cloud_fixture.store().list(f"{cloud_fixture.prefix}/")}


def test_a_second_run_of_an_event_is_its_duplicate(
    event: str, cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    cloud_fixture.guests = [green]
    plan = scheduled(cloud_fixture, tmp_path)
    first, second = Process(cloud_fixture, plan, event), Process(cloud_fixture, plan, event)
    assert first.execute() is ExitCode.GREEN, first.log
    assert "scheduled, for 2018-04-01" in first.log
    before = everything(cloud_fixture)
    assert second.execute() is ExitCode.GREEN
    assert f"verdict: GREEN, duplicate of event-{event} (green) (exit code 0)" in second.log
    assert everything(cloud_fixture) == before
    assert len(cloud_fixture.inserted()) == 1


def test_the_duplicate_of_a_red_run_is_red_and_runs_nothing(
    event: str, cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    cloud_fixture.guests = [with_fault("kernel_died")]
    plan = scheduled(cloud_fixture, tmp_path)
    first, second = Process(cloud_fixture, plan, event), Process(cloud_fixture, plan, event)
    assert first.execute("red-one") is ExitCode.NOTEBOOK_FAILED, first.log
    before = everything(cloud_fixture)
    assert second.execute("again") is ExitCode.NOTEBOOK_FAILED
    assert "verdict: RED, duplicate of red-one, which was red (exit code 1)\n" in second.log
    assert second.log.splitlines()[-2:] == [
        "  do: An event is carried out once. To run the same again, publish a new one: gcloud again",
        "left behind: nothing",
    ]
    assert everything(cloud_fixture) == before
    assert len(cloud_fixture.inserted()) == 1


@pytest.mark.usefixtures("brisk")
def test_two_runs_of_an_event_at_once_make_one_vm(
    event: str, cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    cloud_fixture.guests = [green]
    plan = scheduled(cloud_fixture, tmp_path)
    codes: list[ExitCode] = []
    both = [Process(cloud_fixture, plan, event) for _ in range(2)]
    threads = [threading.Thread(target=lambda one=one: codes.append(one.execute())) for one in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [ExitCode.GREEN, ExitCode.GREEN], both[0].log + both[1].log
    assert len(cloud_fixture.inserted()) == 1
    assert sum("duplicate of" in one.log for one in both) == 1


def test_a_killed_runs_event_is_taken_over_and_its_vm_goes_first(
    event: str, cloud_fixture: CloudFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = scheduled(cloud_fixture, tmp_path)
    killed, heir = Process(cloud_fixture, plan, event), Process(cloud_fixture, plan, event)
    works = threading.Event()
    alive: list[list[str]] = []

    def forsaken(place: CloudFixture, machine: StandIn) -> None:
        open_session(place, machine)
        works.set()

    def second(place: CloudFixture, machine: StandIn) -> None:
        alive.append(place.alive())
        green(place, machine)

    cloud_fixture.guests = [forsaken, second]
    # As good as killed: its thread writes no more, and from its next pause on it is suspended. Its moved clock would
    # otherwise pass the VM's limit before the second run's clock passes the lock's.
    woken, sleep = threading.Event(), killed.time.sleep

    def suspended(seconds: float) -> None:
        if works.is_set():
            woken.wait(PATIENCE)
        sleep(seconds)

    monkeypatch.setattr(killed.time, "sleep", suspended)
    thread = threading.Thread(target=killed.until_stopped, daemon=True)
    thread.start()
    assert works.wait(PATIENCE)
    killed.lock._over.set()
    (orphan,) = cloud_fixture.alive()
    assert heir.execute() is ExitCode.GREEN, heir.log
    assert f"run event-{event} does not renew its lock: this run takes over event {event}" in heir.log
    assert f"VM {orphan} in us-central1-a of run event-{event} deleted" in heir.log
    assert alive == [cloud_fixture.inserted()[1:]]
    result = published(cloud_fixture, "versions", "2018-04-01", "demo")["result.json"]
    assert json.loads(result)["run"] == f"event-{event}-2"
    # Whoever was thought dead is told before it asks for another VM.
    sleep(event_lock.STILL_SECONDS)
    woken.set()
    thread.join(PATIENCE)
    assert killed.lock.lost is not None, killed.log
    assert len(cloud_fixture.inserted()) == 2


def test_where_the_dead_runs_vm_cannot_be_deleted_there_is_no_second_one(
    session: GuestSession, cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    plan = scheduled(cloud_fixture, tmp_path)
    cloud_fixture.placement(cloud_fixture.fleet()).place(cloud_fixture.vm_request(plan))
    session.put(json.dumps({"schema": 1, "run": "run-1", "owner": "x", "state": "running"}).encode())
    cloud_fixture.fault(
        "compute.instances.delete", "error", times=10_000, status=403, reason="forbidden", message="no"
    )
    with pytest.raises(EnvironmentFailed, match=r"Run run-1, .* has VMs that could not be deleted"):
        Process(cloud_fixture, plan, session.event).execute()
    assert len(cloud_fixture.inserted()) == 1
    assert session.stored()["verdict"] == "red"


def lose(session: GuestSession) -> None:
    other = {
        "schema": 1,
        "event": session.event,
        "run": "other",
        "owner": "x",
        "renewal": 1,
        "state": "running",
    }
    session.put(json.dumps(other).encode())


@pytest.mark.usefixtures("brisk")
def test_a_run_whose_event_is_taken_stops_with_its_vm(
    session: GuestSession, cloud_fixture: CloudFixture, tmp_path: Path
) -> None:

    def robbed(place: CloudFixture, machine: StandIn) -> None:
        open_session(place, machine)
        lose(session)

    cloud_fixture.guests = [robbed]
    process = Process(cloud_fixture, scheduled(cloud_fixture, tmp_path), session.event)
    process.until_stopped()
    assert session.stored()["run"] == "other"
    assert len(cloud_fixture.inserted()) == 1
    assert published(cloud_fixture, "results") == published(cloud_fixture, "versions") == {}


def test_a_run_that_wakes_after_its_event_was_taken_publishes_nothing(
    session: GuestSession, cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    """Its thread has not renewed yet: it is the look before publishing that stops it."""
    process = Process(cloud_fixture, scheduled(cloud_fixture, tmp_path), session.event)

    def late(place: CloudFixture, machine: StandIn) -> None:
        here = open_session(place, machine)
        execute(here)
        lose(session)
        process.time.sleep(event_lock.STILL_SECONDS)
        here.finish(here.evidence())

    cloud_fixture.guests = [late]
    process.until_stopped()
    assert published(cloud_fixture, "results") == published(cloud_fixture, "versions") == {}
    assert session.stored()["run"] == "other"


def test_a_run_that_wakes_after_its_event_was_taken_asks_for_no_vm(
    session: GuestSession, cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    process = Process(cloud_fixture, scheduled(cloud_fixture, tmp_path), session.event)

    def spoilt(place: CloudFixture, machine: StandIn) -> None:
        lose(session)
        process.time.sleep(event_lock.STILL_SECONDS)
        altered(lambda _desk, _evidence: b"{")(place, machine)

    cloud_fixture.guests = [spoilt]
    process.until_stopped()
    assert len(cloud_fixture.inserted()) == 1


def test_a_red_run_leaves_a_green_version_of_its_day_alone(
    event: str, cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    plan = scheduled(cloud_fixture, tmp_path)
    cloud_fixture.guests = [green]
    assert Process(cloud_fixture, plan, event).execute("first") is ExitCode.GREEN
    version = published(cloud_fixture, "versions", "2018-04-01", "demo")
    assert json.loads(version["result.json"])["run"] == "first"
    cloud_fixture.guests = [with_fault("kernel_died")]
    assert Process(cloud_fixture, plan, f"{event}-2").execute("second") is ExitCode.NOTEBOOK_FAILED
    assert published(cloud_fixture, "versions", "2018-04-01", "demo") == version
    assert "FAILED" in published(cloud_fixture, "results", "second", "demo")


# How old a confirmation may be, and what is begun with it


class Watched(MovedClock):
    """A clock that tells of each sleep before it passes."""

    def __init__(self, cloud_fixture: CloudFixture, slept: Callable[[float], None]) -> None:
        super().__init__(cloud_fixture.clock, cloud_fixture.cancellation)
        self._slept_hook = slept

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._slept_hook(seconds)


def insert_again_and_again(
    session: GuestSession, plan: Plan, lock: EventLock, clock: MovedClock, seen: Callable[[], None]
) -> None:
    """Ask for a VM as a run that holds the event does; `seen` is called at each try, just before it is sent."""
    machines = GoogleMachines(session.cloud_fixture.access(), clock)
    session.cloud_fixture.closing.callback(machines.close)
    vm_request = session.cloud_fixture.vm_request(plan)

    def ensure_owner() -> None:
        lock.confirm()
        seen()

    fleet = Fleet(machines, clock, session.cloud_fixture.cancellation, ensure_owner=ensure_owner)
    said = session.cloud_fixture.said
    placement = Placement(
        machines, fleet, clock, report=lambda _job, text: said.append(text), log=said.append
    )
    placement.place(vm_request)


def test_each_try_of_an_insert_takes_effect_before_anybody_else_may_have_the_event(
    session: GuestSession, cloud_fixture: CloudFixture, plan: Plan
) -> None:
    """The thread that renews is not there, as in a process that the machine forgot.

    What is left is the look before each try.
    """
    clock = MovedClock(cloud_fixture.clock, cloud_fixture.cancellation)
    lock = session.lock(clock)
    assert lock.take("one") is None
    lock._over.set()
    written, ages = [clock.monotonic(), session.stored()["renewal"]], []

    def seen() -> None:
        if session.stored()["renewal"] != written[1]:
            written[:] = [clock.monotonic(), session.stored()["renewal"]]
        ages.append(clock.monotonic() - written[0])

    started = clock.monotonic()
    clock.sleep(30)
    cloud_fixture.fault("compute.instances.insert", "error", times=8, status=503)
    insert_again_and_again(session, plan, lock, clock, seen)
    assert len(cloud_fixture.inserted()) == 1
    assert clock.monotonic() - started > 90, "long enough for one confirmation to be too old"
    assert len(ages) > 8, "one look for the insert, and one for each of its tries"
    # A try may take as long again as it takes to connect, and to be answered.
    assert max(ages) > 15
    assert max(ages) + 2 * CALL_TIMEOUT <= event_lock.STILL_SECONDS - 20


def test_a_repeated_insert_is_not_sent_once_the_event_is_another_run_s(
    session: GuestSession, cloud_fixture: CloudFixture, plan: Plan
) -> None:
    def robbed(seconds: float) -> None:
        if seconds > 3:  # the pause before the fourth try or so
            lose(session)
            clock._slept += event_lock.STILL_SECONDS

    clock = Watched(cloud_fixture, robbed)
    lock = session.lock(clock)
    assert lock.take("one") is None
    lock._over.set()
    cloud_fixture.fault("compute.instances.insert", "error", times=3, status=503)
    cloud_fixture.fault("compute.instances.insert", "error", times=1, status=503)
    with pytest.raises(Interrupted):
        insert_again_and_again(session, plan, lock, clock, lambda: None)
    assert cloud_fixture.inserted() == []


def test_a_renewal_that_was_answered_late_is_none(session: GuestSession, cloud_fixture: CloudFixture) -> None:
    """Its first try had its effect, and only the last one told of it: others have seen the object stand still since."""
    lock = session.lock()
    assert lock.take("one") is None
    lock._over.set()
    cloud_fixture.time.sleep(event_lock.STILL_SECONDS / 2)
    before = session.stored()["renewal"]
    name = {"name": "*/locks/*"}
    cloud_fixture.fault("storage.objects.insert", "drop_after", match=name)
    cloud_fixture.fault("storage.objects.insert", "error", times=7, status=503, match=name)
    lock.confirm()
    assert session.stored()["renewal"] == before + 2
    assert lock.lost is None


def test_where_no_renewal_is_answered_in_time_nothing_is_begun(
    session: GuestSession, cloud_fixture: CloudFixture
) -> None:
    lock = session.lock()
    assert lock.take("one") is None
    lock._over.set()
    cloud_fixture.time.sleep(event_lock.STILL_SECONDS / 2)
    name = {"name": "*/locks/*"}
    for renewals in range(3):
        cloud_fixture.fault("storage.objects.insert", "drop_after", skip=renewals, match=name)
        cloud_fixture.fault("storage.objects.insert", "error", times=6, status=503, skip=renewals, match=name)
    with pytest.raises(CallFailed, match="no write was answered within 40 s"):
        lock.confirm()
