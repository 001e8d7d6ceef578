"""Fault plans: the calls that a fault acts on, its counts, and the messages for malformed ones."""

from typing import Any

import pytest

from localcloud.core.faults import FaultPlan
from localcloud.services.functions.uploads import UPLOAD
from localcloud.services.registry import SPECS
from localcloud.services.run.front import INVOKE
from localcloud.services.storage.calls_uploads import CANCEL, PART, START, STATUS

DROP = {"method": "compute.instances.get", "action": "drop_before"}


def plan(*specs: dict[str, Any]) -> FaultPlan:
    made = FaultPlan(SPECS)
    for spec in specs:
        made.add(spec)
    return made


def actions(faults: FaultPlan, *names: str, method: str = "compute.instances.get") -> list[str | None]:
    taken = [faults.take(method, {"instance": name}) for name in names]
    return [fault.action if fault else None for fault in taken]


def test_a_list_with_a_mistake_adds_no_fault() -> None:
    faults = plan()
    with pytest.raises(ValueError, match="explode"):
        faults.add(DROP, {**DROP, "action": "explode"})
    assert faults.inventory() == []


def test_a_fault_acts_once_and_is_counted() -> None:
    faults = plan(DROP)
    assert actions(faults, "a", "b") == ["drop_before", None]
    assert faults.inventory()[0] == {**DROP, "match": {}, "skip": 0, "times": 1, "args": {}, "consumed": 1}


def test_another_method_is_left_alone() -> None:
    assert actions(plan(DROP), "a", method="compute.instances.insert") == [None]


def test_a_method_may_be_a_glob() -> None:
    assert actions(plan({**DROP, "method": "compute.instances.*"}), "a") == ["drop_before"]


def test_skip_and_times_count_matching_calls_only() -> None:
    faults = plan({**DROP, "match": {"instance": "nb-*"}, "skip": 1, "times": 2})
    assert actions(faults, "nb-1", "other", "nb-2", "nb-3", "nb-4") == [
        None,
        None,
        "drop_before",
        "drop_before",
        None,
    ]


def test_a_fact_that_the_call_does_not_have_matches_nothing() -> None:
    assert actions(plan({**DROP, "match": {"zone": "*"}}), "a") == [None]


def test_matches_compare_booleans_as_json_spells_them() -> None:
    faults = plan({**DROP, "match": {"flag": "true"}})
    assert faults.take("compute.instances.get", {"flag": True}) is not None


def test_the_first_fault_that_is_due_acts_and_the_next_has_its_turn_after_it() -> None:
    faults = plan({**DROP, "skip": 1}, {**DROP, "action": "drop_after"})
    assert actions(faults, "a", "b", "c") == ["drop_after", "drop_before", None]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"mehtod": "x"}, "unknown key 'mehtod'", id="unknown key"),
        pytest.param({"method": ""}, "needs 'method'", id="no method"),
        pytest.param({"action": "explode"}, "unknown fault action 'explode'", id="unknown action"),
        pytest.param({"times": 0}, "'times' is a whole number of at least 1", id="no times"),
        pytest.param({"skip": True}, "'skip' is a whole number", id="boolean for a number"),
        pytest.param({"match": []}, "'match' is a JSON object", id="list for a match"),
        pytest.param({"args": {"seconds": 1}}, "no arg 'seconds'", id="unknown arg"),
        pytest.param({"action": "error"}, "needs the arg 'status'", id="missing arg"),
        pytest.param(
            {"method": "storage.objects.insert", "action": "truncate"},
            "needs the arg 'bytes'",
            id="missing arg of a storage fault",
        ),
        pytest.param(
            {"action": "error", "args": {"status": "503"}}, "'status' cannot be '503'", id="status as text"
        ),
        pytest.param({"action": "idle"}, "acts on vm.boot", id="action of a VM's boot on an API"),
        pytest.param({"method": "vm.boot"}, "acts on calls of an API", id="action of an API on a VM's boot"),
        pytest.param(
            {"action": "duplicate"}, "acts on pubsub.subscriptions.push", id="action of a delivery on an API"
        ),
        pytest.param(
            {"method": "pubsub.subscriptions.push", "action": "error"},
            "acts on calls of an API",
            id="action of an API on a delivery",
        ),
        pytest.param(
            {"method": "vm.life", "action": "vanish"},
            "one of the args 'after' and 'at'",
            id="no time",
        ),
    ],
)
def test_a_malformed_fault_is_refused_with_its_mistake(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as caught:
        plan({**DROP, **change})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("method", "near"),
    [
        ("compute.instance.get", "compute.instances.get"),
        ("storage.resumable.chunks", "storage.resumable.chunk"),
        ("run.services.invok", "run.services.invoke"),
        ("cloudbuild.projects.build.create", "cloudbuild.projects.builds.create"),
        ("compute.instance.*", "compute.instances."),
        ("vm.bot", "vm.boot"),
    ],
)
def test_an_unknown_method_is_refused_with_the_nearest_one(method: str, near: str) -> None:
    with pytest.raises(ValueError) as caught:
        plan({**DROP, "method": method})
    assert f"fault method {method!r} is no API method" in str(caught.value)
    assert f"the nearest is '{near}" in str(caught.value)


@pytest.mark.parametrize(
    "method",
    [
        "compute.zones.get",
        "bigquery.jobs.query",
        "storage.objects.insert",
        START,
        PART,
        STATUS,
        CANCEL,
        UPLOAD,
        INVOKE,
        pytest.param("run.projects.locations.services.setIamPolicy", id="setIamPolicy of Cloud Run"),
        "*.projects.testIamPermissions",
        "c*",
    ],
)
def test_a_method_of_google_s_or_of_our_own_is_known(method: str) -> None:
    assert plan({**DROP, "method": method}).inventory()[0]["method"] == method


def test_a_glob_does_not_spend_itself_where_nobody_calls() -> None:
    faults = plan({"method": "*", "action": "drop_before"})
    assert actions(faults, "a", method="vm.boot") == actions(faults, "a", method="vm.life") == [None]
    assert actions(faults, "a") == ["drop_before"]


def test_a_fault_that_is_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match="a JSON object"):
        FaultPlan(SPECS).add("drop")  # type: ignore[arg-type]
