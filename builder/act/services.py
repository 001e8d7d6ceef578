"""The objects that all jobs of one run share, as one value."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from builder.act.fleet import Fleet
from builder.act.kit_staging import KitStaging
from builder.act.offer import Offer
from builder.act.placement import Placement
from builder.act.progress import ProgressReporter
from builder.act.publish import Publisher
from builder.act.reuse import Reuse
from builder.act.timeline import Timeline
from builder.act.workspaces import Workspaces
from builder.plan.build_plan import Plan
from builder.ports import Clock, Machines, ObjectStore


@dataclass(frozen=True)
class Services:
    """The objects that all jobs of one run share."""

    plan: Plan
    run: str
    store: ObjectStore
    machines: Machines
    fleet: Fleet
    placement: Placement
    workspaces: Workspaces
    kits: KitStaging
    publisher: Publisher
    clock: Clock
    check_time_left: Callable[[], None]  # raises TimeLimit if no attempt may begin any more
    pool: ThreadPoolExecutor
    progress: ProgressReporter
    timeline: Timeline
    reuse: Reuse | None
    startup_script: str
    endpoint: Callable[[str], str]
    offer: Offer
    lease: str  # the object that this builder renews while it lives
    stop: threading.Event  # set: no other job is started
