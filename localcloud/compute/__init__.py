"""Compute Engine: instances that boot as real processes, their disks and operations, and what the zones offer."""

from localcloud.compute.inserts import Attempt
from localcloud.compute.life import Pace
from localcloud.compute.service import ComputeService

__all__ = ["Attempt", "ComputeService", "Pace"]
