"""The preflight's result: all rows, in the order in which they are printed. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from builder.check.access import API, access_rows
from builder.check.answers import Answers, known
from builder.check.quota import quota_facts
from builder.check.row import Row, State, exit_code
from builder.check.zones import image_rows, with_final_states, zone_facts
from builder.errors import ExitCode
from builder.plan.build_plan import Plan


@dataclass(frozen=True)
class Findings:
    """The findings of the preflight. `account` is empty if the credentials do not name it."""

    project: str
    account: str
    location: str
    rows: tuple[Row, ...]

    @property
    def missing(self) -> Sequence[tuple[str, str]]:
        """Return each fault that would end a run, and each API that is not enabled, with the command that fixes it."""
        return [
            (f"{row.where}: {row.found}", row.fix)
            for row in self.rows
            if row.state is State.FAIL or (row.state is State.UNKNOWN and row.what == API)
        ]

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of `check`."""
        return exit_code(self.rows)

    def count(self, state: State) -> int:
        """The number of rows in a state."""
        return Counter(row.state for row in self.rows)[state]


def findings(plan: Plan, project: str, answers: Answers) -> Findings:
    """The result of a preflight: a plan, compared with Google's answers."""
    facts = [*zone_facts(plan, project, answers), *quota_facts(plan, project, answers)]
    return Findings(
        project=project,
        account=known(answers.caller) or "",
        location=plan.location.url(),
        rows=(
            *access_rows(plan, project, answers),
            *image_rows(plan, project, answers),
            *with_final_states(plan, facts, answers),
        ),
    )
