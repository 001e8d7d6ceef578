"""Machine types and GPUs that Compute Engine does not have are told before a VM is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from builder.act.offer import Offer
from builder.errors import ExitCode, InputRefused, NoCapacity
from builder.plan.build_plan import JobPlan
from tests.integration.cloud_fixture import CloudFixture
from tests.integration.simulated_guests import green

LOOK_UP = "compute.machineTypes.aggregatedList"


def check(cloud_fixture: CloudFixture, job: JobPlan) -> None:
    Offer(cloud_fixture.machines(), [job]).check(job)


def job(cloud_fixture: CloudFixture, tmp_path: Path, **options: str) -> JobPlan:
    return cloud_fixture.plan(tmp_path / "repo", **options).jobs[0]


@pytest.mark.parametrize(
    ("options", "told", "meant"),
    [
        pytest.param(
            {"NB_MACHINE_TYPE": "e2-standart-4"},
            "NB_MACHINE_TYPE is e2-standart-4",
            "e2-standard-4",
            id="typo",
        ),
        pytest.param(
            {"NB_MACHINE_TYPE": "n1-standard-3", "NB_ZONES": "europe-west4"},
            "NB_MACHINE_TYPE is n1-standard-3",
            "n1-standard-",
            id="region",
        ),
    ],
)
def test_a_type_that_no_zone_has_is_2_and_names_the_nearest(
    cloud_fixture: CloudFixture, tmp_path: Path, options: dict[str, str], told: str, meant: str
) -> None:
    with pytest.raises(InputRefused) as caught:
        check(cloud_fixture, job(cloud_fixture, tmp_path, **options))
    assert caught.value.message.startswith(f"{told}, which no zone of Compute Engine offers; did you mean ")
    assert meant in caught.value.message
    assert cloud_fixture.compute.inserts() == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        pytest.param(
            {"NB_MACHINE_TYPE": "c3-standard-4", "NB_ZONES": "us-central1-f,us-west1-c"},
            "It is in europe-west1-b, europe-west1-c, europe-west4-a, europe-west4-b, europe-west4-c, us-central1-a,",
            id="machine type",
        ),
        pytest.param(
            {
                "NB_MACHINE_TYPE": "n1-standard-4",
                "NB_ACCELERATOR": "nvidia-tesla-v100:1",
                "NB_ZONES": "europe-west1",
            },
            "NB_ACCELERATOR is nvidia-tesla-v100, which none of the allowed zones offers (europe-west1)",
            id="gpu in no zone of the region",
        ),
    ],
)
def test_a_type_that_other_zones_have_is_3_and_tells_where(
    cloud_fixture: CloudFixture, tmp_path: Path, options: dict[str, str], told: str
) -> None:
    with pytest.raises(NoCapacity) as caught:
        check(cloud_fixture, job(cloud_fixture, tmp_path, **options))
    assert told in caught.value.message
    assert "NB_ZONES" in caught.value.advice


@pytest.mark.parametrize(
    "options",
    [{}, {"NB_MACHINE_TYPE": "c3-standard-4"}, {"NB_ZONES": "europe-west4"}],
    ids=["defaults", "machine type", "region"],
)
def test_a_type_that_an_allowed_zone_has_passes(
    cloud_fixture: CloudFixture, tmp_path: Path, options: dict[str, str]
) -> None:
    check(cloud_fixture, job(cloud_fixture, tmp_path, **options))


@pytest.mark.parametrize("name", ["custom-4-8192", "e2-custom-4-8192", "n2-custom-8-16384-ext"])
def test_a_custom_machine_type_is_in_no_list_and_not_looked_up(
    cloud_fixture: CloudFixture, tmp_path: Path, name: str
) -> None:
    check(cloud_fixture, job(cloud_fixture, tmp_path, NB_MACHINE_TYPE=name))


@pytest.mark.parametrize(
    "fault",
    [{"status": 403, "reason": "forbidden"}, {"status": 404, "reason": "notFound"}],
    ids=["403", "404"],
)
def test_a_look_up_that_is_refused_keeps_nobody_from_a_vm(
    cloud_fixture: CloudFixture, tmp_path: Path, fault: dict[str, Any]
) -> None:
    cloud_fixture.fault(LOOK_UP, "error", **fault)
    cloud_fixture.guests = [green]
    assert cloud_fixture.run(cloud_fixture.plan(tmp_path / "repo")) is ExitCode.GREEN


def test_a_run_with_a_mistyped_name_asks_for_no_vm_and_is_2(
    cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_MACHINE_TYPE="e2-standart-4", NB_ZONES="us-central1")
    assert cloud_fixture.run(plan, "run-typo") is ExitCode.BAD_INPUT
    assert cloud_fixture.compute.inserts() == []
    assert "did you mean e2-standard-4" in cloud_fixture.log.getvalue()
    document = json.loads(
        cloud_fixture.store().read(f"{cloud_fixture.prefix}/results/run-typo/summary.json") or b"{}"
    )
    assert [entry["reason"] for entry in document["jobs"]] == ["no_such_type"]
