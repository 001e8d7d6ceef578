"""The staged input and the options of a job, which the evidence of an attempt must match."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from builder.model import Expectation, Notebook


@dataclass(frozen=True)
class Expected:
    """The staged input and the options of the job, which the evidence must match. Times are seconds.

    `name` is the notebook's name without folder and ending; `generations` has the keys job, workspace, parameters;
    `secrets` has resource names by variable, and `service_account` is the VM's. `fail_on` has the kinds of NB_FAIL_ON.
    `modules` has the path of each Python module of the repository by its name, and `staged` the paths that were staged
    with the notebook.
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
    secrets: Mapping[str, str]
    service_account: str
    expect: tuple[Expectation, ...]
    name: str
    machine_type: str
    timeout: int
    cell_timeout: int | None
    fail_on: frozenset[str] = frozenset()
    modules: Mapping[str, str] = field(default_factory=dict)
    staged: frozenset[str] = frozenset()

    @property
    def executed_name(self) -> str:
        """The executed notebook's name below the attempt's prefix."""
        return f"{self.name}.ipynb"
