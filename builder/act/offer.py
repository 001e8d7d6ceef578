"""Looks up, in the background, which zones offer the machine types and accelerator types of a run."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from builder.act.refusals import no_such_type, not_in_zones
from builder.model import is_zone, region_of
from builder.plan.build_plan import JobPlan
from builder.ports import CallFailed, Machines, TypeKind

_logger = logging.getLogger(__name__)
_MAX_SUGGESTIONS = 3
_THREADS = 4
_PATIENCE = 5.0  # the longest that an insert waits for the look-up, in seconds
_Type = tuple[TypeKind, str]


class Offer:
    """The zones that offer the types of a run's jobs. Each type is looked up once, in the background."""

    def __init__(self, machines: Machines, jobs: Iterable[JobPlan]) -> None:
        self._machines = machines
        pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="offer")
        wanted = dict.fromkeys(kind_and_name for job in jobs for kind_and_name in _types(job))
        self._found = {each: pool.submit(machines.zones_with, *each) for each in wanted}
        pool.shutdown(wait=False)

    def check(self, job: JobPlan) -> None:
        """Raise InputRefused for a type that no zone has, NoCapacity for one that no allowed zone has.

        If the look-up fails, for example without the permission, or takes too long, the insert finds out.
        """
        for kind, name in _types(job):
            try:
                zones = self._found[kind, name].result(_PATIENCE)
            except (CallFailed, TimeoutError) as failure:
                _logger.info("%s %s was not looked up: %s", kind, name, failure)
                continue
            if not zones:
                raise no_such_type(kind, name, self._meant(job, kind, name))
            if not any(place in {zone, region_of(zone)} for place in job.options.zones for zone in zones):
                raise not_in_zones(kind, name, offered=zones, allowed=job.options.zones)

    def _meant(self, job: JobPlan, kind: TypeKind, name: str) -> Sequence[str]:
        place = job.options.zones[0]
        try:
            zone = place if is_zone(place) else self._machines.zones(place)[0]
            names = self._machines.type_names(kind, zone)
        except CallFailed as failure:
            _logger.info("%s of %s were not looked up: %s", kind, place, failure)
            return ()
        return difflib.get_close_matches(name, names, n=_MAX_SUGGESTIONS)


def _types(job: JobPlan) -> list[_Type]:
    """Return the machine type and GPU type of a job. Custom machine types are in no list."""
    found: list[_Type] = []
    if "custom" not in job.options.machine_type:
        found.append(("machineTypes", job.options.machine_type))
    if job.options.accelerator is not None:
        found.append(("acceleratorTypes", job.options.accelerator.type))
    return found
