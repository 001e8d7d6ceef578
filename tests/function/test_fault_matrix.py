"""The rows of the fault matrix about events. tests/integration/test_fault_matrix.py has those about runs."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.function.function_fixture import Delivery, FunctionFixture, new_id
from tests.function.test_failures import CREATE
from tests.golden_endings import check


def duplicates(function_fixture: FunctionFixture) -> list[Delivery]:
    """One event, delivered three times. test_a_thousand_duplicates_are_one_build has a thousand, 32 at once."""
    event_id = new_id()
    return [function_fixture.deliver(event_id=event_id) for _ in range(3)]


def crashed(function_fixture: FunctionFixture) -> list[Delivery]:
    """The function asks for the build, and never learns that there is one."""
    function_fixture.fault(CREATE, "drop_after")
    event_id = new_id()
    return [function_fixture.deliver(event_id=event_id) for _ in range(2)]


ROWS: dict[str, Callable[[FunctionFixture], list[Delivery]]] = {
    "34-duplicate-events": duplicates,
    "35-function-crashes": crashed,
}


@pytest.mark.parametrize("name", ROWS)
def test_row(function_fixture: FunctionFixture, name: str) -> None:
    lines = [
        f"{delivery.status} {line['severity']}: {line['message']}\n"
        for delivery in ROWS[name](function_fixture)
        for line in delivery.lines
    ]
    assert len(function_fixture.builds()) == 1
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\b\d{16}\b", "ID", "".join(lines))
    check(name, f"{text}== builds: 1\n")
