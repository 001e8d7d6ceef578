"""Two runs that publish into one day's folder, one call at a time, on any bucket.

What unit and integration tests of it share.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any, cast

from builder.act.publish import Publication, Published, Publisher
from builder.errors import ExitCode
from builder.model import GcsLocation, Listed, Verdict
from builder.ports import ObjectStore

GREEN = Verdict(ExitCode.GREEN, "green", "all ran")
RED = Verdict(ExitCode.NOTEBOOK_FAILED, "cell_failed", "cell 1 failed")
BEFORE = {"nothing": None, "green": GREEN, "red": RED}
PAIRS = {
    "green-green": (GREEN, GREEN),
    "red-green": (RED, GREEN),
    "green-red": (GREEN, RED),
    "red-red": (RED, RED),
}
MAX_CALLS = 18  # of one publication that nobody disturbs


class InOrder(Executor):
    """Does at once what it is given, so that the order of calls is the same each time."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - as an executor does it
            future.set_exception(error)
        return future


class Stepped:
    """A client of the bucket: `before` is called before each call, `after` after it."""

    def __init__(
        self,
        store: ObjectStore,
        before: Callable[[], None] = lambda: None,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._before, self._after = store, before, after

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._store, name)

        def stepped(*args: Any, **kwargs: Any) -> Any:
            self._before()
            answer = call(*args, **kwargs)
            self._after()
            return answer

        return stepped


class Killed(BaseException):
    """The process is no more."""


@dataclass
class Day:
    """One day's folder in a location of its own, and the runs that publish into it."""

    store: ObjectStore
    location: GcsLocation = field(default_factory=lambda: GcsLocation("b", f"p{uuid.uuid4().hex[:8]}"))

    @property
    def folder(self) -> str:
        return self.location.object("versions", "2018-04-01", "demo") + "/"

    def own(self, run: str) -> str:
        return self.location.object("results", run, "demo") + "/"

    def publication(self, run: str, verdict: Verdict) -> Publication:
        """Three files.

        One of the run's own bytes, one that is the same in each run, one whose name only this run has.
        """
        files = {"demo.ipynb": run.encode(), "demo.html": b"<p>hello</p>", f"outputs/{run}.csv": b"a,b\n"}
        staged = [self._staged(f"{run}/{name}", content) for name, content in files.items()]
        return Publication(run, staged, tuple(files), "# cell 1/1 ok\n", verdict, {"job": "demo"})

    def _staged(self, name: str, content: bytes) -> Listed:
        return self.store.replace(
            self.location.object("staging", name), content, content_type="application/octet-stream"
        )

    def publish(self, run: str, verdict: Verdict, stepped: Stepped | None = None) -> str:
        """Publish a run's files and return their folder: "day" or "own"."""
        return {self.folder: "day", self.own(run): "own"}[self.published(run, verdict, stepped).prefix]

    def published(self, run: str, verdict: Verdict, stepped: Stepped | None = None) -> Published:
        """Publish a run's files."""
        store = cast("ObjectStore", stepped) if stepped else self.store
        publication = self.publication(run, verdict)
        return Publisher(store, self.location, InOrder()).publish(self.folder, self.own(run), publication)

    def killed(self, run: str, verdict: Verdict, calls: int) -> bool:
        """Publish, and be killed once so many calls are done; False where no more than these are needed."""
        left = [calls]

        def count() -> None:
            left[0] -= 1
            if left[0] <= 0:
                raise Killed

        try:
            self.publish(run, verdict, Stepped(self.store, after=count))
        except Killed:
            return True
        return False

    def names(self) -> set[str]:
        return {item.name.removeprefix(self.folder) for item in self.store.list(self.folder)}

    def whole(self, prefix: str = "") -> str:
        """The run whose folder this is, with each of its files and no other; "" where there is no result.json."""
        prefix = prefix or self.folder
        there = {item.name.removeprefix(prefix): item for item in self.store.list(prefix)}
        result = there.pop("result.json", None)
        if result is None:
            return ""
        record = json.loads(self.store.read(result.name) or b"")
        named = {item["name"]: item["generation"] for item in record["objects"]}
        assert named == {name: str(item.generation) for name, item in there.items()}
        assert result.generation > max(item.generation for item in there.values())
        run = str(record["run"])
        assert self.store.read(prefix + "demo.ipynb") == run.encode()
        assert {f"outputs/{run}.csv", "demo.html", "run.log"} <= there.keys()
        assert ("FAILED" in there) == (record["verdict"] == "red")
        return run


class Publishing:
    """A run that publishes on a thread of its own, as many calls at a time as it is let."""

    def __init__(self, day: Day, run: str, verdict: Verdict) -> None:
        self.run, self.verdict = run, verdict
        self.where = ""  # "day" or "own", once it is done
        self._day = day
        self._parked = threading.Semaphore(0)
        self._go = threading.Semaphore(0)
        self.over = False
        threading.Thread(target=self._publish, daemon=True).start()
        self._parked.acquire()

    def _publish(self) -> None:
        try:
            self.where = self._day.publish(
                self.run, self.verdict, Stepped(self._day.store, before=self._park)
            )
        finally:
            self.over = True
            self._parked.release()

    def _park(self) -> None:
        self._parked.release()
        self._go.acquire()

    def advance(self, calls: int = 1_000) -> None:
        """Let it do so many calls, or all that it still has to do."""
        while calls and not self.over:
            calls -= 1
            self._go.release()
            self._parked.acquire()


def two_runs(day: Day, pair: str, before: str, first: int, second: int) -> tuple[bool, bool]:
    """So many calls of one run, so many of another, the first to its end, the second to its end.

    Check what is there then. Returns for each run True if those calls were all that it makes: more of them are the
    same order again.
    """
    existing = BEFORE[before]
    if existing is not None:
        assert day.publish("old", existing) == "day"
    one, two = (
        Publishing(day, run, verdict) for run, verdict in zip(("one", "two"), PAIRS[pair], strict=True)
    )
    one.advance(first)
    two.advance(second)
    ended = one.over, two.over
    one.advance()
    two.advance()
    there = day.whole()
    runs = {each.run: each for each in (one, two)}
    greens = {each.run for each in (one, two) if each.verdict.green}
    old = {"old"} if existing is not None and existing.green else set()
    assert there in (greens or old or runs.keys()), (first, second)
    for each in (one, two):
        assert each.where in {"day", "own"}, (first, second)
        assert day.whole(day.own(each.run)) == (each.run if each.where == "own" else "")
        assert each.where == "day" or there != each.run
    return ended


def a_run_killed(day: Day, verdict: Verdict, before: str, calls: int) -> bool:
    """A run is killed after so many calls; check what later runs find. False where it needs no more than these."""
    existing = BEFORE[before]
    if existing is not None:
        day.publish("old", existing)
    was_killed = day.killed("killed", verdict, calls)
    there = day.names()
    if "result.json" in there and calls > 3:
        assert day.whole() in {"old", "killed"}
    if existing is not None and existing.green:
        assert day.publish("red", RED) == "own", calls
        assert day.whole(day.own("red")) == "red"
        assert day.names() == there
    elif not verdict.green:
        assert day.publish("red", RED) == "day"
        assert day.whole() == "red"
    assert day.publish("next", GREEN) == "day"
    assert day.whole() == "next"
    return was_killed
