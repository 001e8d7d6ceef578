"""Green or not: the one pure function that judges an attempt. Silence is red; green needs every proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from builder.evidence import Evidence
from builder.model import Expectation, Listed, Notebook, Verdict


@dataclass(frozen=True)
class Expected:
    """What the builder staged and asked for, which the evidence must match. Times are seconds.

    `name` is the notebook's name without folder and ending; `generations` has the keys job, workspace, parameters.
    """

    run: str
    job: str
    attempt: int
    nonce: str
    job_sha256: str
    workspace_sha256: str
    parameters_sha256: str
    generations: Mapping[str, int]
    notebook: Notebook
    parameters: Mapping[str, Any]
    expect: tuple[Expectation, ...]
    name: str
    machine_type: str
    timeout: int
    cell_timeout: int | None


def judge(
    expected: Expected, evidence: Evidence | None, executed: bytes | None, listing: Mapping[str, Listed]
) -> Verdict:
    """The verdict on one attempt.

    `executed` are the executed notebook's bytes, downloaded with their checksum verified; `listing` are the objects
    that are in Cloud Storage below the attempt's prefix, by relative name. Never raises on what a VM may leave there.
    """
    raise NotImplementedError
