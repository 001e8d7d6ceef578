"""The hash that proofs are found by: what is in it, what is not, and that every field of a plan was put on one side."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from builder.model import Accelerator, CodeCell, Expectation, Notebook
from builder.options import JobOptions
from builder.plan.build_plan import JobPlan, ProvenBytes
from builder.plan.inputs import inputs_sha256
from builder.plan.packing import StagedFile
from builder.plan.preparation import Preparation
from builder.plan.requirements_file import Requirements
from builder.vm.protocol import RequirementLine

WANTED = Requirements(
    "r.txt", ("r.txt",), (RequirementLine("alpha", "r.txt", 1, "alpha"),), require_hashes=False
)
JOB = JobPlan(
    job="demo",
    notebook=Notebook("demo.ipynb", "ab", "python", "python3", (), frozenset({"city"})),
    options=JobOptions(
        secrets={"KEY": "projects/p/secrets/s/versions/1"},
        expect=(Expectation("outputs/a.csv"), Expectation("outputs/b.csv", 7)),
        zones=("us-central1-a",),
        image_project="p",
        image_family="family",
        boot_disk_gb=100,
        vm_service_account="a@b",
        env={"A": "1"},
        index_url="https://packages.example.com/simple",
    ),
    parameters={"city": "Paris", "days": 1},
    files=(),
    preparation=Preparation("setup.sh", WANTED),
)

# For each field another value: of what says how a job runs, and of what does not or stands elsewhere in the hash.
HOW: dict[type, dict[str, Any]] = {
    JobPlan: {
        "notebook": replace(JOB.notebook, path="other.ipynb"),
        "options": replace(JOB.options, machine_type="e2-standard-8"),
        "parameters": {"city": "Paris", "days": 1.0},
        "preparation": Preparation("other.sh", WANTED),
        "frozen": ("alpha==1.0",),
    },
    JobOptions: {
        "secrets": {"KEY": "projects/p/secrets/s/versions/2"},
        "expect": (Expectation("outputs/a.csv", 2), Expectation("outputs/b.csv", 7)),
        "fail_on": ("bigquery", "shell"),
        "env": {"A": "2"},
        "index_url": None,
        "image_project": "q",
        "image_family": "other",
        "image": "name",
        "machine_type": "n1-standard-4",
        "accelerator": Accelerator("nvidia-tesla-t4", 1),
        "boot_disk_gb": 200,
        "boot_disk_type": "pd-ssd",
        "secure_boot": True,
        "network": "default",
        "subnetwork": "ci",
        "external_ip": True,
        "vm_service_account": "c@b",
    },
    Notebook: {"path": "other.ipynb", "sha256": "cd", "kernel": "ir"},
    Preparation: {"setup": None, "requirements": None},
    Requirements: {
        "path": "s.txt",
        "files": ("r.txt", "s.txt"),
        "lines": (RequirementLine("alpha", "r.txt", 2, "alpha"),),
        "require_hashes": True,
    },
    Expectation: {"glob": "*", "minimum_bytes": 2},
}
NOT: dict[type, dict[str, Any]] = {
    JobPlan: {
        "job": "demo-2",
        "files": (StagedFile("a", Path("a"), 1, executable=False),),  # by the workspace's hash
        "proven": ProvenBytes("k", "w"),  # by the hashes of kit and workspace themselves
    },
    JobOptions: {
        # In the hash by what they lead to: the job's own parameters, its notebook's kernel, its files, its preparation.
        "parameters": {"city": "Rome"},
        "parameters_file": "p.yaml",
        "schedule_parameters": {"city": "Rome"},
        "kernel": "ir",
        "include": ("**",),
        "setup": "other.sh",
        "requirements": "other.txt",
        "ca_bundle": "gs://my-bucket/proxy.pem",
        # Where, for how long and how often the job may run, and what its VM is called.
        "allow_secret_parameters": True,
        "zones": ("us-east1-b",),
        "provisioning": "spot",
        "labels": {"team": "data"},
        "timeout": 1,
        "cell_timeout": 1,
        "boot_timeout": 1,
        "setup_timeout": 1,
        "requirements_timeout": 1,
        "max_attempts": 1,
    },
    Notebook: {  # all of it follows from the staged form, whose hash it is, and from the kernel
        "language": "r",
        "code_cells": (CodeCell(0, "1"),),
        "declared_parameters": None,
        "parameters_at": 0,
        "injected_at": 1,
        "code_sha256": "ef",
        "assumed": ("no kernelspec",),
    },
    # A file of certificates is among the workspace's, which counts as a whole; who vouches for an index changes no
    # package.
    Preparation: {"problems": ("none is planned with any",), "ca_bundle": "gs://my-bucket/proxy.pem"},
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
        part = replace(JOB.options, expect=(part, JOB.options.expect[1]))
    places: dict[type, str] = {
        JobOptions: "options",
        Notebook: "notebook",
        Preparation: "preparation",
    }
    return replace(JOB, **{places[type(part)]: part})


PARTS: dict[type, Any] = {
    JobPlan: JOB,
    JobOptions: JOB.options,
    Notebook: JOB.notebook,
    Preparation: JOB.preparation,
    Requirements: WANTED,
    Expectation: JOB.options.expect[0],
}


def test_the_hash_of_the_inputs_is_the_one_on_record() -> None:
    # Another value means that every proof of an earlier version is lost: a decision, with a line in CHANGELOG.md.
    found = inputs_sha256(JOB, workspace_sha256="cd" * 32, kit_sha256="ef" * 32)
    assert found == "6577051d67ca7f37cb81cc5c2925c43aa4a388ace28b7d315bd46a0ee5776fc4"


@pytest.mark.parametrize("kind", PARTS, ids=lambda kind: kind.__name__)
def test_every_field_is_on_one_side(kind: type) -> None:
    undecided = {one.name for one in fields(kind)} ^ (HOW[kind].keys() | NOT[kind].keys())
    assert not undecided, f"put {sorted(undecided)} into HOW (and builder/plan/inputs.py) or into NOT"
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
    turned = replace(
        with_part(replace(JOB.options, expect=JOB.options.expect[::-1])),
        parameters={"days": 1, "city": "Paris"},
    )
    assert hashed(turned) == hashed(JOB)
    assert hashed(replace(JOB, parameters={"x": [1, 2]})) != hashed(replace(JOB, parameters={"x": [2, 1]}))


def test_an_index_counts_only_where_something_is_installed_from_it() -> None:
    without = with_part(replace(JOB.options, index_url=None))
    assert hashed(replace(JOB, preparation=Preparation())) == hashed(
        replace(without, preparation=Preparation())
    )
    assert hashed(JOB) != hashed(without)


def test_the_inputs_hash_does_not_change() -> None:
    """Proofs are found by it: another hash for the same job makes every older proof worthless. Change it knowingly."""
    assert hashed(JOB) == "c0e0c432aa9b7c0456e607f06e08b8e7a62c7d3078a208fee1e672821d67601e"
