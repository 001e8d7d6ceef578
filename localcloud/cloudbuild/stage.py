"""The steps of one build: started as `waitFor` has it, until all are done or one has failed; then none is left running."""

from __future__ import annotations

from collections.abc import Mapping

from localcloud.clock import Clock
from localcloud.cloudbuild import durations
from localcloud.cloudbuild.graph import ready
from localcloud.cloudbuild.job import Ending, Job, StepEnd, step_order, step_title, steps_shown, tolerated
from localcloud.cloudbuild.problem import Json, text
from localcloud.cloudbuild.runner import Room
from localcloud.cloudbuild.stepping import Step
from localcloud.cloudbuild.watch import EndedError, Watch


class Stage:
    """The steps of a build in its room. `run`, and then, however that went, `close`, which closes the room too."""

    def __init__(self, room: Room, job: Job, *, clock: Clock, watch: Watch) -> None:
        self._room = room
        self._job = job
        self._clock = clock
        self._watch = watch
        self._build = job.record.view()
        self._steps: list[Json] = self._build["steps"]
        self._begun: dict[int, Step] = {}
        self._heard: dict[int, StepEnd] = {}
        self._own: dict[int, StepEnd] = {}

    def run(self, secrets: Mapping[str, str], cloud: Mapping[str, str]) -> None:
        """Run all steps; raises `EndedError` when one fails, at once, or on the word to stop."""
        done: set[int] = set()
        while len(done) < len(self._steps):
            for index in ready(self._steps, done, set(self._begun)):
                self._begin(index, secrets, cloud)
            for index, end in self._watch.wait(lambda: self._news(done)):
                self._judge(index, end)
                done.add(index)

    def close(self) -> None:
        """End what still runs, without grace; returns when nothing is left and all that was printed is in the log."""
        self._watch.tell(lambda: self._own.update(self._heard))
        running = [step for step in self._begun.values() if step.kill()]
        for step in running:
            step.join()
        self._room.close()  # also ends a step that is about to start
        for step in self._begun.values():
            step.join()

    def shown(self, ending: Ending) -> list[Json]:
        """Return the steps as the build shows them at its end."""
        killed = {index: end for index, end in self._heard.items() if index not in self._own}
        return steps_shown(self._steps, self._own, killed, ending)

    def outputs(self) -> list[bytes]:
        """Return what each step left in $BUILDER_OUTPUT/output."""
        return [
            self._heard[index].output if index in self._heard else b"" for index in range(len(self._steps))
        ]

    def _begin(self, index: int, secrets: Mapping[str, str], cloud: Mapping[str, str]) -> None:
        step = Step(
            self._room,
            step_order(self._build, index, self._job.automapped[index], secrets, cloud),
            step_title(self._steps, index),
            limit=durations.seconds(text(self._steps[index], "timeout")),
            clock=self._clock,
            log=self._job.record.log,
            over=lambda at, end: self._watch.tell(lambda: self._heard.update({at: end})),
            bug=self._watch.fail,
        )
        self._begun[index] = step
        step.start()

    def _news(self, done: set[int]) -> list[tuple[int, StepEnd]]:
        """Return the steps that have ended since, in the order in which they did."""
        return [(index, end) for index, end in self._heard.items() if index not in done]

    def _judge(self, index: int, end: StepEnd) -> None:
        """Raise for a step that fails the build.

        One that overran its own limit does so as FAILURE, not TIMEOUT: so the logs that users report, which say ERROR
        and `build step 3 "IMAGE" failed: context deadline exceeded`.
        """
        step = self._steps[index]
        if (why := end.failure()) and not tolerated(step, end):
            detail = f'build step {index} "{step["name"]}" failed: {why}'
            raise EndedError(Ending("FAILURE", detail, "USER_BUILD_STEP"))
