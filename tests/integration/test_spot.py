"""Spot VMs: what is asked for and in which order, and what becomes of a job whose VM is taken back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from builder.errors import ExitCode, NoCapacity
from builder.plan.vm_spec import models_to_try
from tests.integration.cloud_fixture import CloudFixture, Guest
from tests.integration.simulated_guests import green, silent

A, B, C = "us-central1-a", "us-central1-b", "us-east1-b"


def asked(cloud_fixture: CloudFixture) -> list[tuple[str, str]]:
    """Zone and provisioning model of every insert, in order."""
    return [
        (item.zone, item.body["scheduling"]["provisioningModel"]) for item in cloud_fixture.compute.inserts()
    ]


def stock_out(cloud_fixture: CloudFixture, times: int) -> None:
    cloud_fixture.fault(
        "compute.instances.insert",
        "operation_error",
        times=times,
        code="ZONE_RESOURCE_POOL_EXHAUSTED",
        message="does not have enough resources available",
    )


@pytest.mark.parametrize(
    ("provisioning", "attempt", "most", "models"),
    [
        pytest.param("standard", 1, 3, ("STANDARD",), id="standard"),
        pytest.param("spot", 1, 3, ("SPOT",), id="spot, first attempt"),
        pytest.param("spot", 3, 3, ("SPOT",), id="spot, last attempt"),
        pytest.param("spot-then-standard", 1, 3, ("SPOT", "STANDARD"), id="both, first attempt"),
        pytest.param("spot-then-standard", 2, 3, ("SPOT", "STANDARD"), id="both, second attempt"),
        pytest.param("spot-then-standard", 3, 3, ("STANDARD",), id="both, last attempt"),
        pytest.param("spot-then-standard", 1, 1, ("SPOT", "STANDARD"), id="both, only attempt"),
    ],
)
def test_which_models_an_attempt_asks_for(
    provisioning: str, attempt: int, most: int, models: tuple[str, ...]
) -> None:
    assert models_to_try(provisioning, attempt, most) == models


def test_a_spot_vm_is_deleted_when_it_is_taken_back(cloud_fixture: CloudFixture, tmp_path: Path) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_PROVISIONING="spot")
    cloud_fixture.placement(cloud_fixture.fleet()).place(cloud_fixture.vm_request(plan))
    (insert,) = cloud_fixture.compute.inserts()
    scheduling: dict[str, Any] = insert.body["scheduling"]
    assert scheduling["provisioningModel"] == "SPOT"
    assert scheduling["instanceTerminationAction"] == "DELETE"
    assert scheduling["onHostMaintenance"] == "TERMINATE"
    assert scheduling["maxRunDuration"] == {"seconds": str(plan.jobs[0].limits.vm)}


def test_every_zone_is_asked_for_spot_before_any_for_standard(
    cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_PROVISIONING="spot-then-standard", NB_ZONES=f"{A},{C}")
    stock_out(cloud_fixture, times=2)
    vm = cloud_fixture.placement(cloud_fixture.fleet()).place(cloud_fixture.vm_request(plan))
    assert asked(cloud_fixture) == [(A, "SPOT"), (C, "SPOT"), (A, "STANDARD")]
    assert (vm.zone, vm.model) == (A, "STANDARD")
    assert any(f"{A} (Spot): ZONE_RESOURCE_POOL_EXHAUSTED" in text for text in cloud_fixture.said)


def test_a_quota_of_spot_does_not_close_the_region_for_standard(
    cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    plan = cloud_fixture.plan(
        tmp_path / "repo", NB_PROVISIONING="spot-then-standard", NB_ZONES=f"{A},{B},{C}"
    )
    message = "Quota 'PREEMPTIBLE_CPUS' exceeded.  Limit: 0.0 in region us-central1."
    for zone in (A, C):
        cloud_fixture.fault(
            "compute.instances.insert",
            "error",
            match={"zone": zone},
            status=403,
            reason="quotaExceeded",
            message=message,
        )
    vm = cloud_fixture.placement(cloud_fixture.fleet()).place(cloud_fixture.vm_request(plan))
    refused = [text.split(": ")[0] for text in cloud_fixture.said if text.startswith("VM refused in")]
    assert refused == [f"VM refused in {zone} (Spot)" for zone in (A, C)]
    assert (vm.zone, vm.model) == (A, "STANDARD")


def test_without_any_vm_the_table_tells_zones_models_and_codes(
    cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_PROVISIONING="spot-then-standard", NB_ZONES=f"{A},{C}")
    stock_out(cloud_fixture, times=4)
    with pytest.raises(NoCapacity) as caught:
        cloud_fixture.placement(cloud_fixture.fleet()).place(cloud_fixture.vm_request(plan))
    lines = caught.value.message.splitlines()[1:]
    assert [line.split(": ")[0].strip() for line in lines] == [f"{A} (Spot)", f"{C} (Spot)", A, C]
    assert all("ZONE_RESOURCE_POOL_EXHAUSTED" in line for line in lines)
    assert cloud_fixture.left() == []


@pytest.mark.always(1)
@pytest.mark.parametrize(
    ("after", "guests"), [(0, [green]), (20, [silent, green])], ids=["while it boots", "while it works"]
)
def test_a_job_that_is_taken_back_runs_again_and_last_on_a_standard_vm(
    cloud_fixture: CloudFixture, tmp_path: Path, after: float, guests: list[Guest]
) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_PROVISIONING="spot-then-standard", NB_MAX_ATTEMPTS="2")
    cloud_fixture.fault("vm.life", "preempt", after=after)
    cloud_fixture.guests = list(guests)
    assert cloud_fixture.run(plan) is ExitCode.GREEN, cloud_fixture.log.getvalue()
    assert [model for _, model in asked(cloud_fixture)] == ["SPOT", "STANDARD"]
    assert "was preempted: Compute Engine took the Spot VM back" in cloud_fixture.log.getvalue()
    assert cloud_fixture.left() == []


def test_a_spot_vm_that_is_taken_back_each_time_is_6(cloud_fixture: CloudFixture, tmp_path: Path) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_PROVISIONING="spot", NB_MAX_ATTEMPTS="3")
    cloud_fixture.fault("vm.life", "preempt", after=5, times=3)
    cloud_fixture.guests = [silent]
    assert cloud_fixture.run(plan) is ExitCode.ENVIRONMENT_FAILED
    assert [model for _, model in asked(cloud_fixture)] == ["SPOT"] * 3
    assert cloud_fixture.left() == []


def test_a_failed_host_is_named_as_such(cloud_fixture: CloudFixture, tmp_path: Path) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_MAX_ATTEMPTS="1")
    cloud_fixture.fault("vm.life", "vanish", after=5)
    cloud_fixture.guests = [silent]
    assert cloud_fixture.run(plan) is ExitCode.ENVIRONMENT_FAILED
    assert "its host failed" in cloud_fixture.log.getvalue()
