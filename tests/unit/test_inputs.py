"""The hash that proofs are found by: what is in it, what is not, and that every field of a plan was put on one side."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from builder.model import Accelerator, CodeCell, Expectation, Notebook
from builder.plan.inputs import inputs_sha256
from builder.plan.make import ImageChoice, JobPlan, ProvenBytes
from builder.plan.preparation import Preparation
from builder.plan.requirements_file import Line, Requirements
from builder.plan.vm_spec import Limits, VmSpec
from builder.plan.workspace import StagedFile

WANTED = Requirements("r.txt", ("r.txt",), (Line("alpha", "r.txt", 1, "alpha"),), require_hashes=False)
JOB = JobPlan(
    job="demo",
    notebook=Notebook("demo.ipynb", b"{}", "ab", "python", "python3", (), frozenset({"city"})),
    files=(),
    parameters={"city": "Paris", "days": 1},
    secrets={"KEY": "projects/p/secrets/s/versions/1"},
    expect=(Expectation("outputs/a.csv"), Expectation("outputs/b.csv", 7)),
    kernel="python3",
    zones=("us-central1-a",),
    image=ImageChoice("p", "family", None),
    vm=VmSpec("e2-standard-4", None, 100, None, None, external_ip=False, service_account="a@b", labels={}),
    limits=Limits(600, 2400, None),
    max_attempts=3,
    provisioning="standard",
    preparation=Preparation("setup.sh", WANTED),
    env={"A": "1"},
    index_url="https://packages.example.com/simple",
)

# For each field another value: of what says how a job runs, and of what does not or stands elsewhere in the hash.
HOW: dict[type, dict[str, Any]] = {
    JobPlan: {
        "notebook": replace(JOB.notebook, path="other.ipynb"),
        "parameters": {"city": "Paris", "days": 1.0},
        "secrets": {"KEY": "projects/p/secrets/s/versions/2"},
        "expect": (Expectation("outputs/a.csv", 2), Expectation("outputs/b.csv", 7)),
        "kernel": "ir",
        "image": ImageChoice("p", "other", None),
        "vm": replace(JOB.vm, machine_type="e2-standard-8"),
        "preparation": Preparation("other.sh", WANTED),
        "env": {"A": "2"},
        "index_url": None,
        "frozen": ("alpha==1.0",),
    },
    VmSpec: {
        "machine_type": "n1-standard-4",
        "accelerator": Accelerator("nvidia-tesla-t4", 1),
        "boot_disk_gb": 200,
        "boot_disk_type": "pd-ssd",
        "secure_boot": True,
        "network": "default",
        "subnetwork": "ci",
        "external_ip": True,
        "service_account": "c@b",
    },
    Limits: {},
    Notebook: {"path": "other.ipynb", "sha256": "cd"},
    ImageChoice: {"project": "q", "family": None, "name": "family"},
    Preparation: {"setup": None, "requirements": None},
    Requirements: {
        "path": "s.txt",
        "files": ("r.txt", "s.txt"),
        "lines": (Line("alpha", "r.txt", 2, "alpha"),),
        "require_hashes": True,
    },
    Expectation: {"glob": "*", "minimum_bytes": 2},
}
NOT: dict[type, dict[str, Any]] = {
    JobPlan: {
        "job": "demo-2",
        "files": (StagedFile("a", Path("a"), 1, executable=False),),  # by the workspace's hash
        "zones": ("us-east1-b",),
        "limits": Limits(1, 2, 3),
        "max_attempts": 1,
        "provisioning": "spot",
        "proven": ProvenBytes("k", "w"),  # by the hashes of kit and workspace themselves
    },
    VmSpec: {"labels": {"team": "data"}},
    Limits: {"boot": 1, "notebook": 1, "cell": 1, "setup": 1, "requirements": 1},
    Notebook: {  # all of it follows from the bytes, whose hash it is, and from the kernel
        "content": b"[]",
        "language": "r",
        "kernel": "ir",
        "code_cells": (CodeCell(0, "1"),),
        "declared_parameters": None,
        "parameters_at": 0,
        "injected_at": 1,
    },
    ImageChoice: {},
    Preparation: {"problems": ("none is planned with any",)},
    Requirements: {},
    Expectation: {},
}


def hashed(job: JobPlan) -> str:
    return inputs_sha256(job, "work", "kit")


def with_part(part: Any) -> JobPlan:
    """The job with this part in its place."""
    if isinstance(part, JobPlan):
        return part
    if isinstance(part, Requirements):
        part = replace(JOB.preparation, requirements=part)
    if isinstance(part, Expectation):
        return replace(JOB, expect=(part, JOB.expect[1]))
    places: dict[type, str] = {
        VmSpec: "vm",
        Limits: "limits",
        Notebook: "notebook",
        ImageChoice: "image",
        Preparation: "preparation",
    }
    return replace(JOB, **{places[type(part)]: part})


PARTS: dict[type, Any] = {
    JobPlan: JOB,
    VmSpec: JOB.vm,
    Limits: JOB.limits,
    Notebook: JOB.notebook,
    ImageChoice: JOB.image,
    Preparation: JOB.preparation,
    Requirements: WANTED,
    Expectation: JOB.expect[0],
}


@pytest.mark.parametrize("kind", PARTS, ids=lambda kind: kind.__name__)
def test_every_field_is_on_one_side(kind: type) -> None:
    assert {one.name for one in fields(kind)} == HOW[kind].keys() | NOT[kind].keys()
    assert not HOW[kind].keys() & NOT[kind].keys()


@pytest.mark.parametrize(
    ("kind", "name", "counts"),
    [(kind, name, side is HOW) for side in (HOW, NOT) for kind in PARTS for name in side[kind]],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_field_counts_or_does_not(kind: type, name: str, counts: bool) -> None:  # noqa: FBT001
    value = (HOW if counts else NOT)[kind][name]
    changed = with_part(replace(PARTS[kind], **{name: value}))
    assert (hashed(changed) != hashed(JOB)) is counts


def test_workspace_and_kit_count() -> None:
    seen = {hashed(JOB), inputs_sha256(JOB, "other", "kit"), inputs_sha256(JOB, "work", "other")}
    assert len(seen) == 3


def test_order_counts_nowhere_but_in_values_and_requirements() -> None:
    turned = replace(JOB, parameters={"days": 1, "city": "Paris"}, expect=JOB.expect[::-1])
    assert hashed(turned) == hashed(JOB)
    assert hashed(replace(JOB, parameters={"x": [1, 2]})) != hashed(replace(JOB, parameters={"x": [2, 1]}))


def test_an_index_counts_only_where_something_is_installed_from_it() -> None:
    bare = replace(JOB, preparation=Preparation())
    assert hashed(bare) == hashed(replace(bare, index_url=None))
    assert hashed(JOB) != hashed(replace(JOB, index_url=None))


def test_the_hash_stays_what_it_is() -> None:
    """Proofs are found by it: another hash for the same job makes every older proof worthless. Change it knowingly."""
    assert hashed(JOB) == "88c3959dcf1195e19f7ce03a45b026bd64f53a8885fd4f2e345e286ef32a0046"
