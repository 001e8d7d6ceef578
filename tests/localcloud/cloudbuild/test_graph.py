"""The order in which steps start."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.services.cloudbuild.rules_graph import order_problems, ready

Json = dict[str, Any]


def _step(id_: str | None = None, *wait_for: str) -> Json:
    return (
        {"name": "ubuntu"} | ({"id": id_} if id_ else {}) | ({"waitFor": list(wait_for)} if wait_for else {})
    )


@pytest.mark.parametrize(
    ("steps", "done", "started", "expected"),
    [
        pytest.param([_step(), _step()], set(), set(), [0], id="first of a sequence"),
        pytest.param([_step(), _step()], set(), {0}, [], id="first still runs"),
        pytest.param([_step(), _step()], {0}, {0}, [1], id="second of a sequence"),
        pytest.param([_step(), _step("b", "-"), _step()], set(), set(), [0, 1], id="one waits for nothing"),
        pytest.param([_step(), _step("b", "-"), _step()], {1}, {0, 1}, [], id="waits for all before it"),
        pytest.param([_step("a"), _step("b", "a"), _step("c", "a")], {0}, {0}, [1, 2], id="two wait for one"),
        pytest.param(
            [_step("a"), _step("b", "-"), _step("c", "a")],
            {0},
            {0, 1},
            [2],
            id="named one done, another runs",
        ),
        pytest.param([_step("a"), _step("b", "-", "a")], set(), set(), [0], id="dash among names"),
        pytest.param([_step("a")], {0}, {0}, [], id="all done"),
        pytest.param([_step("a")], {0}, set(), [], id="done but never started"),
        pytest.param([], set(), set(), [], id="no steps"),
    ],
)
def test_ready(steps: list[Json], done: set[int], started: set[int], expected: list[int]) -> None:
    assert ready(steps, done, started) == expected


@st.composite
def _graphs(draw: st.DrawFn) -> list[Json]:
    """Draw steps that wait as Google lets them: for nothing, for all before, or for some before."""
    steps = []
    for index in range(draw(st.integers(0, 8))):
        earlier = st.sampled_from(["-", *(f"s{n}" for n in range(index))])
        steps.append(_step(f"s{index}", *draw(st.lists(earlier, max_size=3, unique=True))))
    return steps


@given(_graphs(), st.randoms(use_true_random=False))
def test_every_graph_ends_and_no_step_starts_before_what_it_waits_for(steps: list[Json], random: Any) -> None:
    assert order_problems(steps) == []
    done: set[int] = set()
    running: set[int] = set()
    while len(done) < len(steps):
        for index in ready(steps, done, done | running):
            wanted = steps[index].get("waitFor", [f"s{n}" for n in range(index)])
            assert {f"s{n}" for n in done} >= set(wanted) - {"-"}
            assert index not in running | done
            running.add(index)
        assert running, "nothing runs and nothing may start"
        ended = random.choice(sorted(running))
        running.remove(ended)
        done.add(ended)


@given(st.lists(st.lists(st.sampled_from(["-", "s0", "s1", "s2", "s3", "nobody"]), max_size=2), max_size=4))
def test_every_accepted_order_ends(waits: list[list[str]]) -> None:
    steps = [_step(f"s{index}", *wait) for index, wait in enumerate(waits)]
    wrong = {(index, name) for index, wait in enumerate(waits) for name in wait if name != "-"}
    wrong = {(index, name) for index, name in wrong if name == "nobody" or int(name[1:]) >= index}
    found = {
        (problem.path[1], waits[int(problem.path[1])][int(problem.path[3])])
        for problem in order_problems(steps)
    }
    assert found == wrong
    if not wrong:
        done: set[int] = set()
        while starting := ready(steps, done, done):
            done |= set(starting)
        assert done == set(range(len(steps)))


@pytest.mark.parametrize(
    ("steps", "path", "words"),
    [
        pytest.param(
            [_step("a", "b"), _step("b", "a")],
            ("steps", 0, "waitFor", 0),
            "step #1 is defined later",
            id="circle",
        ),
        pytest.param(
            [_step("a", "a")], ("steps", 0, "waitFor", 0), "it is this step itself", id="waits for itself"
        ),
        pytest.param(
            [_step("a"), _step(None, "x")],
            ("steps", 1, "waitFor", 0),
            'build step #1 depends on "x", which has not been defined: no step has this ID; earlier IDs: "a", or "-"',
            id="unknown name",
        ),
        pytest.param(
            [_step("a"), _step("a")],
            ("steps", 1, "id"),
            "the ID is not unique; step #0 has it too",
            id="ID given twice",
        ),
        pytest.param(
            [_step("-")], ("steps", 0, "id"), 'the ID cannot be "-" which is reserved', id="dash as ID"
        ),
    ],
)
def test_order_problems(steps: list[Json], path: tuple[str | int, ...], words: str) -> None:
    [problem] = order_problems(steps)
    assert problem.path == path
    assert words in problem.text
