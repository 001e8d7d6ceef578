"""The preflight's result: all rows of a plan's answers, in reading order. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from builder.check.access import access_rows, caller_of
from builder.check.answers import Answers
from builder.check.places import image_rows, place_facts, settled
from builder.check.quota import quota_facts
from builder.check.row import Row, State, exit_code
from builder.errors import ExitCode
from builder.model import JsonObject
from builder.plan.make import Plan


@dataclass(frozen=True)
class Findings:
    """What the preflight found. `account` is "" where the credentials do not tell."""

    project: str
    account: str
    location: str
    rows: tuple[Row, ...]

    @property
    def exit_code(self) -> ExitCode:
        """What the command ends with."""
        return exit_code(self.rows)

    def count(self, state: State) -> int:
        """How many rows are in a state."""
        return Counter(row.state for row in self.rows)[state]

    def described(self) -> JsonObject:
        """All of it as `check --format json` prints it."""
        return {
            "schema": 1,
            "project": self.project,
            "account": self.account,
            "location": self.location,
            "exit_code": int(self.exit_code),
            "rows": [row.described() for row in self.rows],
        }


def findings(plan: Plan, project: str, answers: Answers) -> Findings:
    """The rows for a plan and what Google answered."""
    facts = [*place_facts(plan, project, answers), *quota_facts(plan, project, answers)]
    return Findings(
        project=project,
        account=caller_of(answers),
        location=plan.location.url(),
        rows=(
            *access_rows(plan, project, answers),
            *image_rows(plan, project, answers),
            *settled(plan, facts, answers),
        ),
    )
