"""The kit's archives go to the bucket when a VM or a job first needs them, each once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from builder.errors import ExitCode
from builder.gcp.storage import GoogleObjectStore
from builder.kit import Kit
from builder.plan.build_plan import Plan
from tests.integration.cloud_fixture import CloudFixture, StandIn
from tests.integration.simulated_guests import asking, forging, green, open_session


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names below kits/ that were written, in order."""
    written: list[str] = []
    for verb in ("create", "replace"):
        real = getattr(GoogleObjectStore, verb)

        def noted(store: Any, name: str, *arguments: Any, real: Any = real, **options: Any) -> Any:
            if "/kits/" in name:
                written.append(name)
            return real(store, name, *arguments, **options)

        monkeypatch.setattr(GoogleObjectStore, verb, noted)
    return written


def named(plan: Plan, small: Kit, *names: str) -> list[str]:
    return [plan.location.object("kits", f"{small.archives[name].sha256}.tar.gz") for name in names]


def test_nothing_is_uploaded_unasked(cloud_fixture: CloudFixture, plan: Plan, uploads: list[str]) -> None:
    cloud_fixture.guests = [green]
    assert cloud_fixture.run(plan) is ExitCode.GREEN, cloud_fixture.log.getvalue()
    assert uploads == []


def test_a_vm_gets_the_kit_of_its_cpython_and_no_other(
    cloud_fixture: CloudFixture, plan: Plan, uploads: list[str], small_kit: Kit
) -> None:
    cloud_fixture.guests = [asking("cp312")]
    assert cloud_fixture.run(plan) is ExitCode.GREEN, cloud_fixture.log.getvalue() + str(cloud_fixture.said)
    assert uploads == named(plan, small_kit, "cp312")
    assert cloud_fixture.store().read(uploads[0]) == small_kit.archives["cp312"].path.read_bytes()
    assert cloud_fixture.said == []


def test_vms_that_ask_at_once_make_one_upload(
    cloud_fixture: CloudFixture, tmp_path: Path, uploads: list[str], small_kit: Kit
) -> None:
    both = cloud_fixture.plan(tmp_path / "repo", ("a.ipynb", "b.ipynb", "c.ipynb"))
    cloud_fixture.guests = [asking("cp311"), asking("cp313"), asking("cp311")]
    assert cloud_fixture.run(both) is ExitCode.GREEN, cloud_fixture.log.getvalue() + str(cloud_fixture.said)
    assert sorted(uploads) == sorted(named(both, small_kit, "cp311", "cp313"))


def test_later_attempts_and_runs_find_the_kit_of_the_first(
    cloud_fixture: CloudFixture, plan: Plan, uploads: list[str], small_kit: Kit
) -> None:
    def asks_and_vanishes(_world: CloudFixture, machine: StandIn) -> None:
        session = open_session(cloud_fixture, machine)
        session.ask("cp311")
        session.fetch(session.job["kits"]["cp311"]["object"])
        machine.events.ended()

    cloud_fixture.guests = [asks_and_vanishes, asking("cp311"), asking("cp311")]
    assert cloud_fixture.run(plan) is ExitCode.GREEN, cloud_fixture.log.getvalue() + str(cloud_fixture.said)
    assert cloud_fixture.run(plan) is ExitCode.GREEN, cloud_fixture.log.getvalue() + str(
        cloud_fixture.said
    )  # another run
    assert len(cloud_fixture.machines_booted) == 3
    assert uploads == named(plan, small_kit, "cp311")


@pytest.mark.always(1)
@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param("uv", id="uv"),
        pytest.param("../live/x", id="path"),
        pytest.param(["cp311"], id="list"),
        pytest.param("cp310", id="unknown", marks=pytest.mark.exhaustive),
        pytest.param("", id="empty", marks=pytest.mark.exhaustive),
        pytest.param(311, id="number", marks=pytest.mark.exhaustive),
        pytest.param({"cp311": 1}, id="mapping", marks=pytest.mark.exhaustive),
    ],
)
def test_a_wish_for_anything_else_uploads_nothing(
    cloud_fixture: CloudFixture, plan: Plan, uploads: list[str], wanted: object
) -> None:
    cloud_fixture.guests = [forging(wanted)]
    assert cloud_fixture.run(plan) is ExitCode.GREEN, cloud_fixture.log.getvalue() + str(cloud_fixture.said)
    assert uploads == []


@pytest.mark.exhaustive
def test_a_wish_of_another_attempt_uploads_nothing(
    cloud_fixture: CloudFixture, plan: Plan, uploads: list[str]
) -> None:
    cloud_fixture.guests = [forging("cp311", nonce="forged")]
    assert cloud_fixture.run(plan) is ExitCode.GREEN, cloud_fixture.log.getvalue() + str(cloud_fixture.said)
    assert uploads == []


def test_a_broken_kit_in_the_bucket_is_replaced(
    cloud_fixture: CloudFixture, plan: Plan, small_kit: Kit
) -> None:
    (name,) = named(plan, small_kit, "cp311")
    cloud_fixture.store().replace(name, b"torn", content_type="application/gzip")
    cloud_fixture.guests = [asking("cp311")]
    assert cloud_fixture.run(plan) is ExitCode.GREEN, cloud_fixture.log.getvalue() + str(cloud_fixture.said)
    assert cloud_fixture.store().read(name) == small_kit.archives["cp311"].path.read_bytes()


def test_a_kit_that_may_not_be_uploaded_is_4_and_ends_the_vm(cloud_fixture: CloudFixture, plan: Plan) -> None:
    cloud_fixture.guests = [asking("cp311")]
    cloud_fixture.fault(
        "storage.objects.insert", "error", status=403, message="denied", match={"name": "*/kits/*"}
    )
    assert cloud_fixture.run(plan) is ExitCode.PROJECT_SETUP
    assert cloud_fixture.left() == []


def test_uv_goes_up_for_a_job_with_requirements_only(
    cloud_fixture: CloudFixture, tmp_path: Path, uploads: list[str], small_kit: Kit
) -> None:
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "requirements.txt").write_text("alpha==1\n")
    plan = cloud_fixture.plan(folder, NB_REQUIREMENTS="requirements.txt")
    cloud_fixture.guests = [green]
    assert cloud_fixture.run(plan) is ExitCode.GREEN, cloud_fixture.log.getvalue() + str(cloud_fixture.said)
    assert uploads == named(plan, small_kit, "uv")
