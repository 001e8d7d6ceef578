"""The kit's archives go to the bucket when a VM or a job first needs them, each once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from builder.errors import ExitCode
from builder.gcp.storage import GoogleObjectStore
from builder.kit import Kit
from builder.plan.make import Plan
from tests.contract.guests import asking, forging, green, sit_down
from tests.contract.world import StandIn, World


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


def test_nothing_is_uploaded_unasked(world: World, plan: Plan, uploads: list[str]) -> None:
    world.guests = [green]
    assert world.run(plan) is ExitCode.GREEN, world.log.getvalue()
    assert uploads == []


def test_a_vm_gets_the_kit_of_its_cpython_and_no_other(
    world: World, plan: Plan, uploads: list[str], small_kit: Kit
) -> None:
    world.guests = [asking("cp312")]
    assert world.run(plan) is ExitCode.GREEN, world.log.getvalue() + str(world.said)
    assert uploads == named(plan, small_kit, "cp312")
    assert world.store().read(uploads[0]) == small_kit.archives["cp312"].path.read_bytes()
    assert world.said == []


def test_vms_that_ask_at_once_make_one_upload(
    world: World, tmp_path: Path, uploads: list[str], small_kit: Kit
) -> None:
    both = world.plan(tmp_path / "repo", ("a.ipynb", "b.ipynb", "c.ipynb"))
    world.guests = [asking("cp311"), asking("cp313"), asking("cp311")]
    assert world.run(both) is ExitCode.GREEN, world.log.getvalue() + str(world.said)
    assert sorted(uploads) == sorted(named(both, small_kit, "cp311", "cp313"))


def test_later_attempts_and_runs_find_the_kit_of_the_first(
    world: World, plan: Plan, uploads: list[str], small_kit: Kit
) -> None:
    def asks_and_vanishes(_world: World, machine: StandIn) -> None:
        desk = sit_down(world, machine)
        desk.ask("cp311")
        desk.fetch(desk.job["kits"]["cp311"]["object"])
        machine.events.ended()

    world.guests = [asks_and_vanishes, asking("cp311"), asking("cp311")]
    assert world.run(plan) is ExitCode.GREEN, world.log.getvalue() + str(world.said)
    assert world.run(plan) is ExitCode.GREEN, world.log.getvalue() + str(world.said)  # another run
    assert len(world.machines_booted) == 3
    assert uploads == named(plan, small_kit, "cp311")


@pytest.mark.parametrize(
    "wanted",
    ["uv", "cp310", "../live/x", "", 311, ["cp311"], {"cp311": 1}],
    ids=["uv", "unknown", "path", "empty", "number", "list", "mapping"],
)
def test_a_wish_for_anything_else_uploads_nothing(
    world: World, plan: Plan, uploads: list[str], wanted: object
) -> None:
    world.guests = [forging(wanted)]
    assert world.run(plan) is ExitCode.GREEN, world.log.getvalue() + str(world.said)
    assert uploads == []


def test_a_wish_of_another_attempt_uploads_nothing(world: World, plan: Plan, uploads: list[str]) -> None:
    world.guests = [forging("cp311", nonce="forged")]
    assert world.run(plan) is ExitCode.GREEN, world.log.getvalue() + str(world.said)
    assert uploads == []


def test_a_broken_kit_in_the_bucket_is_replaced(world: World, plan: Plan, small_kit: Kit) -> None:
    (name,) = named(plan, small_kit, "cp311")
    world.store().replace(name, b"torn", content_type="application/gzip")
    world.guests = [asking("cp311")]
    assert world.run(plan) is ExitCode.GREEN, world.log.getvalue() + str(world.said)
    assert world.store().read(name) == small_kit.archives["cp311"].path.read_bytes()


def test_a_kit_that_may_not_be_uploaded_is_4_and_ends_the_vm(world: World, plan: Plan) -> None:
    world.guests = [asking("cp311")]
    world.fault("storage.objects.insert", "error", status=403, message="denied", match={"name": "*/kits/*"})
    assert world.run(plan) is ExitCode.PROJECT_SETUP
    assert world.left() == []


def test_uv_goes_up_for_a_job_with_requirements_only(
    world: World, tmp_path: Path, uploads: list[str], small_kit: Kit
) -> None:
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "requirements.txt").write_text("alpha==1\n")
    plan = world.plan(folder, NB_REQUIREMENTS="requirements.txt")
    world.guests = [green]
    assert world.run(plan) is ExitCode.GREEN, world.log.getvalue() + str(world.said)
    assert uploads == named(plan, small_kit, "uv")
