"""What a green run leaves for `deploy`, and what `deploy` believes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder import kit
from builder.act.proofs import Proof, proof_object
from builder.deploy.beliefs import Claim, proven
from builder.errors import ExitCode, InputRefused
from builder.plan.inputs import inputs_sha256
from builder.plan.make import Plan
from builder.plan.workspace import pack
from tests.contract.guests import altered, green, with_fault
from tests.contract.world import World

Json = dict[str, Any]
RUN = "proven-1"


@pytest.fixture
def world(world: World, tmp_path: Path) -> World:
    """The bucket is shared by all tests of a worker, so each has a prefix of its own."""
    world.prefix = f"proofs/{abs(hash(tmp_path))}"
    return world


def claims(plan: Plan, folder: Path, small: kit.Kit) -> list[Claim]:
    """What `deploy` computes of its own plan."""
    packed = {job.job: pack(job.files, folder / f"{job.job}.tgz").sha256 for job in plan.jobs}
    return [Claim(job, inputs_sha256(job, packed[job.job], small.sha256)) for job in plan.jobs]


def test_deploy_finds_the_proof_of_a_green_run(
    world: World, plan: Plan, tmp_path: Path, small_kit: kit.Kit
) -> None:
    world.guests = [altered(lambda _desk, facts: facts | {"packages": {"image": [], "overlay": ["x==1.0"]}})]
    assert world.run(plan, RUN) is ExitCode.GREEN, world.log.getvalue()
    wanted = claims(plan, tmp_path, small_kit)
    proof = proven(world.store("deployer"), plan.location, wanted)["demo"]
    assert (proof.run, proof.build, proof.commit, proof.kit) == (RUN, "build-1", "c0ffee", small_kit.sha256)
    assert (proof.inputs, proof.packages) == (wanted[0].inputs, ("x==1.0",))
    assert proof.image.startswith("projects/debian-cloud/global/images/debian-12")


def refusal(world: World, plan: Plan, tmp_path: Path, small: kit.Kit) -> str:
    with pytest.raises(InputRefused) as caught:
        proven(world.store("deployer"), plan.location, claims(plan, tmp_path, small))
    assert caught.value.exit_code == ExitCode.BAD_INPUT
    return caught.value.message


def test_nothing_is_believed_before_a_run(
    world: World, plan: Plan, tmp_path: Path, small_kit: kit.Kit
) -> None:
    assert "demo.ipynb: no run was green for exactly this" in refusal(world, plan, tmp_path, small_kit)


def test_a_red_run_proves_nothing(world: World, plan: Plan, tmp_path: Path, small_kit: kit.Kit) -> None:
    world.guests = [with_fault("requirements_unresolvable")]
    assert world.run(plan, RUN) is ExitCode.NOTEBOOK_FAILED
    assert "demo.ipynb: no run was green" in refusal(world, plan, tmp_path, small_kit)


def test_a_scheduled_run_proves_nothing(world: World, plan: Plan, tmp_path: Path, small_kit: kit.Kit) -> None:
    world.guests = [green]
    assert world.run(plan, RUN, origin=None) is ExitCode.GREEN
    assert "demo.ipynb: no run was green" in refusal(world, plan, tmp_path, small_kit)


def test_one_byte_more_is_another_notebook(
    world: World, plan: Plan, tmp_path: Path, small_kit: kit.Kit
) -> None:
    world.guests = [green]
    assert world.run(plan, RUN) is ExitCode.GREEN
    (tmp_path / "repo" / "data.csv").write_text("a\n")
    other = world.plan(tmp_path / "repo")
    assert "demo.ipynb: no run was green" in refusal(world, other, tmp_path, small_kit)


def test_only_the_unproven_ones_are_named(world: World, tmp_path: Path, small_kit: kit.Kit) -> None:
    one = world.plan(tmp_path / "repo", ["a/one.ipynb"])
    world.guests = [green]
    assert world.run(one, RUN) is ExitCode.GREEN
    both = world.plan(tmp_path / "repo", ["a/one.ipynb", "b/two.ipynb"])
    said = refusal(world, both, tmp_path, small_kit)
    assert "b/two.ipynb: no run was green" in said
    assert "one.ipynb" not in said


def written_over(world: World, summary: str) -> None:
    """Somebody writes the very same summary again: another generation."""
    store = world.store()
    store.replace(summary, store.read(summary) or b"", content_type="application/json")


def forged(change: Callable[[Proof], Proof]) -> Callable[[World, Plan, Proof], None]:
    def act(world: World, plan: Plan, proof: Proof) -> None:
        name = proof_object(plan.location, proof.inputs)
        world.store().replace(name, change(proof).encode(), content_type="application/json")

    return act


def pointing_elsewhere(world: World, plan: Plan, proof: Proof) -> None:
    """A proof of what was red: its summary is one that the builder wrote, of another verdict."""
    store = world.store()
    document: Json = json.loads(store.read(proof.summary) or b"")
    document["jobs"][0]["verdict"] = "red"
    red = store.replace(proof.summary, json.dumps(document).encode(), content_type="application/json")
    forged(lambda one: replace(one, summary_generation=red.generation))(world, plan, proof)


@pytest.mark.parametrize(
    "trick",
    [
        pytest.param(
            (lambda world, _plan, proof: written_over(world, proof.summary), "is gone or was written over"),
            id="written over",
        ),
        pytest.param(
            (lambda world, _plan, proof: world.store().delete(proof.summary), "is gone or was written over"),
            id="deleted",
        ),
        pytest.param((pointing_elsewhere, "does not say that it was green"), id="points elsewhere"),
        pytest.param(
            (forged(lambda proof: replace(proof, job="other")), "does not say that it was green"),
            id="other job",
        ),
        pytest.param(
            (forged(lambda proof: replace(proof, run="other")), "does not say that it was green"),
            id="other run",
        ),
        pytest.param(
            (forged(lambda proof: replace(proof, inputs="0" * 64)), "is no proof that this version can read"),
            id="other inputs",
        ),
    ],
)
def test_a_proof_is_worth_what_its_summary_says(
    world: World,
    plan: Plan,
    tmp_path: Path,
    small_kit: kit.Kit,
    trick: tuple[Callable[[World, Plan, Proof], None], str],
) -> None:
    act, why = trick
    world.guests = [green]
    assert world.run(plan, RUN) is ExitCode.GREEN
    wanted = claims(plan, tmp_path, small_kit)
    act(world, plan, proven(world.store(), plan.location, wanted)["demo"])
    assert why in refusal(world, plan, tmp_path, small_kit)


def test_a_proof_that_cannot_be_written_is_told_of(world: World, plan: Plan) -> None:
    world.guests = [green]
    world.fault("storage.objects.insert", "error", times=99, match={"object": "*/proofs/*"}, status=403)
    assert world.run(plan, RUN) is ExitCode.GREEN
    assert "demo is green, but deploy will not know of it" in world.log.getvalue()
