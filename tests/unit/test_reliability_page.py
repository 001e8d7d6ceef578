"""docs/reliability.md has all promises, and each test that it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from builder.gcp.call_table import CALLS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
# The rows of the table of tests, by their number.
TESTS = {int(row[1]): row[0] for row in re.finditer(r"^\| (\d+) \| .*$", PAGE, re.MULTILINE)}
TO_CONTRIBUTORS = {12}


def promises() -> list[list[str]]:
    """The cells of each row of the table of promises: the promise, how it is shown, and the numbers of its tests."""
    section = PAGE.partition("\n## Promises\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]  # without the head


def test_each_promise_is_shown_by_a_test_or_marked() -> None:
    used = set()
    for promise, shown, numbers in promises():
        assert ("**not shown**" in shown) == (not numbers), promise
        used |= {int(number) for number in numbers.split(",") if number}
    assert used | TO_CONTRIBUTORS == set(TESTS)
    assert not used & TO_CONTRIBUTORS


def test_each_row_of_tests_names_one() -> None:
    assert list(TESTS) == list(range(1, len(TESTS) + 1))
    for number, row in TESTS.items():
        assert "`tests/" in row, number


def test_each_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`(tests/\w+/\w+\.py)(?:::(\w+))?`", PAGE)
    assert len(named) > 20
    for file, function in named:
        nodes = ast.parse((ROOT / file).read_text()).body
        assert not function or function in {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


def test_the_page_counts_the_calls() -> None:
    assert f"| calls in the list | {len(CALLS)} |" in PAGE
