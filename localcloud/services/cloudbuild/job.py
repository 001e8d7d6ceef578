"""The engine's input and results: a valid build, and the ends of the build and of its steps. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from localcloud.core.objects import Place
from localcloud.engines.build import Runner, StepOrder
from localcloud.engines.build_workspace import WORKSPACE
from localcloud.services.cloudbuild.problem import Json, part, text, texts
from localcloud.services.cloudbuild.state import Record

_KILLED = 137


@dataclass(frozen=True)
class Job:
    """A valid build: its record, its account, and its steps' inputs beyond the record."""

    record: Record
    runner: Runner
    account: str  # address of the build's service account
    source: Place | None
    automapped: tuple[Mapping[str, str], ...]  # one of each step


@dataclass(frozen=True)
class Ending:
    """The end of a build: `detail` is a sentence."""

    status: str
    detail: str = ""


SUCCESS = Ending("SUCCESS")
CANCELLED = Ending("CANCELLED", "context canceled")
TIMED_OUT = Ending("TIMEOUT", "context deadline exceeded")
EXPIRED = Ending("EXPIRED", "the build was in the queue for longer than its queueTtl")


@dataclass(frozen=True)
class StepEnd:
    """The end of a step: its exit code; None if it never ran, and then `trouble` says why."""

    code: int | None = None
    trouble: str = ""
    timed_out: bool = False
    output: bytes = b""

    def failure(self) -> str:
        """Return the text after `build step 0 "IMAGE" failed: ` in the log; "" for a step that did not fail."""
        if self.trouble:
            return self.trouble
        if self.overran:
            return "context deadline exceeded"
        return f"step exited with non-zero status: {self.code}" if self.code else ""

    @property
    def overran(self) -> bool:
        """True if the step's own time limit has ended it."""
        return self.timed_out and self.code == _KILLED

    def status(self) -> str:
        """Return the step's status."""
        if self.overran:
            return "TIMEOUT"
        return "FAILURE" if self.failure() else "SUCCESS"


def step_title(steps: Sequence[Json], index: int) -> str:
    """Return the log's name of a step; "" for the only one."""
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
    )


def secret_user(build: Json, name: str) -> int:
    """Return the index of the first step that gets a secret."""
    if name in part(build, "options").get("secretEnv", ()):
        return 0
    return next(index for index, step in enumerate(build["steps"]) if name in step.get("secretEnv", ()))


def steps_shown(
    steps: Sequence[Json], ends: Mapping[int, StepEnd], killed: Collection[int], ending: Ending
) -> list[Json]:
    """Return the steps of a finished build.

    `ends` are those that ended by themselves, `killed` those that ended with the build; the others never started. What
    Google's local builder leaves of a step that the build's time limit ended is WORKING (cloud-build-local, build.go,
    timeAndRunStep), and CANCELLED of one that was ended for any other reason.
    """
    left = "WORKING" if ending.status == "TIMEOUT" else "CANCELLED"
    return [
        step | (_shown(ends[index]) if index in ends else {"status": left if index in killed else "QUEUED"})
        for index, step in enumerate(steps)
    ]


def _shown(end: StepEnd) -> Json:
    status = end.status()
    # As in all of Google's JSON, a zero is not printed.
    return {"status": status} | ({"exitCode": end.code} if end.code and status == "FAILURE" else {})
