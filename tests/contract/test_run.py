"""Whole runs through Google's clients: attempts, retries, verdicts, exit codes, and what is left."""

from __future__ import annotations

from builder.errors import ExitCode
from builder.plan.make import Plan
from tests.contract.guests import green
from tests.contract.world import World


def test_a_run_is_green_and_leaves_nothing(world: World, plan: Plan) -> None:
    world.guests = [green]
    assert world.run(plan) is ExitCode.GREEN, world.log.getvalue() + str(world.said)
    assert world.left() == []
    assert len(world.inserted()) == 1
