"""SIGKILL of the function at each of its calls: the event, delivered again to a new process, has one build."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pytest

from localcloud.core.faults import Fault
from tests.function.function_fixture import FUNCTION, FunctionFixture, new_id
from tests.polling import eventually

MIN_POINTS = 4  # live.json, the builds of the event, the builds of the last hour, the new build
_LOST = (ConnectionError, http.client.HTTPException)


@contextlib.contextmanager
def killing(
    function_fixture: FunctionFixture, monkeypatch: pytest.MonkeyPatch, at: int, *, effect: bool
) -> Iterator[list[str]]:
    """Kill the function at its call number `at` (from 0), before the call's effect or after it.

    Yields the methods called.
    """
    called: list[str] = []
    take = function_fixture.cloud.faults.take

    def counted(method: str, facts: Mapping[str, Any]) -> Fault | None:
        if facts.get("caller") != FUNCTION:
            return take(method, facts)
        called.append(method)
        if len(called) != at + 1:
            return take(method, facts)
        function_fixture.function.kill()
        return None if effect else Fault("drop_before", {}, method)

    with monkeypatch.context() as patch:
        patch.setattr(function_fixture.cloud.faults, "take", counted)
        yield called


def more_builds(function_fixture: FunctionFixture, before: int) -> bool:
    """True if there is a build more than before."""
    return len(function_fixture.builds()) > before


@pytest.mark.exhaustive
@pytest.mark.parametrize("effect", [pytest.param(False, id="before"), pytest.param(True, id="after")])
def test_an_event_whose_delivery_died_has_one_build(
    function_fixture: FunctionFixture, monkeypatch: pytest.MonkeyPatch, *, effect: bool
) -> None:
    points = 0
    while True:
        event_id = new_id()
        before = len(function_fixture.builds())
        with killing(function_fixture, monkeypatch, points, effect=effect) as called:
            try:
                delivery = function_fixture.deliver(event_id=event_id)
            except _LOST:
                function_fixture.function.start()
                if effect and called[-1].endswith("builds.create"):  # the cloud may be still at it
                    eventually(partial(more_builds, function_fixture, before))
            else:
                break
        again = function_fixture.deliver(event_id=event_id)
        assert again.acknowledged, f"killed at {called[-1]}"
        assert len(function_fixture.builds()) == before + 1, f"killed at {called[-1]}"
        points += 1
    assert delivery.acknowledged
    print(f"{points} calls: {called}")
    assert points >= MIN_POINTS, "the number of crash points must not fall"
