"""Runs the steps of one build in the order of `waitFor`, until all have ended or one fails, which ends the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from localcloud.core.clock import Clock
from localcloud.core.times import seconds
from localcloud.engines.build import Worker
from localcloud.services.cloudbuild.job import (
    Ending,
    Job,
    StepEnd,
    step_order,
    step_title,
    steps_shown,
)
from localcloud.services.cloudbuild.problem import Json, text
from localcloud.services.cloudbuild.rules_graph import ready
from localcloud.services.cloudbuild.step import Step
from localcloud.services.cloudbuild.watch import EndedError, Watch


class Stage:
    """The steps of a build in its worker. Call `run`, then always `close`, which also closes the worker.

    `check_image` is called with the image of each step before it starts; see `Step`.
    """

    def __init__(
        self, worker: Worker, job: Job, *, check_image: Callable[[str], None], clock: Clock, watch: Watch
    ) -> None:
        self._worker = worker
        self._check_image = check_image
        self._job = job
        self._clock = clock
        self._watch = watch
        self._build = job.record.view()
        self._steps: list[Json] = self._build["steps"]
        self._begun: dict[int, Step] = {}
        self._ends: dict[int, StepEnd] = {}
        self._own_ends: dict[int, StepEnd] = {}

    def run(self, secrets: Mapping[str, str], cloud: Mapping[str, str]) -> None:
        """Run all steps; raises `EndedError` at once if one fails or the build is stopped."""
        done: set[int] = set()
        while len(done) < len(self._steps):
            for index in ready(self._steps, done, set(self._begun)):
                self._begin(index, secrets, cloud)
            for index, end in self._watch.wait(lambda: self._newly_ended(done)):
                self._judge(index, end)
                done.add(index)

    def close(self) -> None:
        """Kill running steps; returns once they are gone and their output is in the log."""
        self._watch.notify(lambda: self._own_ends.update(self._ends))
        running = [step for step in self._begun.values() if step.kill()]
        for step in running:
            step.join()
        self._worker.close()  # also ends a step that is about to start
        for step in self._begun.values():
            step.join()

    def shown(self, ending: Ending) -> list[Json]:
        """Return the steps as the build shows them at its end."""
        return steps_shown(self._steps, self._own_ends, self._ends.keys(), ending)

    def outputs(self) -> list[bytes]:
        """Return the content of each step's $BUILDER_OUTPUT/output."""
        return [self._ends[index].output if index in self._ends else b"" for index in range(len(self._steps))]

    def _begin(self, index: int, secrets: Mapping[str, str], cloud: Mapping[str, str]) -> None:
        step = Step(
            self._worker,
            step_order(self._build, index, self._job.automapped[index], secrets, cloud),
            step_title(self._steps, index),
            check_image=self._check_image,
            limit=seconds(limit) if (limit := text(self._steps[index], "timeout")) else None,
            clock=self._clock,
            log=self._job.record.log,
            over=lambda at, end: self._watch.notify(lambda: self._ends.update({at: end})),
            bug=self._watch.fail,
        )
        self._begun[index] = step
        step.start()

    def _newly_ended(self, done: set[int]) -> list[tuple[int, StepEnd]]:
        """Return the steps that have ended since the last call, in their order."""
        return [(index, end) for index, end in self._ends.items() if index not in done]

    def _judge(self, index: int, end: StepEnd) -> None:
        """Raise for a step that fails the build.

        A step over its own limit fails it as FAILURE, not TIMEOUT, as in logs that users report, which say ERROR
        and `build step 3 "IMAGE" failed: context deadline exceeded`.
        """
        step = self._steps[index]
        if (why := end.failure()) and step.get("allowFailure") is not True:
            detail = f'build step {index} "{step["name"]}" failed: {why}'
            raise EndedError(Ending("FAILURE", detail))
