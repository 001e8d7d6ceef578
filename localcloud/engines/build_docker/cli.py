"""Calls of the `docker` client, one process each."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from localcloud.engines.build import RunnerError
from localcloud.engines.supervisor import OwnedProcess

LABEL = "localcloud.build"
"""On every container, volume and image that we make; its value is the build's id."""

# The client reads its env file by lines of at most 64 KiB.
_MAX_LINE = 32 * 1024

# Pulls and steps, which can take longer, are started by `start`.
_CALL_SECONDS = 600


class Docker:
    """The client: a program's name or path, which also inherits this process's DOCKER_HOST and the like."""

    def __init__(self, program: str) -> None:
        self.program = program

    def call(
        self,
        *args: str,
        send: bytes | IO[bytes] = b"",
        receive: IO[bytes] | int | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> bytes:
        """Run one command, which ends with this process, and return its stdout.

        RunnerError with its stderr if it fails. `send` is its input, `receive` a file for its output instead of the
        answer, `variables` its environment's additions.
        """
        with contextlib.ExitStack() as stack:
            given, output, errors = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(3))
            if isinstance(send, bytes):
                given.write(send)
                given.seek(0)
            try:
                process = OwnedProcess.start(
                    [self.program, *args],
                    env={**os.environ, **(variables or {})},
                    stdin=given if isinstance(send, bytes) else send,
                    stdout=output if receive is None else receive,
                    stderr=errors,
                )
            except (OSError, ValueError) as error:
                raise RunnerError(f"{self.program} cannot be called: {error}") from error
            with process:
                try:
                    code = process.wait(_CALL_SECONDS)
                except TimeoutError as error:
                    raise RunnerError(f"docker {args[0]} does not end within {_CALL_SECONDS} s") from error
            output.seek(0)
            errors.seek(0)
            if code:
                raise RunnerError(_last_line(errors.read()) or f"docker {args[0]} exited with {code}")
            return output.read()

    def start(
        self, *args: str, stdout: IO[bytes] | int = subprocess.PIPE, first: Path | None = None
    ) -> OwnedProcess:
        """Start a command; its output, both streams in one, follows the content of the file `first`."""
        argv = [self.program, *args]
        if first:
            argv = ["/bin/sh", "-c", 'cat "$0"; exec "$@"', str(first), *argv]
        try:
            return OwnedProcess.start(argv, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.STDOUT)
        except OSError as error:
            raise RunnerError(f"{self.program} cannot be called: {error}") from error


def environment_options(variables: Mapping[str, str]) -> tuple[list[str], bytes, dict[str, str]]:
    """Pass variables to `docker create` with no value in an argument: (options, its stdin, its environment).

    Values go in by the env file, which is stdin, so that none (PATH, HOME, DOCKER_HOST) changes the client itself.
    A value with a newline goes in by the client's environment.
    """
    in_lines = {name: value for name, value in variables.items() if _fits_line(name, value)}
    others = {name: value for name, value in variables.items() if name not in in_lines}
    options = ["--env-file", "/dev/stdin", *(part for name in others for part in ("--env", name))]
    return options, "".join(f"{name}={value}\n" for name, value in in_lines.items()).encode(), others


def _fits_line(name: str, value: str) -> bool:
    return not ({"\n", "\r"} & set(value)) and not name.startswith("#") and len(value.encode()) < _MAX_LINE


def _last_line(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
