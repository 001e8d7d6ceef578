"""The clients of `deploy`.

Only `deploy` imports this module, since those of Functions and Scheduler are slow to import.
"""

from __future__ import annotations

from builder.deploy_ports import Clients
from builder.gcp.builds import GoogleBuilds
from builder.gcp.clients import CALL_BUDGET, CALL_TIMEOUT, Access
from builder.gcp.functions import GoogleFunctions
from builder.gcp.project import GoogleProject
from builder.gcp.registry import GoogleRegistry
from builder.gcp.rest import Rest
from builder.gcp.run_services import GoogleServices
from builder.gcp.schedules import GoogleSchedules
from builder.gcp.topics import GoogleTopics
from builder.ports import Clock


def open_clients(
    access: Access, clock: Clock, *, timeout: float = CALL_TIMEOUT, budget: float = CALL_BUDGET
) -> Clients:
    """The clients of this account. Calls nothing."""
    rest = Rest(access, clock, timeout=timeout, budget=budget)
    return Clients(
        topics=GoogleTopics(rest),
        functions=GoogleFunctions(access, clock, timeout=timeout, budget=budget),
        services=GoogleServices(rest),
        schedules=GoogleSchedules(access, clock, timeout=timeout, budget=budget),
        registry=GoogleRegistry(rest),
        builds=GoogleBuilds(rest),
        project=GoogleProject(access, clock, timeout=timeout, budget=budget),
        clock=clock,
    )
