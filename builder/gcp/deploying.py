"""All of deploying's doors at once. Imported only by `deploy`: the clients of Functions and Scheduler are slow to import."""

from __future__ import annotations

from builder.deploy.ports import Doors
from builder.gcp.builds import GoogleBuilds
from builder.gcp.clients import CALL_BUDGET, CALL_TIMEOUT, Access
from builder.gcp.functions import GoogleFunctions
from builder.gcp.project import GoogleProject
from builder.gcp.registry import GoogleRegistry
from builder.gcp.run_services import GoogleServices
from builder.gcp.schedules import GoogleSchedules
from builder.gcp.topics import GoogleTopics
from builder.ports import Clock


def open_doors(
    access: Access, clock: Clock, *, timeout: float = CALL_TIMEOUT, budget: float = CALL_BUDGET
) -> Doors:
    """The doors to Google as this account; nothing is called yet."""
    return Doors(
        topics=GoogleTopics(access, clock, timeout=timeout, budget=budget),
        functions=GoogleFunctions(access, clock, timeout=timeout, budget=budget),
        services=GoogleServices(access, clock, timeout=timeout, budget=budget),
        schedules=GoogleSchedules(access, clock, timeout=timeout, budget=budget),
        registry=GoogleRegistry(access, clock, timeout=timeout, budget=budget),
        builds=GoogleBuilds(access, clock, timeout=timeout, budget=budget),
        project=GoogleProject(access, clock, timeout=timeout, budget=budget),
        clock=clock,
    )
