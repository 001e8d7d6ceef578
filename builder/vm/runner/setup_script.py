"""Runs the set-up script, which prepares the VM for the notebook, in the notebook's folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from builder.vm.protocol import SetupStep

from . import steps
from .fault import Fault, Stop
from .log import Log

MAX_BYTES = 1024 * 1024  # of the script that are searched for Windows' line ends


def run(
    setup: SetupStep,
    *,
    tree: Path,
    cwd: Path,
    environment: Mapping[str, str],
    log: Log,
    stopping: Callable[[], Stop],
) -> None:
    """Run the script by its `#!` line, else by bash. Raises `Fault` if it fails or reaches its limit."""
    script = tree / setup.path
    log.line(f"set-up: {setup.path}")
    try:
        finished = steps.run(
            _command(script),
            name="the set-up script",
            cwd=cwd,
            environment=environment,
            limit=setup.timeout,
            log=log,
            stopping=stopping,
        )
    except OSError as error:
        message = (
            f"{setup.path} cannot be run, nor what its first line names: {error.strerror}{_line_ends(script)}"
        )
        raise Fault("setup_failed", message) from error
    if finished is None:
        raise Fault("setup_timeout", f"{setup.path} reached its limit of {setup.timeout:g} s")
    if finished.code:
        how = f"exit status {finished.code}" if finished.code > 0 else f"signal {-finished.code}"
        said = finished.last_lines or "no output"
        raise Fault("setup_failed", f"{setup.path} ended with {how}: {said}{_line_ends(script)}")


def _line_ends(script: Path) -> str:
    """Return the end of a message about a script that Windows' line ends spoil; "" without them."""
    try:
        with script.open("rb") as file:
            spoilt = b"\r\n" in file.read(MAX_BYTES)
    except OSError:  # the script has deleted itself
        return ""
    return "; the script has Windows line ends (CRLF), so save it with LF" if spoilt else ""


def _command(script: Path) -> list[str]:
    with script.open("rb") as file:
        names_interpreter = file.read(2) == b"#!"
    if not names_interpreter:
        return ["bash", str(script)]
    script.chmod(script.stat().st_mode | 0o500)
    return [str(script)]
