"""The builder's lease: a VM that nobody waits for ends its notebook, keeps what there is, and sees to its own end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from builder.vm.runner import lease as lease_module
from builder.vm.runner.lease import LOOKS, LeaseWatcher
from tests.vm.renewal import renewed_until
from tests.vm.vm_fixture import VmFixture, processes_below


def test_a_lease_that_nobody_renews_ends_the_notebook_and_keeps_its_results(
    vm_fixture: VmFixture, tmp_path: Path
) -> None:
    name, runs = "ci/staging/forgotten/lease.json", tmp_path / "the second cell runs"
    with renewed_until(vm_fixture, name, runs.exists):
        outcome = vm_fixture.run(
            "import pathlib\npathlib.Path('outputs/half.csv').write_text('1,2')\nprint('first')",
            f"import time\npathlib.Path({str(runs)!r}).touch()\ntime.sleep(300)",
            settings={"lease": {"object": name, "seconds": 8}},
        )
    assert outcome.reason == "lease_lost"
    assert "in cell 2 of 2" in outcome.evidence["fault"]["message"]
    assert outcome.text(0) == "first\n"
    assert outcome.objects["outputs/half.csv"] == b"1,2"
    assert "the build stopped renewing its lease" in outcome.serial
    assert "shutdown called -h now" in outcome.serial
    assert processes_below(outcome.folder) == []


@pytest.mark.exhaustive  # test_an_answer_that_changes_renews shows the same without a VM
def test_a_lease_that_is_renewed_does_not_end_it(vm_fixture: VmFixture) -> None:
    name = "ci/staging/alive/lease.json"
    with renewed_until(vm_fixture, name, lambda: False):
        outcome = vm_fixture.run(
            "import time\ntime.sleep(12)", settings={"lease": {"object": name, "seconds": 6}}
        )
    assert outcome.reason is None
    assert outcome.evidence["papermill"]["exit_code"] == 0


class MovedTime:
    """A clock that only sleeping moves."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> MovedTime:
    made = MovedTime()
    monkeypatch.setattr(lease_module, "time", made)
    return made


def watched(generation: Callable[[], str], seconds: float, told: list[str] | None = None) -> LeaseWatcher:
    """A watcher that has watched to the end, in this thread."""
    lease = LeaseWatcher(generation, seconds, ([] if told is None else told).append)
    lease._watch()
    assert lease.lost
    return lease


def test_an_object_that_cannot_be_read_renews_nothing(moved: MovedTime) -> None:
    generations = iter(["1", "", "", "2"])
    seen: list[float] = []

    def generation() -> str:
        seen.append(moved.now)
        return next(generations, "2")

    watched(generation, 40)
    # The fourth answer was the last news.
    assert 40 < moved.now - seen[3] <= 40 + 2 * 40 / LOOKS


def test_an_answer_that_changes_renews(moved: MovedTime) -> None:
    watched(lambda: f"{moved.now:.1f}" if moved.now < 120 else "the last", 40)
    assert 120 + 40 < moved.now <= 120 + 40 + 3 * 40 / LOOKS


def test_a_bug_in_a_look_is_reported_once_and_the_watch_goes_on(moved: MovedTime) -> None:
    told: list[str] = []

    def generation() -> str:
        if moved.now < 20:
            raise RuntimeError(f"at {moved.now:.0f}")
        return f"{moved.now:.1f}" if moved.now < 120 else "the last"

    watched(generation, 40, told)
    assert moved.now > 120 + 40
    assert told == ["bug: the builder's lease cannot be read: RuntimeError: at 0"]
