"""The image, run as Cloud Build runs a step: as root, in /workspace, with a HOME of the build's and no engine."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.image.engine import Engine
from tests.patience import PATIENCE


@dataclass(frozen=True)
class Ended:
    """A step that has ended: its exit code, and all that it said."""

    code: int
    output: str

    @property
    def last(self) -> str:
        """The last line."""
        return self.output.rstrip().splitlines()[-1]


class Started:
    """A step that runs: the container's name, and the client that is attached to it."""

    def __init__(self, engine: Engine, name: str, client: subprocess.Popen[str]) -> None:
        self._engine = engine
        self.name = name
        self._client = client

    def stop(self) -> None:
        """Have the engine send SIGTERM, and SIGKILL ten seconds later."""
        self._engine.call("stop", "--time", "10", self.name)

    def kill(self) -> None:
        """Have the engine send SIGKILL."""
        self._engine.call("kill", self.name)

    def end(self) -> Ended:
        """Wait for the end."""
        try:
            output, _ = self._client.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            output, _ = self._client.communicate()
            raise AssertionError(f"the step did not end:\n{output}") from None
        return Ended(self._client.returncode, output)


@dataclass
class Steps:
    """Starts steps; those of one value share /workspace and /builder/home, as the steps of a build do."""

    engine: Engine
    image: str
    network: str
    variables: Mapping[str, str]
    _volumes: dict[str, str] = field(default_factory=dict)

    def workspace(self, folder: Path) -> None:
        """Put a folder's files into /workspace."""
        self.engine.fill(self._volume("/workspace"), folder, self.image)

    def start(
        self, *arguments: str, options: Sequence[str] = (), workdir: str = "/workspace", **variables: str
    ) -> Started:
        """Start a step with these arguments and variables; `options` are more of `docker run`."""
        name = f"nb-image-test-{uuid.uuid4().hex[:12]}"
        given = {"HOME": "/builder/home", "BUILDER_OUTPUT": "/builder/outputs", **self.variables, **variables}
        command = [
            *(self.engine.program, "run", "--rm", "--name", name, "--label", self.engine.label),
            *("--network", self.network, "--workdir", workdir),
            *(part for path in ("/workspace", "/builder/home") for part in self._mount(path)),
            *(part for key, value in given.items() for part in ("--env", f"{key}={value}")),
            *options,
            self.image,
            *arguments,
        ]
        client = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return Started(self.engine, name, client)

    def run(
        self, *arguments: str, options: Sequence[str] = (), workdir: str = "/workspace", **variables: str
    ) -> Ended:
        """Run a step to its end."""
        return self.start(*arguments, options=options, workdir=workdir, **variables).end()

    def _mount(self, path: str) -> tuple[str, str]:
        return "--volume", f"{self._volume(path)}:{path}"

    def _volume(self, path: str) -> str:
        if path not in self._volumes:
            self._volumes[path] = self.engine.volume()
        return self._volumes[path]
