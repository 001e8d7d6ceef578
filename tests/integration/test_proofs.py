"""Tests the proof that a green run writes for `deploy`, and the proofs that `deploy` accepts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder import kit
from builder.act.proofs import Proof, proof_object
from builder.deploy.proof_lookup import ProofRequest, find_proofs, proof_request
from builder.errors import ExitCode, InputRefused
from builder.plan.build_plan import Plan
from builder.plan.packing import pack
from tests.integration.cloud_fixture import CloudFixture
from tests.integration.simulated_guests import altered, green, with_fault

Json = dict[str, Any]
RUN = "proven-1"


@pytest.fixture
def cloud_fixture(cloud_fixture: CloudFixture, tmp_path: Path) -> CloudFixture:
    """The bucket is shared by all tests of a worker, so each has a prefix of its own."""
    cloud_fixture.use_prefix(f"proofs/{abs(hash(tmp_path))}")
    return cloud_fixture


def proof_requests(plan: Plan, folder: Path, small: kit.Kit) -> list[ProofRequest]:
    """Return the requests that `deploy` computes from its own plan."""
    return [proof_request(job, pack(job.files, folder / f"{job.job}.tgz"), small.sha256) for job in plan.jobs]


def test_deploy_finds_the_proof_of_a_green_run(
    cloud_fixture: CloudFixture, plan: Plan, tmp_path: Path, small_kit: kit.Kit
) -> None:
    cloud_fixture.guests = [
        altered(lambda _desk, facts: facts | {"packages": {"image": [], "overlay": ["x==1.0"]}})
    ]
    assert cloud_fixture.run(plan, RUN) is ExitCode.GREEN, cloud_fixture.log.getvalue()
    wanted = proof_requests(plan, tmp_path, small_kit)
    proof = find_proofs(cloud_fixture.store("notebook-deployer"), plan.location, wanted)["demo"]
    assert (proof.run, proof.build, proof.commit, proof.kit) == (RUN, "build-1", "c0ffee", small_kit.sha256)
    assert (proof.inputs, proof.packages) == (wanted[0].inputs, ("x==1.0",))
    assert proof.image.startswith("projects/debian-cloud/global/images/debian-12")


def refusal(cloud_fixture: CloudFixture, plan: Plan, tmp_path: Path, small: kit.Kit) -> str:
    with pytest.raises(InputRefused) as caught:
        find_proofs(
            cloud_fixture.store("notebook-deployer"), plan.location, proof_requests(plan, tmp_path, small)
        )
    assert caught.value.exit_code == ExitCode.BAD_INPUT
    return caught.value.message


def test_nothing_is_believed_before_a_run(
    cloud_fixture: CloudFixture, plan: Plan, tmp_path: Path, small_kit: kit.Kit
) -> None:
    assert "demo.ipynb: no green run had exactly these inputs" in refusal(
        cloud_fixture, plan, tmp_path, small_kit
    )


def test_a_red_run_proves_nothing(
    cloud_fixture: CloudFixture, plan: Plan, tmp_path: Path, small_kit: kit.Kit
) -> None:
    cloud_fixture.guests = [with_fault("requirements_unresolvable")]
    assert cloud_fixture.run(plan, RUN) is ExitCode.NOTEBOOK_FAILED
    assert "demo.ipynb: no green run had" in refusal(cloud_fixture, plan, tmp_path, small_kit)


def test_a_scheduled_run_proves_nothing(
    cloud_fixture: CloudFixture, plan: Plan, tmp_path: Path, small_kit: kit.Kit
) -> None:
    cloud_fixture.guests = [green]
    assert cloud_fixture.run(plan, RUN, origin=None) is ExitCode.GREEN
    assert "demo.ipynb: no green run had" in refusal(cloud_fixture, plan, tmp_path, small_kit)


def test_one_byte_more_is_another_notebook(
    cloud_fixture: CloudFixture, plan: Plan, tmp_path: Path, small_kit: kit.Kit
) -> None:
    cloud_fixture.guests = [green]
    assert cloud_fixture.run(plan, RUN) is ExitCode.GREEN
    (tmp_path / "repo" / "data.csv").write_text("a\n")
    other = cloud_fixture.plan(tmp_path / "repo")
    said = refusal(cloud_fixture, other, tmp_path, small_kit)
    assert "demo.ipynb: no green run had" in said
    assert f"; changed since run {RUN} was green (2" in said
    assert said.endswith(" UTC): data.csv (new)")


def test_only_the_unproven_ones_are_named(
    cloud_fixture: CloudFixture, tmp_path: Path, small_kit: kit.Kit
) -> None:
    one = cloud_fixture.plan(tmp_path / "repo", ["a/one.ipynb"])
    cloud_fixture.guests = [green]
    assert cloud_fixture.run(one, RUN) is ExitCode.GREEN
    both = cloud_fixture.plan(tmp_path / "repo", ["a/one.ipynb", "b/two.ipynb"])
    said = refusal(cloud_fixture, both, tmp_path, small_kit)
    assert "b/two.ipynb: no green run had" in said
    assert "one.ipynb" not in said


def written_over(cloud_fixture: CloudFixture, summary: str) -> None:
    """Somebody writes the very same summary again: another generation."""
    store = cloud_fixture.store()
    store.replace(summary, store.read(summary) or b"", content_type="application/json")


def forged(change: Callable[[Proof], Proof]) -> Callable[[CloudFixture, Plan, Proof], None]:
    def act(cloud_fixture: CloudFixture, plan: Plan, proof: Proof) -> None:
        name = proof_object(plan.location, proof.inputs)
        cloud_fixture.store().replace(name, change(proof).encode(), content_type="application/json")

    return act


def of_another_schema(cloud_fixture: CloudFixture, plan: Plan, proof: Proof) -> None:
    document = json.loads(proof.encode()) | {"schema": 2}
    name = proof_object(plan.location, proof.inputs)
    cloud_fixture.store().replace(name, json.dumps(document).encode(), content_type="application/json")


def pointing_elsewhere(cloud_fixture: CloudFixture, plan: Plan, proof: Proof) -> None:
    """A proof of what was red: its summary is one that the builder wrote, of another verdict."""
    store = cloud_fixture.store()
    document: Json = json.loads(store.read(proof.summary) or b"")
    document["jobs"][0]["verdict"] = "red"
    red = store.replace(proof.summary, json.dumps(document).encode(), content_type="application/json")
    forged(lambda one: replace(one, summary_generation=red.generation))(cloud_fixture, plan, proof)


@pytest.mark.always(3)
@pytest.mark.parametrize(
    "trick",
    [
        pytest.param(
            (
                lambda cloud_fixture, _plan, proof: written_over(cloud_fixture, proof.summary),
                "is gone or was overwritten",
            ),
            id="written over",
        ),
        pytest.param(
            (
                lambda cloud_fixture, _plan, proof: cloud_fixture.store().delete(proof.summary),
                "is gone or was overwritten",
            ),
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
        pytest.param((of_another_schema, "is no proof that this version can read"), id="other schema"),
    ],
)
def test_a_proof_counts_only_with_its_green_summary(
    cloud_fixture: CloudFixture,
    plan: Plan,
    tmp_path: Path,
    small_kit: kit.Kit,
    trick: tuple[Callable[[CloudFixture, Plan, Proof], None], str],
) -> None:
    act, why = trick
    cloud_fixture.guests = [green]
    assert cloud_fixture.run(plan, RUN) is ExitCode.GREEN
    wanted = proof_requests(plan, tmp_path, small_kit)
    act(cloud_fixture, plan, find_proofs(cloud_fixture.store(), plan.location, wanted)["demo"])
    assert why in refusal(cloud_fixture, plan, tmp_path, small_kit)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        pytest.param(400, "demo is green, but has no proof, so deploy does not find it", id="job by job"),
        pytest.param(403, "its account cannot write gs://", id="once if the account may not"),
    ],
)
def test_a_proof_that_cannot_be_written_is_reported(
    cloud_fixture: CloudFixture, plan: Plan, status: int, words: str
) -> None:
    cloud_fixture.guests = [green]
    cloud_fixture.fault(
        "storage.objects.insert", "error", times=99, match={"object": "*/proofs/*"}, status=status
    )
    assert cloud_fixture.run(plan, RUN) is ExitCode.GREEN
    assert words in cloud_fixture.log.getvalue()
