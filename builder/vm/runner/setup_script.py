"""The set-up script: the notebook's own preparation of the VM, run in its folder before anything of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from . import steps
from .log import Log
from .notebook import Stop
from .settings import Fault, Setup


def run(
    setup: Setup,
    *,
    tree: Path,
    cwd: Path,
    environment: Mapping[str, str],
    log: Log,
    stopping: Callable[[], Stop],
) -> None:
    """Run the script by its `#!` line, else by bash. Raises `Fault` when it does not end well and in time."""
    script = tree / setup.path
    log.note(f"set-up: {setup.path}")
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
        message = f"{setup.path} cannot be run, nor what its first line names: {error.strerror}"
        raise Fault("setup_failed", message) from error
    if finished is None:
        raise Fault("setup_timeout", f"{setup.path} reached its limit of {setup.timeout:g} s")
    if finished.code:
        how = f"exit status {finished.code}" if finished.code > 0 else f"signal {-finished.code}"
        raise Fault("setup_failed", f"{setup.path} ended with {how}: {finished.last_words or 'no word'}")


def _command(script: Path) -> list[str]:
    with script.open("rb") as file:
        names_interpreter = file.read(2) == b"#!"
    if not names_interpreter:
        return ["bash", str(script)]
    script.chmod(script.stat().st_mode | 0o500)
    return [str(script)]
