"""A fault on the VM has a listed reason, and each reason has a meaning of its own or is retried on purpose."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from builder.judge.cell_checks import START_AGAIN
from builder.vm.protocol import PREEMPTED
from tests.unit.good_attempt import Attempt

ROOT = Path(__file__).resolve().parents[2]
REASONS = {
    "cell_timeout",
    "notebook_timeout",
    "run_timeout",
    "too_many_outputs",
    "kernel_died",
    "out_of_memory",
    "kernel_not_found",
    "disk_full",
    "notebook_unreadable",
    "notebook_failed",
    "gpu_not_visible",
    "lease_lost",
    "setup_failed",
    "setup_timeout",
    "requirements_unresolvable",
    "requirements_timeout",
    "index_unreachable",
    "index_refused",
    "index_untrusted",
    "ca_bundle_unusable",
    "secret_refused",
    "secret_unfit",
    "secret_unavailable",
    "secret_in_source",
    "secret_in_output",
    PREEMPTED,
    "workspace",
    "forbidden",
    "storage",
    "runner",
}
# The reasons without a meaning of their own: the job runs again on a fresh VM.
RETRIED = {
    "gpu_not_visible",
    "lease_lost",
    "runner",
    "secret_unavailable",
    "storage",
    "workspace",
}


def test_the_runner_raises_only_listed_reasons() -> None:
    """A reason that the judge does not know would be retried."""
    unlisted = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {reason!r}"
        for path in sorted((ROOT / "builder/vm/runner").rglob("*.py"))
        for tree in [ast.parse(path.read_text(encoding="utf-8"))]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Fault"
        for reason in _texts(node.args[0], tree)
        if reason not in REASONS
    ]
    assert unlisted == [], "REASONS lacks them"


def _texts(value: ast.expr, tree: ast.Module) -> list[object]:
    """Return the literal values that an expression, or the variable of the module that it names, can have."""
    match value:
        case ast.Constant(literal):
            return [literal]
        case ast.IfExp(body=body, orelse=orelse):
            return [*_texts(body, tree), *_texts(orelse, tree)]
        case ast.Name(name):
            return [text for found in _assigned(name, tree) for text in _texts(found, tree)]
    return []


def _assigned(name: str, tree: ast.Module) -> list[ast.expr]:
    assignments = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    return [
        node.value
        for node in assignments
        for target in node.targets
        if isinstance(target, ast.Name) and target.id == name
    ]


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_a_reason_has_a_meaning_or_is_retried_on_purpose(reason: str) -> None:
    def fail(evidence: dict[str, Any]) -> None:
        evidence["fault"] = {"reason": reason, "message": "", "cell": None}

    verdict = Attempt(on_evidence=[fail]).judge()
    assert verdict.reason == reason
    general = verdict.advice == START_AGAIN
    assert general is (reason in RETRIED), f"{reason}: add it to builder/judge/known_faults.py, or to RETRIED"
