"""docs/false-greens.md names every trap of the catalogue, with the reason it gets and a test that exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.e2e.test_traps import TRAPS as REAL
from tests.unit.test_verdict import TRAPS as PURE
from tests.vm.test_cell_ends import ENDS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/false-greens.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")] for line in PAGE.splitlines() if "| `" in line
]
CELL_ENDS = [row for row in ROWS if len(row) == 4 and re.fullmatch(r"`\w+`", row[3].strip(" |"))]
ENDINGS = {row[3].strip(" |`"): row[2].strip("`") for row in CELL_ENDS}
WITH_TEST = [row for row in ROWS if len(row) == 4 and row not in CELL_ENDS]
SPOILT = {row[0]: row[1].strip(" |`") for row in ROWS if len(row) == 2}
MIN_ROWS = 25
ELSEWHERE = {"test_trap": REAL, "test_spoilt_in_one_way_it_is_red": PURE}


@cache
def functions(file: str) -> dict[str, str]:
    """The test functions of a file, with their text."""
    text = (ROOT / file).read_text(encoding="utf-8")
    nodes = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    return {node.name: ast.get_source_segment(text, node) or "" for node in nodes}


@pytest.mark.parametrize("row", WITH_TEST, ids=lambda row: row[0][:40])
def test_the_test_that_a_row_names_exists(row: list[str]) -> None:
    match = re.fullmatch(r"`(tests/\w+/\w+\.py)::(\w+)(?:\[(\w+)\])?`", row[3].strip(" |"))
    assert match, row[3]
    file, function, case = match.groups()
    assert function in functions(file)
    if function == "test_trap":
        assert REAL[case].reason == row[2].strip("`")
    elif case:
        assert f'"{case}"' in (ROOT / file).read_text(encoding="utf-8")


def test_every_real_trap_is_on_the_page() -> None:
    named = set(re.findall(r"test_trap\[(\w+)\]", PAGE))
    told_elsewhere = {"forges_the_log"}
    assert named | told_elsewhere == set(REAL)


def test_every_spoilt_attempt_is_on_the_page_with_its_reason() -> None:
    assert {name: reason for name, (_, _, reason) in PURE.items()} == SPOILT


def test_every_end_of_a_cell_is_on_the_page_with_its_reason() -> None:
    assert {name: reason for name, (_, reason, _, _) in ENDS.items()} == ENDINGS


def test_there_are_enough_of_them() -> None:
    assert len(WITH_TEST) + len(SPOILT) > MIN_ROWS
    assert len(REAL) >= 10
