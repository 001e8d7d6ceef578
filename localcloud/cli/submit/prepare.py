"""Makes the checked build and the folder of its source from the options. Sends nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localcloud.cli.submit.checking import faults, merged
from localcloud.cli.submit.git import GitError, Repository, substitutions
from localcloud.cli.submit.options import Options
from localcloud.cli.submit.reading import BuildFile, UnreadableError, read
from localcloud.services.cloudbuild.problem import Json

_FILE = "cloudbuild.yaml"


class BadInputError(Exception):
    """The input cannot be submitted; str() says why, `faults` has the faults of the build file, a line each."""

    def __init__(self, text: str, faults: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.faults = faults


@dataclass(frozen=True)
class Submission:
    """A build that may be sent, with the folder that becomes its source.

    `committed` is true for the files of a commit: no ignore file counts, and Cloud Build has them from the repository.
    """

    build: Json
    source: Path | None
    shown_source: str
    committed: bool


def prepare(options: Options, scratch: Path) -> Submission:
    """Read and check the input; `scratch` is a folder for a commit's files. Raises `BadInputError`."""
    try:
        if options.commit is None and options.branch is None:
            return _folder(options)
        return _commit(options, scratch)
    except GitError as error:
        raise BadInputError(str(error)) from error


def _folder(options: Options) -> Submission:
    path = options.config or options.folder / _FILE
    build = _build(options, str(path), _bytes(path), options.substitutions, triggered=False)
    source = options.folder if options.source else None
    return Submission(build, source, str(options.folder), committed=False)


def _commit(options: Options, scratch: Path) -> Submission:
    """Take the input from git; only the branch's name if the branch does not exist."""
    repository = Repository(options.folder)
    commit = repository.commit(options.commit, options.branch)
    config = _in_repository(repository, options)
    given = substitutions(repository, commit, options.branch or None, config) | options.substitutions
    if commit is None:
        path = repository.root / config
        build = _build(options, str(path), _bytes(path), given, triggered=True)
        return Submission(build, options.folder, str(options.folder), committed=False)
    data = repository.file(commit, config)
    short = commit.sha[:12]
    if data is None:
        raise BadInputError(
            f"commit {short} has no build file {config}; commit it, or name another with --config"
        )
    build = _build(options, f"{short}:{config}", data, given, triggered=True)
    scratch.mkdir()
    repository.unpack(commit, scratch)
    return Submission(build, scratch, f"{short}:{repository.prefix or '.'}", committed=True)


def _in_repository(repository: Repository, options: Options) -> str:
    path = (options.config or options.folder / _FILE).resolve()
    if not path.is_relative_to(repository.root.resolve()):
        raise BadInputError(
            f"{path} is not in the repository {repository.root}, as --commit and --branch need it"
        )
    return path.relative_to(repository.root.resolve()).as_posix()


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise BadInputError(
            f"there is no build file {path}; write one, or name it with --config FILE"
        ) from error
    except OSError as error:
        raise BadInputError(f"the build file {path} cannot be read: {error.strerror}") from error


def _build(options: Options, name: str, data: bytes, given: dict[str, str], *, triggered: bool) -> Json:
    try:
        file = read(name, data)
    except UnreadableError as error:
        raise BadInputError(
            f"{name} cannot be read; nothing was sent", [f"{name}:{error.line}: {error}"]
        ) from error
    if options.service_account:
        file = BuildFile(name, {**file.build, "serviceAccount": options.service_account}, file.lines)
    own_account = bool(options.service_account)
    if found := faults(file, given, triggered=triggered, own_account=own_account):
        count = f"{len(found)} fault{'s' if len(found) > 1 else ''}; nothing was sent"
        raise BadInputError(f"{name} has {count}", [str(fault) for fault in found])
    return merged(file.build, given, triggered=triggered)
