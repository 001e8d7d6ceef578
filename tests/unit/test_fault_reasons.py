"""A fault on the VM has a declared reason, and each reason has a meaning of its own or is retried on purpose."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from builder.judge.cell_checks import START_AGAIN
from builder.vm.runner.fault import REASONS
from tests.unit.good_attempt import Attempt

ROOT = Path(__file__).resolve().parents[2]
# The reasons without a meaning of their own: the job runs again on a fresh VM.
RETRIED = {
    "gpu_not_visible",
    "lease_lost",
    "preempted",
    "runner",
    "secret_unavailable",
    "storage",
    "workspace",
}


def test_the_runner_raises_only_declared_reasons() -> None:
    """`Fault` turns any other reason into `runner`, and the job would be retried."""
    undeclared = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.args[0].value!r}"
        for path in sorted((ROOT / "builder/vm/runner").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Fault"
        if node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value not in REASONS
    ]
    assert undeclared == [], "REASONS of builder/vm/runner/fault.py lacks them"


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_a_reason_has_a_meaning_or_is_retried_on_purpose(reason: str) -> None:
    def fail(evidence: dict[str, Any]) -> None:
        evidence["fault"] = {"reason": reason, "message": "", "cell": None}

    verdict = Attempt(on_evidence=[fail]).judge()
    assert verdict.reason == reason
    general = verdict.advice == START_AGAIN
    assert general is (reason in RETRIED), f"{reason}: add it to builder/judge/known_faults.py, or to RETRIED"
