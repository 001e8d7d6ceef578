"""The build engine's view of a runner: a step's order, and the Protocols of ProcessRunner and DockerRunner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

# Bytes of $BUILDER_OUTPUT/output that Cloud Build keeps of a step.
OUTPUT_LIMIT = 50 * 1024


@dataclass(frozen=True)
class StepOrder:
    """One step, everything substituted and resolved."""

    index: int
    image: str  # as the build names it
    entrypoint: str | None
    args: tuple[str, ...]
    script: str | None  # excludes entrypoint and args
    variables: Mapping[
        str, str
    ]  # env, secretEnv, automapped substitutions; nothing of the user's own environment
    cloud: Mapping[str, str]  # lead Google's clients to localcloud; `variables` take precedence
    directory: str  # absolute, as seen in the step: "/workspace", "/workspace/sub" or any other


class RunnerError(Exception):
    """A step cannot start; str() is one sentence for the build's log."""


class RunningStep(Protocol):
    """A started step. Its methods may be called from any thread."""

    output: IO[bytes]  # stdout and stderr, merged; ends once the step has ended and no process holds it

    def wait(self) -> int:
        """Exit code; 128+N when signal N ended it."""

    def kill(self) -> None:
        """Kill all its processes; return once they are gone. May be called again."""


class Worker(Protocol):
    """The worker of one build: /workspace and /builder/home, which its steps share; gone after close()."""

    workspace: Path | None  # the host's view of /workspace, where there is one

    def unpack(self, archive: Path) -> None:
        """Unpack a .tgz into /workspace; RunnerError for a bad one."""

    def start(self, order: StepOrder) -> RunningStep:
        """Start a step; RunnerError when it cannot be started."""

    def describe(self, image: str) -> str:
        """Return the log's line about the image: 'Already have image: X', 'Pulling image: X'."""

    def step_output(self, index: int) -> bytes:
        """First OUTPUT_LIMIT bytes of the step's $BUILDER_OUTPUT/output; empty when there is none."""

    def push(self, image: str, log: Callable[[str], None]) -> str:
        """Push an image that the steps have made; return its digest. Raises RunnerError."""

    def close(self) -> None:
        """End what still runs and remove everything. May be called again."""


class Images(Protocol):
    """The images of a runner, by the names in steps. Each method raises RunnerError if the runner does not answer."""

    def digest(self, image: str) -> str | None:
        """Return the digest ("sha256:…") by which the runner finds the image again; None if it has no such image."""

    def pushed(self, image: str) -> float | None:
        """Return the time at which an image got its name, in seconds since the epoch; None without such an image."""


class Runner(Protocol):
    """Runs the steps of builds."""

    name: str  # "process", "docker"

    @property
    def images(self) -> Images:
        """The images that it can run."""

    def open(self, build_id: str, folder: Path) -> Worker:
        """Make a worker for a build, in an empty directory of the build's own; raises RunnerError."""
