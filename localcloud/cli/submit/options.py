"""The command line of `submit`: its flags and their values."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from localcloud.profile import FIRST_BUCKET

_HERE = ""
"""The value of `--commit` and `--branch` without one: HEAD, and the branch that is checked out."""

_DESCRIPTION = """\
Runs the build of a folder's cloudbuild.yaml on the local Cloud Build, as gcloud builds submit runs it on Google's:
packs the folder (less what .gcloudignore names), checks the file, shows the log as it grows. Ctrl-C cancels the
build.

It runs on the cloud that the exported variables name (see serve), else on one of its own that ends with the build.
The state of such a cloud stays until three later builds, and the last lines have the addresses of its reports.
"""
_EPILOG = """\
for example:
  python -m localcloud submit .
  python -m localcloud submit --config ci/build.yaml --substitutions _CITY=Paris,_DAYS=7 .
  python -m localcloud submit --commit --branch main .

A value with a comma in it: give another delimiter first, --substitutions '^;^_A=1,2;_B=3'.
Without DIR, a value of --commit or --branch that is a folder counts as DIR.

exit codes: 0 the build succeeded; 1 it did not; 2 bad input, and nothing was sent; 130, 143 cancelled
"""
_PAIR = re.compile(r"(?P<key>[A-Za-z0-9_]+)=(?P<value>.*)", re.DOTALL)
# The forms that setup/repo.sh takes, and the folders of the bucket that it refuses.
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9._-]+)*")
_SOURCES = ("source", "image-source")
_DELIMITED = re.compile(r"\^(?P<delimiter>[^^]+)\^(?P<rest>.*)", re.DOTALL)


@dataclass(frozen=True)
class Options:
    """The input of a submission, and its target."""

    folder: Path
    config: Path | None
    substitutions: dict[str, str]
    state: Path | None
    runner: str | None
    docker_network: str | None
    docker_socket: bool
    prefix: list[str]
    region: str
    service_account: str | None
    source: bool
    staging: str
    commit: str | None  # a revision; None: the folder as it is
    branch: str | None  # a name, or "" for the checked-out one; None: not asked for


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.set_defaults(parser=parser)
    add = parser.add_argument
    add("dir", type=Path, nargs="?", metavar="DIR", help="the folder to submit (default: the current one)")
    add(
        "--config",
        type=Path,
        metavar="FILE",
        help="the build file, YAML or JSON (default: DIR/cloudbuild.yaml)",
    )
    add(
        "--substitutions",
        type=substitutions,
        default={},
        metavar="KEY=VALUE,...",
        help="values for the file's substitutions; they take precedence over those in the file",
    )
    add(
        "--commit",
        nargs="?",
        const="HEAD",
        metavar="REV",
        help="build this commit (default: HEAD) with its committed files and build file, not those of the folder, "
        "with the substitutions that a trigger sets: COMMIT_SHA and so on. Ignore files have no effect then",
    )
    add(
        "--branch",
        nargs="?",
        const=_HERE,
        metavar="NAME",
        help="build for this branch (default: the checked-out one): sets BRANCH_NAME and so on. Without --commit, the "
        "head of the branch is built; if there is no such branch, the folder as it is, without a COMMIT_SHA",
    )
    add(
        "--no-source",
        dest="source",
        action="store_false",
        help="send no files; the build starts with an empty folder",
    )
    add("--region", default="global", metavar="REGION", help="the region to build in (default: global)")
    add(
        "--service-account",
        metavar="NAME",
        help="the account to build as: projects/PROJECT/serviceAccounts/EMAIL",
    )
    add(
        "--state",
        type=Path,
        metavar="DIR",
        help="run a cloud of its own, and keep its state in this directory",
    )
    add(
        "--gcs-source-staging-dir",
        dest="staging",
        type=_staging,
        default=f"gs://{FIRST_BUCKET}/source",
        metavar="gs://BUCKET/DIR",
        help="where the files of a folder go; the build's account must be allowed to read it (default: %(default)s)",
    )
    add_runner(parser)
    add_prefix(parser)


def add_runner(parser: argparse.ArgumentParser) -> None:
    """Declare the flags for the runner: of one build, or of all builds of a cloud that is started."""
    add = parser.add_argument
    add(
        "--runner",
        choices=["process", "docker"],
        help="what runs the steps of builds (default: the cloud's own default, which is processes)",
    )
    add("--docker-network", metavar="NAME", help="the network of containers, for a cloud of its own")
    add(
        "--docker-socket",
        action="store_true",
        help="give containers the engine's socket, as Google does, for steps that build images; for a cloud of its own. "
        "Whoever has the socket has this machine: only for builds that you trust",
    )


def add_prefix(parser: argparse.ArgumentParser) -> None:
    """Declare the flag for prefixes of a cloud that is started."""
    parser.add_argument(
        "--prefix",
        action="append",
        default=[],
        type=_prefix,
        metavar="NAME",
        help="give the accounts their rights below this prefix of the buckets too, as setup/repo.sh does; may be given "
        "again",
    )


def runner(parsed: argparse.Namespace) -> dict[str, Any]:
    """The flags' meaning for a cloud that is started, also for builds of its builds and functions, and for digests."""
    return {
        "runner": parsed.runner or "process",
        "docker_network": parsed.docker_network or "host",
        "docker_socket": parsed.docker_socket,
    }


def _prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text):
        message = f"{text!r} is no folder of a bucket, such as my-repo"
        raise argparse.ArgumentTypeError(message)
    if text.partition("/")[0] in _SOURCES:
        message = f"{text} is for the sources of builds"
        raise argparse.ArgumentTypeError(message)
    return text


def _staging(text: str) -> str:
    bucket, _, folder = text.removeprefix("gs://").strip("/").partition("/")
    if not text.startswith("gs://") or not bucket or not folder:
        raise argparse.ArgumentTypeError(f"{text} is not gs://BUCKET/DIR")
    return f"gs://{bucket}/{folder}"


def substitutions(text: str) -> dict[str, str]:
    """Return the pairs of `K=V,K=V`, with gcloud's `^DELIMITER^` before them where values have commas."""
    delimiter = ","
    if delimited := _DELIMITED.fullmatch(text):
        delimiter, text = delimited["delimiter"], delimited["rest"]
    result: dict[str, str] = {}
    for item in text.split(delimiter) if text else ():
        pair = _PAIR.fullmatch(item)
        if not pair:
            message = f"{item!r} is not KEY=VALUE; for a value with a comma, begin with another delimiter: ^;^_A=1,2;_B=3"
            raise argparse.ArgumentTypeError(message)
        if pair["key"] in result:
            raise argparse.ArgumentTypeError(f"{pair['key']} is given twice")
        result[pair["key"]] = pair["value"]
    return result


def options(parsed: argparse.Namespace) -> Options:
    """Return the options; exit the program if they conflict."""
    folder, commit, branch = parsed.dir, parsed.commit, parsed.branch
    if folder is None and commit and Path(commit).is_dir():
        folder, commit = Path(commit), "HEAD"
    elif folder is None and branch and Path(branch).is_dir():
        folder, branch = Path(branch), _HERE
    folder = Path() if folder is None else folder
    if not folder.is_dir():
        parsed.parser.error(f"{folder} is no folder")
    if not parsed.source and (commit is not None or branch is not None):
        parsed.parser.error("--no-source does not go with --commit or --branch, which say what the source is")
    given = vars(parsed) | {"folder": folder, "commit": commit, "branch": branch}
    return Options(**{field.name: given[field.name] for field in fields(Options)})
