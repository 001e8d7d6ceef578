"""The attempt, its job and its staged input, which the evidence of the attempt must match."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from builder.model import Notebook
from builder.plan.build_plan import JobPlan
from builder.plan.vm_spec import Attempt


@dataclass(frozen=True)
class Expected:
    """The attempt, its job and its staged input, which the evidence must match.

    `generations` has the keys job, workspace, parameters. `modules` has the path of each Python module of the
    repository by its name.
    """

    attempt: Attempt
    job: JobPlan
    job_sha256: str
    workspace_sha256: str
    parameters_sha256: str
    generations: Mapping[str, int]
    modules: Mapping[str, str] = field(default_factory=dict)

    @property
    def notebook(self) -> Notebook:
        """The notebook as it was staged."""
        return self.job.notebook

    @property
    def executed_name(self) -> str:
        """The executed notebook's name below the attempt's prefix."""
        return f"{self.job.name}.ipynb"

    @property
    def fail_on(self) -> frozenset[str]:
        """The kinds of NB_FAIL_ON."""
        return frozenset(self.job.options.fail_on or ())

    @property
    def staged(self) -> frozenset[str]:
        """The paths that were staged with the notebook."""
        return frozenset(file.path for file in self.job.files)
