"""The list of Google calls is whole: each row has a test, and each call that the code names has a row."""

from __future__ import annotations

import re
from pathlib import Path

from builder.gcp.call_table import CALLS, FUNCTION, VM, Family, row
from builder.gcp.clients import CALL_BUDGET
from builder.vm.runner import secret_manager
from tests.deploy.test_clients import CALLS as DEPLOY_CASES
from tests.integration.call_cases import CALLS as RUN_CASES

ROOT = Path(__file__).resolve().parents[2]
# How a call is named in builder/gcp/, where `{kind}` stands for two kinds of types.
_NAMED = re.compile(
    r'"((?:compute|storage|pubsub|cloud[a-z]+|run|iam|artifactregistry)\.(?:[A-Za-z]|\.|\{kind\})+)"'
)
_KINDS = ("machineTypes", "acceleratorTypes")
# The tests of the faults of the other rows.
_ELSEWHERE = {
    "cloudbuild.builds.create": "tests/function/test_failures.py::test_a_transient_fault_is_delivered_again",
    "secretmanager.versions.access": "tests/vm/test_secrets.py::test_transient_failures_are_retried",
    "metadata": "tests/integration/test_metadata.py::test_transient_faults_of_the_metadata_server_are_not_noticed",
}


def test_each_row_has_a_case_and_each_case_a_row() -> None:
    """A case of a method that no call reaches fails, because its planned fault is not met."""
    cases = {case.method for case in RUN_CASES} | {case.method for case in DEPLOY_CASES}
    assert cases == {call.method for call in CALLS if call.name not in _ELSEWHERE}


def test_each_row_without_a_case_has_a_test_elsewhere() -> None:
    for name, test in _ELSEWHERE.items():
        assert row(name).name == name
        file, _, function = test.partition("::")
        assert f"def {function}(" in (ROOT / file).read_text(), test


def test_each_call_that_the_code_names_has_a_row_and_each_row_is_named() -> None:
    named = set()
    for path in (ROOT / "builder" / "gcp").glob("*.py"):
        if path.name != "call_table.py":
            for name in _NAMED.findall(path.read_text()):
                named |= {name.replace("{kind}", kind) for kind in _KINDS}
    assert named == {call.name for call in CALLS if call.name not in _ELSEWHERE}


def test_names_and_methods_are_unique() -> None:
    assert len({call.name for call in CALLS}) == len({call.method for call in CALLS}) == len(CALLS)
    assert row("compute.instances.insert").family is Family.REQUEST_ID


def test_only_calls_that_have_an_effect_twice_need_a_reason() -> None:
    for call in CALLS:
        assert bool(call.note) == (call.family is Family.NOT_IDEMPOTENT), call.name


def test_budgets_are_those_of_the_clients() -> None:
    # The serial port only explains.
    own = {call.name: call.budget for call in CALLS if not call.maker}
    assert own.pop("compute.instances.getSerialPortOutput") == 10
    assert set(own.values()) == {CALL_BUDGET}
    assert [call.budget for call in CALLS if call.maker == VM] == [secret_manager.BUDGET_SECONDS]
    # The function has no loop at all: Pub/Sub delivers the event again.
    assert [call.budget for call in CALLS if call.maker == FUNCTION] == [0]
    assert "retry" not in (ROOT / "builder/function/google.py").read_text().lower().replace("redeliver", "")
