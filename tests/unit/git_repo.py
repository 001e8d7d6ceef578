"""Real git repositories for tests, untouched by the user's own git settings."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.com",
}


def git(folder: Path, *arguments: str) -> None:
    quiet = ("-c", "protocol.file.allow=always", "-c", "advice.detachedHead=false")
    subprocess.run(["git", *quiet, *arguments], cwd=folder, env=_ENVIRONMENT, check=True, capture_output=True)


def write(folder: Path, *paths: str, content: str = "x") -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)


def repository(folder: Path, *paths: str, options: tuple[str, ...] = ()) -> Path:
    """A repository that tracks these files."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", *options)
    write(folder, *paths)
    git(folder, "add", "--force", "--all")
    return folder
