"""Calls of the `docker` client, one process each."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from localcloud.cloudbuild.runner import RunnerError
from localcloud.machine.supervisor import OwnedProcess

LABEL = "localcloud.build"
"""On every container, volume and image that we make; its value is the build's id."""

# The client reads its env file line by line, and no longer lines than 64 KiB.
_LONGEST_LINE = 32 * 1024


class Docker:
    """The client: a program's name or path, which also inherits this process's DOCKER_HOST and the like."""

    def __init__(self, program: str) -> None:
        self.program = program

    def call(
        self,
        *args: str,
        send: bytes | IO[bytes] = b"",
        receive: IO[bytes] | int = subprocess.PIPE,
        variables: Mapping[str, str] | None = None,
    ) -> bytes:
        """Run one command to its end and answer its stdout; RunnerError with what it said when it fails.

        `send` is its input, `receive` a file for its output instead of the answer, `variables` its environment's additions.
        """
        source: dict[str, Any] = {"input": send} if isinstance(send, bytes) else {"stdin": send}
        environment = {**os.environ, **(variables or {})}
        argv = [self.program, *args]
        try:
            done = subprocess.run(
                argv, **source, env=environment, stdout=receive, stderr=subprocess.PIPE, check=False
            )
        except (OSError, ValueError) as error:
            raise RunnerError(f"{self.program} cannot be called: {error}") from error
        if done.returncode:
            raise RunnerError(_last_line(done.stderr) or f"docker {args[0]} exited with {done.returncode}")
        return bytes(done.stdout or b"")

    def start(
        self, *args: str, stdout: IO[bytes] | int = subprocess.PIPE, first: Path | None = None
    ) -> OwnedProcess:
        """Start a command whose output, both streams in one, is read as it comes, after what the file `first` holds."""
        argv = [self.program, *args]
        if first:
            argv = ["/bin/sh", "-c", 'cat "$0"; exec "$@"', str(first), *argv]
        try:
            return OwnedProcess.start(argv, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.STDOUT)
        except OSError as error:
            raise RunnerError(f"{self.program} cannot be called: {error}") from error


def environment_options(variables: Mapping[str, str]) -> tuple[list[str], bytes, dict[str, str]]:
    """How to give variables to `docker create` with no value in an argument: (options, its stdin, its environment).

    Values go in by the env file, which is stdin, so that none (PATH, HOME, DOCKER_HOST) concerns the client itself.
    A value that no line can hold goes in by the client's environment.
    """
    in_lines = {name: value for name, value in variables.items() if _fits_line(name, value)}
    others = {name: value for name, value in variables.items() if name not in in_lines}
    options = ["--env-file", "/dev/stdin", *(part for name in others for part in ("--env", name))]
    return options, "".join(f"{name}={value}\n" for name, value in in_lines.items()).encode(), others


def _fits_line(name: str, value: str) -> bool:
    return (
        not ({"\n", "\r"} & set(value)) and not name.startswith("#") and len(value.encode()) < _LONGEST_LINE
    )


def _last_line(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
