"""The messages of `submit`, like those of `gcloud builds submit`: progress on stderr, log and result on stdout."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from localcloud.cli.submit.packing import Source
from localcloud.core.iam import PROJECT
from localcloud.services.cloudbuild.problem import Json

_WIDTH = 80


def packing(source: Source) -> None:
    """Print what is packed."""
    _print(f"Creating temporary archive of {source.files} file(s).")


def uploading(folder: str, address: str) -> None:
    """Print the upload."""
    _print(f"Uploading tarball of [{folder}] to [{address}]")


def created(build: Json, log_url: str, region: str) -> None:
    """Print the build's name and its log's address; then the log begins."""
    name = f"projects/{PROJECT}/locations/{region}/builds/{build['id']}"
    _print(f"Created [https://cloudbuild.googleapis.com/v1/{name}].")
    _print(f"Logs are available at [ {log_url} ].")
    _line(" REMOTE BUILD OUTPUT ")


def finished(build: Json) -> None:
    """End the log, and print the build's status."""
    _line("")
    sys.stdout.write(f"\nbuild {build['id']}: {_status(build)}\n")
    sys.stdout.flush()


def failed(build: Json) -> None:
    """Print that the build did not succeed, and why."""
    if detail := build.get("statusDetail"):
        _print(f"\nBUILD FAILURE: {detail}")
    error(f'build {build["id"]} completed with status "{_status(build)}"')


def faults(lines: Sequence[str]) -> None:
    """Print the faults of the build file."""
    for line in lines:
        _print(line)


def error(text: str) -> None:
    """Print an error."""
    _print(f"ERROR: (localcloud submit) {text}")


def _print(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _line(title: str) -> None:
    width = shutil.get_terminal_size((_WIDTH, 0)).columns
    sys.stdout.write(title.center(width, "-") + "\n")
    sys.stdout.flush()


def _status(build: Json) -> str:
    status: str = build.get("status", "STATUS_UNKNOWN")
    return status
