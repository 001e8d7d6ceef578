"""`python -m localcloud demo`: the story of a notebook in CI, told on this machine: a green commit, a broken one, the results.

Everything is done as a user would do it: a git repo, the builder's own entrypoint, NB_* variables; only the cloud is local.
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
_LOCATION = f"gs://{_BUCKET}/bike-share"
_GREEN, _NOTEBOOK_FAILED = 0, 1
_TYPO = ("start_station", "start_staton")


def main(folder: Path | None = None) -> int:
    """Tell the story; 0 if the first commit was green and the broken one red, as they should be."""
    folder = folder or _ROOT / "build" / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    repo, state = folder / "repo", folder / "cloud"
    shutil.copytree(_EXAMPLE, repo)
    started = time.monotonic()
    _say("A repo with a notebook, and a Google Cloud on this machine")
    _git(repo, "init", "--quiet", "--initial-branch=main")
    with Cloud(state) as cloud:
        _tell(f"localcloud answers at {cloud.url}; no Google account is involved.")
        environment = _environment(cloud)
        _say("Commit 1: the notebook works")
        _git(repo, "add", ".")
        _git(repo, "commit", "--quiet", "--message=Bike share dashboard")
        green = _run(repo, {**environment, "NB_RUN_ID": "commit-1"})
        _say("Commit 2: somebody breaks it")
        _break(repo / "demo.ipynb")
        _git(repo, "commit", "--quiet", "--all", "--message=Rename a column")
        red = _run(repo, {**environment, "NB_RUN_ID": "commit-2"})
        left = cloud.inventory()["compute.instances"]
    _say("Where the results are")
    _show_results(state)
    _tell(f"VMs left: {len(left)}. {time.monotonic() - started:.0f} s in all.")
    return _judge(green, red, len(left))


def _judge(green: int, red: int, left: int) -> int:
    if (green, red, left) == (_GREEN, _NOTEBOOK_FAILED, 0):
        return 0
    print(
        f"The story went wrong: exit codes {green} and {red} where 0 and 1 were due, {left} VMs left.",
        file=sys.stderr,
    )
    return 1


def _environment(cloud: Cloud) -> dict[str, str]:
    return {
        **os.environ,
        **cloud.environment(),
        "NB_GCS_LOCATION": _LOCATION,
        "NB_VM_SERVICE_ACCOUNT": "vm@local-project.iam.gserviceaccount.com",
    }


def _run(repo: Path, environment: Mapping[str, str]) -> int:
    entrypoint = _ROOT / "entrypoint.py"
    _tell(f"$ NB_GCS_LOCATION={_LOCATION} … python {entrypoint.name} run")
    command = [sys.executable, str(entrypoint), "run"]
    code = subprocess.run(command, cwd=repo, env=dict(environment), check=False).returncode
    _tell(f"exit code {code}: the build is {'green' if code == _GREEN else 'red'}")
    return code


def _break(notebook: Path) -> None:
    right, wrong = _TYPO
    text = notebook.read_text(encoding="utf-8")
    notebook.write_text(text.replace(f'row[\\"{right}\\"]', f'row[\\"{wrong}\\"]'), encoding="utf-8")
    _tell(f"the column is now spelt {wrong!r}")


def _git(repo: Path, *arguments: str) -> None:
    # The user's own configuration (hooks, signing) has no part in the story.
    identity = ["-c", "user.name=Demo", "-c", "user.email=demo@example.com"]
    isolated = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", *identity, *arguments], cwd=repo, env=isolated, check=True)


def _show_results(state: Path) -> None:
    results = state / "storage" / _BUCKET / "bike-share" / "results"
    for path in sorted(item for item in results.rglob("*") if item.is_file()):
        _tell(f"{path.relative_to(results)!s:44} {path.stat().st_size:>9,} bytes")
    page = results / "commit-1" / "demo" / "demo-clean.html"
    _tell(f"Below {_shown(results)}; the dashboard without code, for a browser:")
    _tell(f"  {_shown(page)}")


def _shown(path: Path) -> str:
    """The path as the user would type it."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _say(text: str) -> None:
    print(f"\n=== {text} ===", flush=True)


def _tell(text: str) -> None:
    print(text, flush=True)
