"""`python -m localcloud demo`: the story of a notebook in CI, told on this machine: a green commit, a broken one, the results.

Everything is done as a user would do it: a git repo with its cloudbuild.yaml, and a build of each commit; only the cloud is local.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from localcloud.cloud import Cloud

_ROOT = Path(__file__).resolve().parent.parent
_EXAMPLE = _ROOT / "examples" / "bike-share"
_BUCKET = "local-project-notebooks"
_TYPO = ("trip.subscriber_type", "trip.subscriber_typ")


def main(folder: Path | None = None) -> int:
    """Tell the story; 0 if the first commit's build was green and the broken one's red, as they should be."""
    folder = folder or _ROOT / "build" / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    repo, state = folder / "repo", folder / "cloud"
    shutil.copytree(_EXAMPLE, repo)
    started = time.monotonic()
    _say("A repo with a notebook and a cloudbuild.yaml, and a Google Cloud on this machine")
    _git(repo, "init", "--quiet", "--initial-branch=main")
    with Cloud(state) as cloud:
        _tell(f"localcloud answers at {cloud.url}; no Google account is involved.")
        environment = {**os.environ, **cloud.environment()}
        _say("Commit 1: the notebook works")
        _git(repo, "add", ".")
        _git(repo, "commit", "--quiet", "--message=Bike share dashboard")
        green = _submit(repo, environment)
        _say("Commit 2: somebody breaks it")
        _break(repo / "demo.ipynb")
        _git(repo, "commit", "--quiet", "--all", "--message=Rename a column")
        red = _submit(repo, environment)
        inventory = cloud.inventory()
    _say("Where the results are")
    _show_results(state)
    left = len(inventory["compute.instances"])
    _tell(f"VMs left: {left}. {time.monotonic() - started:.0f} s in all.")
    return _judge(green, red, left)


def _judge(green: int, red: int, left: int) -> int:
    if (green, red, left) == (0, 1, 0):
        return 0
    print(
        f"The story went wrong: exit codes {green} and {red} where 0 and 1 were due, {left} VMs left.",
        file=sys.stderr,
    )
    return 1


def _submit(repo: Path, environment: Mapping[str, str]) -> int:
    """Build the commit as a trigger would, with the log on the terminal; 0 if the build succeeded."""
    arguments = ["submit", "--commit", "--branch", "main", "--region", "us-central1"]
    _tell(f"$ python -m localcloud {' '.join(arguments)} {_shown(repo)}\n")
    command = [sys.executable, "-m", "localcloud", *arguments, str(repo)]
    code = subprocess.run(command, env=dict(environment), check=False).returncode
    _tell(f"\nexit code {code}: the build is {'red' if code else 'green'}")
    return code


def _break(notebook: Path) -> None:
    right, wrong = _TYPO
    text = notebook.read_text(encoding="utf-8")
    notebook.write_text(text.replace(right, wrong), encoding="utf-8")
    _tell(f"the query now asks for {wrong}")


def _git(repo: Path, *arguments: str) -> None:
    # The user's own configuration (hooks, signing) has no part in the story.
    identity = ["-c", "user.name=Demo", "-c", "user.email=demo@example.com"]
    isolated = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", *identity, *arguments], cwd=repo, env=isolated, check=True)


def _show_results(state: Path) -> None:
    results = state / "storage" / _BUCKET / "bike-share" / "results"
    runs = sorted(results.iterdir(), key=lambda run: (run / "summary.json").stat().st_mtime)
    for run in runs:
        for path in sorted(item for item in run.rglob("*") if item.is_file()):
            _tell(f"{path.relative_to(results)!s:76} {path.stat().st_size:>9,} bytes")
    page = runs[0] / "demo" / "demo-clean.html"
    _tell(f"Below {_shown(results)}; the dashboard without code, for a browser:")
    _tell(f"  {_shown(page)}")


def _shown(path: Path) -> str:
    """The path as the user would type it."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _say(text: str) -> None:
    print(f"\n=== {text} ===", flush=True)


def _tell(text: str) -> None:
    print(text, flush=True)
