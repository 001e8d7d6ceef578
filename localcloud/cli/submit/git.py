"""A folder's git facts: a commit's files as they were committed, and the values that a trigger would give a build.

Only git's plumbing that reads objects and names is called: no hooks, filters or other commands of a configuration run.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

_GIT = ("git", "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}")
_SHORT = 7
_LINK, _EXECUTABLE, _SUBMODULE = "120000", "100755", "160000"


class GitError(Exception):
    """Git cannot answer; str() says what and why."""


@dataclass(frozen=True)
class Commit:
    """A commit, and the branch or tag that it is built for, if any."""

    sha: str
    branch: str | None
    tag: str | None


class Repository:
    """The git repository that a folder is in; raises `GitError` when there is none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        lines = self._git("rev-parse", "--show-toplevel", "--show-prefix").split("\n")
        self.root = Path(lines[0])
        self.prefix = lines[1]
        """The folder's path in the repository, ending with "/"; empty at its root."""

    def commit(self, revision: str | None, branch: str | None) -> Commit | None:
        """Return the commit to build; None if the named branch does not exist.

        `revision` None: the head of the branch. `branch` None: the checked-out one, if the commit is its head; ""
        counts as the checked-out one, for any commit. A revision that names a branch or tag is built for that.
        """
        current = self._ask("symbolic-ref", "--quiet", "--short", "HEAD")
        if branch == "":
            branch = current
            if branch is None:
                raise GitError(f"no branch is checked out in {self.root}; name one: --branch NAME")
        if revision is None:
            sha = self._sha(f"refs/heads/{branch}") or self._sha(f"refs/remotes/origin/{branch}")
            return Commit(sha, branch, None) if sha else None
        sha = self._sha(revision)
        if sha is None:
            raise GitError(f"{revision!r} is no commit of {self.root}; name a commit, branch or tag of it")
        if branch is not None:
            return Commit(sha, branch, None)
        if self._sha(f"refs/heads/{revision}"):
            return Commit(sha, revision, None)
        if self._sha(f"refs/tags/{revision}"):
            return Commit(sha, None, revision)
        return Commit(sha, current if sha == self._sha("HEAD") else None, None)

    def _sha(self, name: str) -> str | None:
        return self._ask("rev-parse", "--quiet", "--verify", "--end-of-options", f"{name}^{{commit}}")

    def repository_names(self) -> tuple[str, str]:
        """Return the repository's short and full name, from where it was cloned from, else from its folder."""
        address = self._ask("config", "--get", "remote.origin.url") or str(self.root)
        parts = PurePosixPath(address.replace(":", "/").removesuffix("/").removesuffix(".git")).parts
        name = parts[-1] if parts else ""
        hosted = "://" in address or ("@" in address and ":" in address)
        return name, "/".join(parts[-2:]) if hosted else name

    def file(self, commit: Commit, path: str) -> bytes | None:
        """Return a file of the commit, by its path from the repository's root; None if it is missing."""
        if self._ask("cat-file", "-t", f"{commit.sha}:{path}") != "blob":
            return None
        return self._run("cat-file", "blob", f"{commit.sha}:{path}").stdout

    def unpack(self, commit: Commit, target: Path) -> None:
        """Write the files that the folder has in the commit into `target`, byte by byte as they were committed."""
        tree = f"{commit.sha}:{self.prefix.removesuffix('/')}"
        if self._ask("cat-file", "-t", tree) != "tree":
            raise GitError(f"commit {commit.sha} has no folder {self.prefix.removesuffix('/')}")
        entries = list(self._entries(tree))
        contents = self._contents([object_id for mode, object_id, _ in entries if mode != _SUBMODULE])
        for mode, _, path in entries:
            place = target / path
            if ".." in place.parts:
                raise GitError(f"commit {commit.sha} has the path {path}, which leads out of its folder")
            place.parent.mkdir(parents=True, exist_ok=True)
            if mode == _SUBMODULE:
                place.mkdir()
            else:
                _write(place, mode, next(contents))

    def _entries(self, tree: str) -> Iterator[tuple[str, str, str]]:
        """Yield mode, object and path of each file, link and submodule."""
        for line in self._run("ls-tree", "-r", "-z", "--full-tree", tree).stdout.split(b"\0"):
            if line:
                about, _, path = line.partition(b"\t")
                mode, _, object_id = about.decode().split(" ")
                yield mode, object_id, os.fsdecode(path)

    def _contents(self, objects: Sequence[str]) -> Iterator[bytes]:
        """Yield the contents of objects, one at a time, from one process."""
        with subprocess.Popen(
            [*_GIT, *_trusted(), "cat-file", "--batch"],
            cwd=self._folder,
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdin is not None  # noqa: S101  it is a pipe, as asked for
            assert process.stdout is not None  # noqa: S101  so is this
            for object_id in objects:
                process.stdin.write(f"{object_id}\n".encode())
                process.stdin.flush()
                about = process.stdout.readline().split()
                if len(about) != len(("object", "kind", "size")):
                    raise GitError(f"git has no object {object_id}; is {self.root} a partial clone?")
                yield process.stdout.read(int(about[-1]))
                process.stdout.read(1)  # a newline ends it

    def _git(self, *arguments: str) -> str:
        return os.fsdecode(self._run(*arguments).stdout).removesuffix("\n")

    def _ask(self, *arguments: str) -> str | None:
        """Return a command's output; None if the command fails."""
        try:
            return self._git(*arguments) or None
        except GitError:
            return None

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                [*_GIT, *_trusted(), *arguments],
                cwd=self._folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=True,
            )
        except FileNotFoundError as error:
            raise GitError("git is not installed") from error
        except subprocess.CalledProcessError as error:
            said = os.fsdecode(error.stderr).strip() or f"git {arguments[0]} failed"
            raise GitError(f"{self._folder}: {said}") from error


def substitutions(
    repository: Repository, commit: Commit | None, branch: str | None, config: str
) -> dict[str, str]:
    """Return a trigger's substitutions: for the commit or, without one, for the branch alone.

    `config` is the build file's path in the repository.
    """
    name, full_name = repository.repository_names()
    result = {
        "REPO_NAME": name,
        "REPO_FULL_NAME": full_name,
        "TRIGGER_NAME": "localcloud-submit",
        "TRIGGER_BUILD_CONFIG_PATH": config,
    }
    if commit:
        branch = commit.branch
        result |= {"COMMIT_SHA": commit.sha, "REVISION_ID": commit.sha, "SHORT_SHA": commit.sha[:_SHORT]}
        if commit.tag:
            result |= {"TAG_NAME": commit.tag, "REF_NAME": commit.tag}
    if branch:
        result |= {"BRANCH_NAME": branch, "REF_NAME": branch}
    return result


def _write(place: Path, mode: str, content: bytes) -> None:
    if mode == _LINK:
        place.symlink_to(os.fsdecode(content))
        return
    place.write_bytes(content)
    if mode == _EXECUTABLE:
        place.chmod(place.stat().st_mode | 0o111)


@cache
def _trusted() -> tuple[str, ...]:
    """Return options for the repositories of other users that the user's own configuration trusts.

    `_environment` hides that configuration, and git refuses such a repository with the advice to name it there.
    """
    done = subprocess.run(
        ["git", "config", "--null", "--get-all", "safe.directory"], cwd="/", capture_output=True, check=False
    )
    folders = os.fsdecode(done.stdout).split("\0")[:-1]
    return tuple(option for folder in folders for option in ("-c", f"safe.directory={folder}"))


def _environment() -> dict[str, str]:
    """Return an environment in which git looks at nothing but the repository itself."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return own | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
