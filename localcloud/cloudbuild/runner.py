"""What the build engine asks of that which runs steps: an order, and the Protocols that ProcessRunner and DockerRunner meet."""

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
    cloud: Mapping[str, str]  # what leads Google's clients to localcloud; `variables` win
    directory: str  # absolute, as seen in the step: "/workspace", "/workspace/sub" or any other
    volumes: tuple[tuple[str, str], ...] = ()  # (name, absolute path in the step)


class RunnerError(Exception):
    """What keeps a step from starting; str() is one sentence for the build's log."""


class RunningStep(Protocol):
    """A step that has been started; its methods may be called from any thread."""

    output: IO[
        bytes
    ]  # stdout and stderr, merged as they come; ends when the step has ended and nobody holds it

    def wait(self) -> int:
        """Exit code; 128+N when signal N ended it."""

    def kill(self) -> None:
        """End all of it at once, without grace; return when nothing of it is left. May be called again."""


class Room(Protocol):
    """One build's place: /workspace, /builder/home and volumes, shared by its steps; gone after close()."""

    workspace: Path | None  # the host's view of /workspace, where there is one

    def unpack(self, archive: Path) -> None:
        """Unpack a .tgz or .zip into /workspace; RunnerError for a bad one."""

    def start(self, order: StepOrder) -> RunningStep:
        """Start a step; RunnerError when it cannot be started."""

    def describe(self, image: str) -> str:
        """Answer the log's line about the image: 'Already have image: X', 'Pulling image: X'."""

    def step_output(self, index: int) -> bytes:
        """First OUTPUT_LIMIT bytes of the step's $BUILDER_OUTPUT/output; empty when there is none."""

    def push(self, image: str, log: Callable[[str], None]) -> str:
        """Push an image that the steps have made; answer its digest. RunnerError where that cannot be done."""

    def collect(self, pattern: str) -> list[Path]:
        """Files on the host, copies or not, of what in /workspace fits an artifact's path or glob; sorted."""

    def close(self) -> None:
        """End what still runs and remove everything. May be called again."""


class Images(Protocol):
    """What a runner knows of images; names are as steps have them. Each method raises RunnerError when it cannot be asked."""

    def digest(self, image: str) -> str | None:
        """Return the digest ("sha256:…") by which the runner finds the same image again; None when there is no such image."""

    def pushed(self, image: str) -> float | None:
        """Return when an image got its name, in seconds since the epoch; None when there is no such image."""

    def repositories(self, below: str) -> list[str]:
        """Return the names, without tags, of images whose names begin so ("us-docker.pkg.dev/project/repository/")."""

    def tags(self, repository: str) -> list[str]:
        """Return the tags of an image by its name without one; none when there is no such image."""


class Runner(Protocol):
    """Runs the steps of builds."""

    name: str  # "process", "docker"

    @property
    def images(self) -> Images:
        """What it can run."""

    def open(self, build_id: str, folder: Path) -> Room:
        """Make a room for a build, in an empty directory of the build's own; RunnerError when that cannot be."""
