"""One run per event: duplicates, dead owners, lost replies, and an owner that was thought dead, through Google's own client."""

from __future__ import annotations

import io
import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from builder import report
from builder.act import event_lock
from builder.act.event_lock import EventLock, Holder
from builder.act.fleet import Fleet
from builder.act.placement import Placement
from builder.act.run import Run
from builder.act.waiting import STOPPED, Cancellation
from builder.errors import EnvironmentFailed, ExitCode, Interrupted
from builder.gcp.clients import CALL_BUDGET, CALL_TIMEOUT
from builder.gcp.compute import GoogleMachines
from builder.gcp.storage import GoogleObjectStore
from builder.model import GcsLocation
from builder.plan.make import Plan
from builder.ports import CallFailed
from localcloud.storage import pace
from tests.contract.guests import altered, execute, green, sit_down, with_fault
from tests.contract.world import BUCKET, MovedClock, StandIn, World

Json = dict[str, Any]
# The clocks of both runs are moved, the pause between two renewals is not: seconds.
BRISK, LOOK = 0.05, 0.5


@pytest.fixture(autouse=True)
def _unpaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where clocks are moved, the minutes between an object's writes take no time: one a second is too few."""
    monkeypatch.setattr(pace, "_BURST", 1000.0)


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renewals that come before a clock that is moved has passed 120 seconds."""
    monkeypatch.setattr(event_lock, "_RENEW_SECONDS", BRISK)
    monkeypatch.setattr(event_lock, "_LOOK_SECONDS", LOOK)


@pytest.fixture
def event(world: World) -> str:
    """An event's id, in a location of its own."""
    name = f"e{uuid.uuid4().hex[:8]}"
    world.prefix = f"ci-{name}"
    return name


def bury(lock: EventLock) -> None:
    """End the thread of a lock whose run was killed: a process would have taken it along."""
    lock._over.set()
    if lock._thread.is_alive():
        lock._thread.join(timeout=30)


class Desk:
    """Locks of one event, each as a process of its own would have it."""

    def __init__(self, world: World, event: str) -> None:
        self.world, self.event = world, event
        self.told: list[str] = []
        self.stopped: list[EventLock] = []

    def lock(self, clock: MovedClock | None = None, *, budget: float = CALL_BUDGET) -> EventLock:
        """`budget`: seconds in which its calls are repeated."""
        store = GoogleObjectStore(self.world.access(), BUCKET, self.world.time, budget=budget)
        self.world.doors.callback(store.close)
        made: EventLock = EventLock(
            store,
            GcsLocation(BUCKET, self.world.prefix),
            self.event,
            clock=clock or self.world.time,
            stop=lambda: self.stopped.append(made),
            tell=self.told.append,
        )
        self.world.doors.callback(bury, made)
        return made

    def standing(self) -> Json:
        content = self.world.store().read(f"{self.world.prefix}/locks/{self.event}")
        return dict(json.loads(content or b"{}"))

    def put(self, content: bytes) -> None:
        name = f"{self.world.prefix}/locks/{self.event}"
        self.world.store().replace(name, content, content_type="application/json")


@pytest.fixture
def desk(world: World, event: str) -> Desk:
    return Desk(world, event)


def rename(lock: EventLock, run: str) -> None:
    """A renewal, at once."""
    lock.hold(run)
    lock.confirm()


# The object alone


def test_the_first_one_holds_the_event_and_says_how_it_ended(desk: Desk) -> None:
    with desk.lock() as lock:
        assert lock.take("event-1") is None
        lock.hold("event-1-2")
        lock.confirm()
        standing = desk.standing()
        assert standing.pop("owner")
        assert standing == {
            "schema": 1,
            "event": desk.event,
            "run": "event-1-2",
            "renewal": 2,
            "state": "running",
        }
        lock.finish("red")
    standing = desk.standing()
    assert (standing["state"], standing["verdict"], standing["run"]) == ("done", "red", "event-1-2")
    with desk.lock() as another:
        assert another.take("event-2") == Holder("event-1-2", "red")
    assert desk.standing() == standing
    assert desk.told == []


@pytest.mark.usefixtures("brisk")
def test_who_shows_a_sign_of_life_keeps_the_event(desk: Desk) -> None:
    with desk.lock() as lock, desk.lock() as another:
        assert lock.take("one") is None
        assert another.take("two") == Holder("one", "")
        lock.finish("green")
    assert desk.stopped == []


def test_who_stands_still_for_120_seconds_loses_the_event(desk: Desk) -> None:
    dead, heir = desk.lock(), desk.lock()
    assert dead.take("one") is None
    started = desk.world.time.monotonic()
    assert heir.take("two") is None
    assert desk.world.time.monotonic() - started >= event_lock.STILL_SECONDS
    assert heir.former == "one"
    # Whose VMs may still be there is known even if the heir dies, too.
    assert desk.standing()["run"] == "one"
    rename(heir, "two")
    assert desk.standing()["run"] == "two"
    with pytest.raises(Interrupted):
        rename(dead, "one")
    assert desk.stopped == [dead]
    assert isinstance(dead.lost, EnvironmentFailed)
    assert "run two's now" in dead.lost.message
    heir.confirm()
    assert heir.lost is None


@pytest.mark.usefixtures("brisk")
def test_of_two_heirs_one_takes_over(desk: Desk) -> None:
    desk.put(json.dumps({"schema": 1, "run": "dead", "owner": "x", "state": "running"}).encode())
    found: list[Holder | None] = []
    locks = [desk.lock(MovedClock(desk.world.clock, desk.world.cancellation)) for _ in range(4)]
    threads = [
        threading.Thread(target=lambda lock=lock, number=number: found.append(lock.take(f"heir-{number}")))
        for number, lock in enumerate(locks)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found.count(None) == 1, desk.told
    assert len(found) == 4
    for lock in locks:
        lock.__exit__(None, None, None)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"run": 1}', b'{"run": "a", "owner": "b"}'],
    ids=["empty", "half of an object", "a list", "no owner", "no time"],
)
def test_an_object_that_says_nothing_is_taken_over(desk: Desk, content: bytes) -> None:
    desk.put(content)
    lock = desk.lock()
    assert lock.take("one") is None
    assert lock.former == "unknown"


@pytest.mark.parametrize("action", ["drop_after", "drop_before"])
def test_a_lost_reply_to_the_first_write_is_no_other_owner(desk: Desk, action: str) -> None:
    desk.world.fault("storage.objects.insert", action, match={"name": "*/locks/*"})
    lock = desk.lock()
    assert lock.take("one") is None
    assert desk.told == []


@pytest.mark.parametrize("action", ["drop_after", "drop_before"])
def test_a_lost_reply_to_a_renewal_is_no_other_owner(desk: Desk, action: str) -> None:
    lock = desk.lock()
    assert lock.take("one") is None
    desk.world.fault("storage.objects.insert", action, match={"name": "*/locks/*"})
    rename(lock, "one")
    rename(lock, "one")
    assert lock.lost is None


def test_a_renewal_that_failed_for_us_and_not_in_the_bucket_is_met_again(desk: Desk) -> None:
    lock = desk.lock(budget=0)
    assert lock.take("one") is None
    desk.world.fault("storage.objects.insert", "drop_after", match={"name": "*/locks/*"})
    with pytest.raises(CallFailed):
        rename(lock, "two")
    assert desk.standing()["run"] == "two"
    rename(lock, "three")
    assert desk.standing()["run"] == "three"
    assert lock.lost is None
    assert desk.stopped == []


def test_an_object_that_was_removed_is_no_event_of_ours(desk: Desk) -> None:
    lock = desk.lock()
    assert lock.take("one") is None
    desk.world.store().delete(lock.object)
    with pytest.raises(Interrupted):
        rename(lock, "one")
    assert lock.lost is not None
    assert "removed" in lock.lost.message


def test_a_run_that_was_suspended_asks_before_it_goes_on(desk: Desk) -> None:
    lock = desk.lock()
    assert lock.take("one") is None
    renewal = desk.standing()["renewal"]
    lock.confirm()
    assert desk.standing()["renewal"] == renewal
    desk.world.time.sleep(event_lock.STILL_SECONDS)
    lock.confirm()
    assert desk.standing()["renewal"] > renewal


def test_done_is_never_written_over_by_a_renewal(desk: Desk) -> None:
    lock = desk.lock()
    assert lock.take("one") is None
    lock.finish("green")
    rename(lock, "one")
    assert desk.standing()["state"] == "done"


def end_with(lock: EventLock, error: BaseException) -> None:
    with lock:
        lock.take("one")
        raise error


def test_an_error_ends_the_event_red_and_a_signal_leaves_it(desk: Desk) -> None:
    with pytest.raises(EnvironmentFailed):
        end_with(desk.lock(), EnvironmentFailed("so it was", reason="so"))
    assert desk.standing()["verdict"] == "red"
    other = Desk(desk.world, desk.event + "-2")
    with pytest.raises(Interrupted):
        end_with(other.lock(), Interrupted(15))
    assert other.standing()["state"] == "running"


# Whole runs


def scheduled(world: World, tmp_path: Path, **options: str) -> Plan:
    given = {"NB_EVENT": '{"today": "2018-04-01"}', **options}
    return world.plan(tmp_path / "repo", **given)


@dataclass
class Process:
    """A builder as a process of its own: its own stop sign, clock and log."""

    world: World
    plan: Plan
    event: str

    def __post_init__(self) -> None:
        self.cancellation = Cancellation()
        self.time = MovedClock(self.world.clock, self.cancellation)
        self.stream = io.StringIO()
        store = GoogleObjectStore(self.world.access(), BUCKET, self.time)
        machines = GoogleMachines(self.world.access(), self.time)
        self.world.doors.callback(store.close)
        self.world.doors.callback(machines.close)
        self.run = Run(
            self.plan,
            store=store,
            machines=machines,
            endpoint=self.world.access().endpoint,
            clock=self.time,
            cancellation=self.cancellation,
            console=report.Console(self.stream),
            event=self.event,
            again="gcloud again",
        )
        self.world.doors.callback(bury, self.lock)

    @property
    def lock(self) -> EventLock:
        assert self.run.event is not None
        return self.run.event

    @property
    def log(self) -> str:
        return self.stream.getvalue()

    def execute(self, run_id: str | None = None) -> ExitCode:
        return self.run.execute(run_id or f"event-{self.event}")

    def until_stopped(self) -> None:
        """Execute; the event is lost on the way, and what the command does on its way out is done."""
        with pytest.raises(Interrupted) as left:
            self.execute()
        assert left.value.signum == STOPPED
        self.run.fleet.abandon()
        assert self.run.fleet.open() == []
        assert self.lock.lost is not None
        assert self.lock.lost.exit_code is ExitCode.ENVIRONMENT_FAILED


def published(world: World, *folder: str) -> dict[str, bytes]:
    store = world.store()
    prefix = "/".join((world.prefix, *folder)) + "/"
    return {item.name.removeprefix(prefix): store.read(item.name) or b"" for item in store.list(prefix)}


def everything(world: World) -> dict[str, int]:
    return {item.name: item.generation for item in world.store().list(f"{world.prefix}/")}


def test_a_second_run_of_an_event_is_its_duplicate(event: str, world: World, tmp_path: Path) -> None:
    world.guests = [green]
    plan = scheduled(world, tmp_path)
    first, second = Process(world, plan, event), Process(world, plan, event)
    assert first.execute() is ExitCode.GREEN, first.log
    assert "scheduled, for 2018-04-01" in first.log
    before = everything(world)
    assert second.execute() is ExitCode.GREEN
    assert f"verdict: GREEN, duplicate of event-{event} (green) (exit code 0)" in second.log
    assert everything(world) == before
    assert len(world.inserted()) == 1


def test_the_duplicate_of_a_red_run_is_red_and_runs_nothing(event: str, world: World, tmp_path: Path) -> None:
    world.guests = [with_fault("kernel_died")]
    plan = scheduled(world, tmp_path)
    first, second = Process(world, plan, event), Process(world, plan, event)
    assert first.execute("red-one") is ExitCode.NOTEBOOK_FAILED, first.log
    before = everything(world)
    assert second.execute("again") is ExitCode.NOTEBOOK_FAILED
    assert "verdict: RED, duplicate of red-one, which was red (exit code 1)\n" in second.log
    assert second.log.splitlines()[-2:] == [
        "  do: An event is carried out once. To run the same again, publish a new one: gcloud again",
        "left behind: nothing",
    ]
    assert everything(world) == before
    assert len(world.inserted()) == 1


@pytest.mark.usefixtures("brisk")
def test_two_runs_of_an_event_at_once_make_one_vm(event: str, world: World, tmp_path: Path) -> None:
    world.guests = [green]
    plan = scheduled(world, tmp_path)
    codes: list[ExitCode] = []
    both = [Process(world, plan, event) for _ in range(2)]
    threads = [threading.Thread(target=lambda one=one: codes.append(one.execute())) for one in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [ExitCode.GREEN, ExitCode.GREEN], both[0].log + both[1].log
    assert len(world.inserted()) == 1
    assert sum("duplicate of" in one.log for one in both) == 1


def test_a_killed_runs_event_is_taken_over_and_its_vm_goes_first(
    event: str, world: World, tmp_path: Path
) -> None:
    plan = scheduled(world, tmp_path)
    killed, heir = Process(world, plan, event), Process(world, plan, event)
    works = threading.Event()
    alive: list[list[str]] = []

    def forsaken(place: World, machine: StandIn) -> None:
        sit_down(place, machine)
        works.set()

    def second(place: World, machine: StandIn) -> None:
        alive.append(place.alive())
        green(place, machine)

    world.guests = [forsaken, second]
    # As good as killed: its thread writes no more, and it waits for its VM until that is gone.
    thread = threading.Thread(target=killed.until_stopped, daemon=True)
    thread.start()
    assert works.wait(10)
    killed.lock._over.set()
    (orphan,) = world.alive()
    assert heir.execute() is ExitCode.GREEN, heir.log
    assert f"run event-{event} gave none: event {event} is taken over from it" in heir.log
    assert f"VM {orphan} in us-central1-a of run event-{event} deleted" in heir.log
    assert alive == [world.inserted()[1:]]
    result = published(world, "versions", "2018-04-01", "demo")["result.json"]
    assert json.loads(result)["run"] == f"event-{event}-2"
    # Whoever was thought dead is told before it asks for another VM.
    thread.join(20)
    assert killed.lock.lost is not None, killed.log
    assert len(world.inserted()) == 2


def test_where_the_dead_runs_vm_cannot_be_deleted_there_is_no_second_one(
    desk: Desk, world: World, tmp_path: Path
) -> None:
    plan = scheduled(world, tmp_path)
    world.placement(world.fleet()).place(world.order(plan))
    desk.put(json.dumps({"schema": 1, "run": "run-1", "owner": "x", "state": "running"}).encode())
    world.fault(
        "compute.instances.delete", "error", times=10_000, status=403, reason="forbidden", message="no"
    )
    with pytest.raises(EnvironmentFailed, match="of run run-1 could not be deleted"):
        Process(world, plan, desk.event).execute()
    assert len(world.inserted()) == 1
    assert desk.standing()["verdict"] == "red"


def lose(desk: Desk) -> None:
    other = {"schema": 1, "event": desk.event, "run": "other", "owner": "x", "renewal": 1, "state": "running"}
    desk.put(json.dumps(other).encode())


@pytest.mark.usefixtures("brisk")
def test_a_run_whose_event_is_taken_stops_with_its_vm(desk: Desk, world: World, tmp_path: Path) -> None:

    def robbed(place: World, machine: StandIn) -> None:
        sit_down(place, machine)
        lose(desk)

    world.guests = [robbed]
    process = Process(world, scheduled(world, tmp_path), desk.event)
    process.until_stopped()
    assert desk.standing()["run"] == "other"
    assert len(world.inserted()) == 1
    assert published(world, "results") == published(world, "versions") == {}


def test_a_run_that_wakes_after_its_event_was_taken_publishes_nothing(
    desk: Desk, world: World, tmp_path: Path
) -> None:
    """Its thread has not renewed yet: it is the look before publishing that stops it."""
    process = Process(world, scheduled(world, tmp_path), desk.event)

    def late(place: World, machine: StandIn) -> None:
        here = sit_down(place, machine)
        execute(here)
        lose(desk)
        process.time.sleep(event_lock.STILL_SECONDS)
        here.finish(here.evidence())

    world.guests = [late]
    process.until_stopped()
    assert published(world, "results") == published(world, "versions") == {}
    assert desk.standing()["run"] == "other"


def test_a_run_that_wakes_after_its_event_was_taken_asks_for_no_vm(
    desk: Desk, world: World, tmp_path: Path
) -> None:
    process = Process(world, scheduled(world, tmp_path), desk.event)

    def spoilt(place: World, machine: StandIn) -> None:
        lose(desk)
        process.time.sleep(event_lock.STILL_SECONDS)
        altered(lambda _desk, _evidence: b"{")(place, machine)

    world.guests = [spoilt]
    process.until_stopped()
    assert len(world.inserted()) == 1


def test_a_red_run_leaves_a_green_version_of_its_day_alone(event: str, world: World, tmp_path: Path) -> None:
    plan = scheduled(world, tmp_path)
    world.guests = [green]
    assert Process(world, plan, event).execute("first") is ExitCode.GREEN
    version = published(world, "versions", "2018-04-01", "demo")
    assert json.loads(version["result.json"])["run"] == "first"
    world.guests = [with_fault("kernel_died")]
    assert Process(world, plan, f"{event}-2").execute("second") is ExitCode.NOTEBOOK_FAILED
    assert published(world, "versions", "2018-04-01", "demo") == version
    assert "FAILED" in published(world, "results", "second", "demo")


# How old a confirmation may be, and what is begun with it


class Watched(MovedClock):
    """A clock that tells of each sleep before it passes."""

    def __init__(self, world: World, slept: Callable[[float], None]) -> None:
        super().__init__(world.clock, world.cancellation)
        self._slept_hook = slept

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._slept_hook(seconds)


def insert_again_and_again(
    desk: Desk, plan: Plan, lock: EventLock, clock: MovedClock, seen: Callable[[], None]
) -> None:
    """Ask for a VM as a run that holds the event does; `seen` is called at each try, just before it is sent."""
    machines = GoogleMachines(desk.world.access(), clock)
    desk.world.doors.callback(machines.close)
    order = desk.world.order(plan)

    def permit() -> None:
        lock.confirm()
        seen()

    fleet = Fleet(machines, clock, desk.world.cancellation, permit=permit)
    Placement(machines, fleet, clock, lambda _job, text: desk.world.said.append(text)).place(order)


def test_each_try_of_an_insert_takes_effect_before_anybody_else_may_have_the_event(
    desk: Desk, world: World, plan: Plan
) -> None:
    """The thread that renews is not there, as in a process that the machine forgot: what is left is the look before each try."""
    clock = MovedClock(world.clock, world.cancellation)
    lock = desk.lock(clock)
    assert lock.take("one") is None
    lock._over.set()
    written, ages = [clock.monotonic(), desk.standing()["renewal"]], []

    def seen() -> None:
        if desk.standing()["renewal"] != written[1]:
            written[:] = [clock.monotonic(), desk.standing()["renewal"]]
        ages.append(clock.monotonic() - written[0])

    started = clock.monotonic()
    clock.sleep(30)
    world.fault("compute.instances.insert", "error", times=8, status=503)
    insert_again_and_again(desk, plan, lock, clock, seen)
    assert len(world.inserted()) == 1
    assert clock.monotonic() - started > 90, "long enough for one confirmation to be too old"
    assert len(ages) > 8, "one look for the insert, and one for each of its tries"
    # A try may take as long again as it takes to connect, and to be answered.
    assert max(ages) > 15
    assert max(ages) + 2 * CALL_TIMEOUT <= event_lock.STILL_SECONDS - 20


def test_a_repeated_insert_is_not_sent_once_the_event_is_another_run_s(
    desk: Desk, world: World, plan: Plan
) -> None:
    def robbed(seconds: float) -> None:
        if seconds > 3:  # the pause before the fourth try or so
            lose(desk)
            clock._slept += event_lock.STILL_SECONDS

    clock = Watched(world, robbed)
    lock = desk.lock(clock)
    assert lock.take("one") is None
    lock._over.set()
    world.fault("compute.instances.insert", "error", times=3, status=503)
    world.fault("compute.instances.insert", "error", times=1, status=503)
    with pytest.raises(Interrupted):
        insert_again_and_again(desk, plan, lock, clock, lambda: None)
    assert world.inserted() == []


def test_a_renewal_that_was_answered_late_is_none(desk: Desk, world: World) -> None:
    """Its first try had its effect, and only the last one told of it: others have seen the object stand still since."""
    lock = desk.lock()
    assert lock.take("one") is None
    lock._over.set()
    world.time.sleep(event_lock.STILL_SECONDS / 2)
    before = desk.standing()["renewal"]
    name = {"name": "*/locks/*"}
    world.fault("storage.objects.insert", "drop_after", match=name)
    world.fault("storage.objects.insert", "error", times=7, status=503, match=name)
    lock.confirm()
    assert desk.standing()["renewal"] == before + 2
    assert lock.lost is None


def test_where_no_renewal_is_answered_in_time_nothing_is_begun(desk: Desk, world: World) -> None:
    lock = desk.lock()
    assert lock.take("one") is None
    lock._over.set()
    world.time.sleep(event_lock.STILL_SECONDS / 2)
    name = {"name": "*/locks/*"}
    for renewals in range(3):
        world.fault("storage.objects.insert", "drop_after", skip=renewals, match=name)
        world.fault("storage.objects.insert", "error", times=6, status=503, skip=renewals, match=name)
    with pytest.raises(CallFailed, match="no write was answered within 40 s"):
        lock.confirm()
