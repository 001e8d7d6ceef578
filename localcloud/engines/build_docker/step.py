"""A step that runs in a container."""

from __future__ import annotations

import contextlib
import threading
from typing import IO

from localcloud.engines.build import RunnerError
from localcloud.engines.build_docker.cli import Docker
from localcloud.engines.supervisor import OwnedProcess

_KILLED = 137


class DockerStep:
    """A container and the client that is attached to it; see `RunningStep`."""

    def __init__(self, docker: Docker, container: str, client: OwnedProcess) -> None:
        if client.stdout is None:
            raise ValueError("the step needs a pipe as its output")
        self.output: IO[bytes] = client.stdout
        self._docker = docker
        self._container = container
        self._client = client
        self._lock = threading.Lock()
        self._code: int | None = None

    def wait(self) -> int:
        """Exit code; 128+N when signal N ended it."""
        self._client.wait()
        with self._lock:
            if self._code is None:
                self._code = self._exit_code()
                self._client.kill()
            return self._code

    def kill(self) -> None:
        """Kill it, as Cloud Build does; return once the container is gone."""
        if self._state()[0] == "exited":
            self.wait()  # it has ended by itself: keep its exit code
        with contextlib.suppress(RunnerError):  # gone already
            self._docker.call("rm", "--force", "--volumes", self._container)
        self.wait()

    def _exit_code(self) -> int:
        status, code = self._state()
        # A container that could not start has an exit code of its own (127: no such program), or else the client has.
        return code or (abs(self._client.wait()) if status == "created" else 0)

    def _state(self) -> tuple[str, int]:
        """Docker's name of the container's state, and its exit code."""
        form = "{{.State.Status}} {{.State.ExitCode}}"
        try:
            status, code = self._docker.call("inspect", "--format", form, self._container).decode().split()
        except RunnerError:
            return "removed", _KILLED
        return status, int(code)
