"""The fault matrix is whole.

Each of its 41 rows has a test and a golden text, and each test that a row names exists.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from tests.deploy.test_fault_matrix import ROWS as OF_DEPLOYMENTS
from tests.function.test_fault_matrix import ROWS as OF_EVENTS
from tests.golden_endings import FOLDER
from tests.integration.test_fault_matrix import ROWS as OF_RUNS

ROOT = Path(__file__).resolve().parents[2]
NAMES = [*OF_RUNS, *OF_DEPLOYMENTS, *OF_EVENTS]


def test_each_of_the_rows_is_played() -> None:
    assert {int(name.partition("-")[0]) for name in NAMES} == set(range(1, 42))
    assert len(set(NAMES)) == len(NAMES)


def test_each_golden_text_belongs_to_a_row() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(NAMES)


def test_each_red_end_says_why_what_to_do_and_which_vms_are_left() -> None:
    endings = {path.stem: path.read_text() for path in FOLDER.glob("*.txt")}
    red = {name: text for name, text in endings.items() if "verdict: RED" in text}
    assert len(red) > 20
    for name, text in red.items():
        _verdict, why, *_ = text.splitlines()
        assert why.startswith("  "), name
        assert "do: " in text or "cancelled by a signal" in text, name
        assert "left behind: " in text, name
    for name, text in endings.items():
        # As localcloud's inventory has it; what is left of row 15 is somebody else's VM.
        if "VMs and disks left: " in text and name != "15-name-taken":
            assert ("left behind: nothing" in text) == ("VMs and disks left: 0" in text), name


@cache
def _functions(file: str) -> set[str]:
    nodes = ast.parse((ROOT / file).read_text()).body
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


def test_each_test_that_a_row_names_exists() -> None:
    named = [row.also for row in OF_RUNS.values() if row.also]
    assert len(named) > 10
    for also in named:
        file, _, function = also.partition("::")
        assert function in _functions(file), also
