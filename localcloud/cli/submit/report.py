"""The messages of `submit`, like those of `gcloud builds submit`: progress on stderr, log and table on stdout."""

from __future__ import annotations

import datetime as dt
import shutil
import sys
from collections.abc import Sequence

from localcloud.cli.submit.packing import Source
from localcloud.core.iam import PROJECT
from localcloud.services.cloudbuild.problem import Json

_WIDTH = 80
_GAP = "  "


def packing(source: Source) -> None:
    """Print what is packed."""
    _print(
        f"Creating temporary archive of {source.files} file(s) totalling {source.shown_size} before compression."
    )


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
    """End the log, and print the build's result as a table."""
    _line("")
    sys.stdout.write("\n")
    cells = _cells(build)
    widths = [max(len(name), len(value)) for name, value in cells.items()]
    for row in (cells.keys(), cells.values()):
        line = _GAP.join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        sys.stdout.write(line.rstrip() + "\n")
    sys.stdout.flush()


def failed(build: Json) -> None:
    """Print that the build did not succeed, and why."""
    detail = build.get("failureInfo", {}).get("detail") or build.get("statusDetail")
    if detail:
        _print(f"\nBUILD FAILURE: {detail}")
    error(f'build {build["id"]} completed with status "{build.get("status", "STATUS_UNKNOWN")}"')


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


def _cells(build: Json) -> dict[str, str]:
    source = build.get("source", {}).get("storageSource")
    images = build.get("images") or ["-"]
    return {
        "ID": build["id"],
        "CREATE_TIME": _time(build["createTime"]).isoformat(timespec="seconds"),
        "DURATION": _duration(build),
        "SOURCE": f"gs://{source['bucket']}/{source['object']}" if source else "-",
        "IMAGES": images[0] if len(images) == 1 else f"{images[0]} (+{len(images) - 1} more)",
        "STATUS": build.get("status", "STATUS_UNKNOWN"),
    }


def _duration(build: Json) -> str:
    """Return how long the build ran, as gcloud prints it: 1M30S; "-" if it never ran."""
    if not build.get("startTime") or not build.get("finishTime"):
        return "-"
    seconds = round((_time(build["finishTime"]) - _time(build["startTime"])).total_seconds())
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    text = (
        (f"{hours}H" if hours else "")
        + (f"{minutes}M" if minutes else "")
        + (f"{seconds}S" if seconds else "")
    )
    return text or "0S"


def _time(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)
