"""What the engine runs: a build with everything decided at its creation, and how it, or one of its steps, ended. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from localcloud.cloudbuild.objects import Place
from localcloud.cloudbuild.problem import Json, part, text, texts
from localcloud.cloudbuild.runner import Runner, StepOrder
from localcloud.cloudbuild.state import Record
from localcloud.cloudbuild.views import span
from localcloud.cloudbuild.workspace import WORKSPACE

_KILLED = 137


@dataclass(frozen=True)
class Job:
    """A build that may run: its record, who it is, and what its steps get beside what the record says."""

    record: Record
    runner: Runner
    account: str  # address of the build's service account
    source: Place | None
    automapped: tuple[Mapping[str, str], ...]  # one of each step


@dataclass(frozen=True)
class Ending:
    """How a build ended: `detail` is a sentence, `failure` a FailureInfo.FailureType."""

    status: str
    detail: str = ""
    failure: str = ""


SUCCESS = Ending("SUCCESS")
CANCELLED = Ending("CANCELLED", "context canceled")
TIMED_OUT = Ending("TIMEOUT", "context deadline exceeded")
EXPIRED = Ending("EXPIRED", "the build was in the queue for longer than its queueTtl")


@dataclass(frozen=True)
class StepEnd:
    """How a step ended. Times are seconds since the epoch, `pulled` that at which its image was there.

    `code` is its exit code; None when it never ran, and then `trouble` says why.
    """

    started: float
    pulled: float
    ended: float
    code: int | None = None
    trouble: str = ""
    timed_out: bool = False
    output: bytes = b""

    def failure(self) -> str:
        """Return what follows `build step 0 "IMAGE" failed: ` in the log; nothing for a step that did not fail."""
        if self.trouble:
            return self.trouble
        if self.overran:
            return "context deadline exceeded"
        return f"step exited with non-zero status: {self.code}" if self.code else ""

    @property
    def overran(self) -> bool:
        """Whether its own time limit has ended it."""
        return self.timed_out and self.code == _KILLED

    def status(self) -> str:
        """Return the step's status."""
        if self.overran:
            return "TIMEOUT"
        return "FAILURE" if self.failure() else "SUCCESS"


def tolerated(step: Json, end: StepEnd) -> bool:
    """Say whether the build goes on although the step failed: `allowExitCodes` goes before `allowFailure`.

    A step that could not be started fails the build whatever is allowed.
    """
    if end.trouble:
        return False
    if codes := step.get("allowExitCodes"):
        return end.code in codes and not end.overran
    return bool(step.get("allowFailure"))


def step_title(steps: Sequence[Json], index: int) -> str:
    """Return how the log names a step; nothing when it is the only one."""
    if len(steps) == 1:
        return ""
    id_ = text(steps[index], "id")
    return f"Step #{index}" + (f' - "{id_}"' if id_ else "")


def step_order(
    build: Json,
    index: int,
    automapped: Mapping[str, str],
    secrets: Mapping[str, str],
    cloud: Mapping[str, str],
) -> StepOrder:
    """Return the order for a step. Its environment, weakest first: substitutions, options.env, its env, secrets."""
    step, options = build["steps"][index], part(build, "options")
    plain = [entry.partition("=") for _, entry in (*texts(options, "env"), *texts(step, "env"))]
    wanted = [name for _, name in (*texts(options, "secretEnv"), *texts(step, "secretEnv"))]
    return StepOrder(
        index=index,
        image=step["name"],
        entrypoint=text(step, "entrypoint") or None,
        args=tuple(step.get("args", ())),
        script=text(step, "script") or None,
        variables={
            **automapped,
            **{key: value for key, _, value in plain},
            **{name: secrets[name] for name in wanted},
        },
        cloud=cloud,
        directory=posixpath.normpath(posixpath.join(WORKSPACE, text(step, "dir"))),
        volumes=tuple(
            (volume["name"], volume["path"])
            for volume in (*options.get("volumes", ()), *step.get("volumes", ()))
        ),
    )


def secret_user(build: Json, name: str) -> int:
    """Return the index of the first step that gets a secret."""
    if name in part(build, "options").get("secretEnv", ()):
        return 0
    return next(index for index, step in enumerate(build["steps"]) if name in step.get("secretEnv", ()))


def steps_shown(
    steps: Sequence[Json], ends: Mapping[int, StepEnd], killed: Mapping[int, StepEnd], ending: Ending
) -> list[Json]:
    """Return the steps as a build shows them that is over.

    `ends` are those that ended by themselves, `killed` those that ended with the build; the others never started. What
    Google's local builder leaves of a step that the build's time limit ended is WORKING (cloud-build-local, build.go,
    timeAndRunStep), and CANCELLED of one that was ended for any other reason.
    """
    left = "WORKING" if ending.status == "TIMEOUT" else "CANCELLED"
    return [
        step | _shown(ends[index], ends[index].status())
        if index in ends
        else step | _shown(killed[index], left)
        if index in killed
        else step | {"status": "QUEUED"}
        for index, step in enumerate(steps)
    ]


def _shown(end: StepEnd, status: str) -> Json:
    shown: Json = {
        "status": status,
        "timing": span(end.started, end.ended),
        "pullTiming": span(end.started, end.pulled),
    }
    # As in all of Google's JSON, a zero is not printed.
    return shown | ({"exitCode": end.code} if end.code and status == "FAILURE" else {})
