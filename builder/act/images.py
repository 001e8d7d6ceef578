"""Resolves each image of a run once, so that all jobs and attempts boot the same one."""

from __future__ import annotations

import threading
from collections.abc import Callable

from builder.plan.build_plan import ImageChoice, JobPlan
from builder.ports import Image


class Images:
    """Resolves the images that jobs ask for, and logs each."""

    def __init__(self, resolve: Callable[[ImageChoice], Image], log: Callable[[str], None]) -> None:
        self._resolve = resolve
        self._log = log
        self._found: dict[ImageChoice, Image] = {}
        self._lock = threading.Lock()

    def of(self, job: JobPlan) -> Image:
        """Return the exact image of a job. Raises BuilderError if there is none, or if it cannot be read."""
        with self._lock:
            if job.image not in self._found:
                image = self._found[job.image] = self._resolve(job.image)
                self._log(f"image {job.image} is {image.path}{' (deprecated)' if image.deprecated else ''}")
            return self._found[job.image]
