"""docs/reliability.md has all promises, and each test that it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from builder.gcp.call_table import CALLS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
PROMISES = {int(row[1]): row[0] for row in re.finditer(r"^\| (\d+) \| .*$", PAGE, re.MULTILINE)}


def test_each_promise_is_shown_by_a_test_or_marked() -> None:
    assert list(PROMISES) == list(range(1, 16))
    for number, row in PROMISES.items():
        assert "**not shown**" in row or "`tests/" in row, number


def test_each_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`(tests/\w+/\w+\.py)(?:::(\w+))?`", PAGE)
    assert len(named) > 20
    for file, function in named:
        nodes = ast.parse((ROOT / file).read_text()).body
        assert not function or function in {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


def test_the_page_counts_the_calls() -> None:
    assert f"| calls in the list | {len(CALLS)} |" in PAGE
