"""`python -m localcloud demo`: the story of a notebook in CI and CD, told on this machine.

A green commit goes live, a broken one does not, its fix does; then the schedule runs what is live, and so does a message for another day.
Everything is done as a user would do it: a git repo with its cloudbuild.yaml, a build of each commit, Google's own clients; only the
cloud is local.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localcloud.cloud import Cloud
from localcloud.iam import PROJECT

_ROOT = Path(__file__).resolve().parent.parent
_EXAMPLE = _ROOT / "examples" / "bike-share"
_BUCKET = "local-project-notebooks"
_REGION = "us-central1"
_NAME = "bike-share"  # of function, topic and schedule, as the example's notebooks.yaml has it
_TYPO = ("trip.subscriber_type", "trip.subscriber_typ")
_OTHER_DAY = "2018-04-01"
_SECONDS = 120.0  # in which a scheduled build must have begun, and have ended


def main(folder: Path | None = None) -> int:
    """Tell the story; 0 if every part of it ended as it should."""
    folder = folder or _ROOT / "build" / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(_EXAMPLE, folder / "repo")
    started = time.monotonic()
    _say("A repo with a notebook and a cloudbuild.yaml, and a Google Cloud on this machine")
    _git(folder / "repo", "init", "--quiet", "--initial-branch=main")
    with Cloud(folder / "cloud") as cloud:
        _tell(f"localcloud answers at {cloud.url}; no Google account is involved.")
        story = _Story(cloud, folder / "repo", {**os.environ, **cloud.environment("deployer")})
        story.tell()
        story.expect("VMs left", len(cloud.inventory()["compute.instances"]), 0)
    _say("What is in the bucket")
    _show_bucket(folder / "cloud" / "storage" / _BUCKET / "bike-share")
    _tell(f"\n{time.monotonic() - started:.0f} s in all.")
    for surprise in story.surprises:
        print(f"The story went wrong: {surprise}", file=sys.stderr)
    return 1 if story.surprises else 0


@dataclass
class _Story:
    """The story's course; what went otherwise than it should is in `surprises`."""

    cloud: Cloud
    repo: Path
    environment: Mapping[str, str]
    surprises: list[str] = field(default_factory=list)

    def tell(self) -> None:
        """All of it, in order."""
        _say("Commit 1: the notebook works, and goes live")
        _git(self.repo, "add", ".")
        self._commit("Bike share dashboard")
        self.expect("exit code of the first build", self._submit(), 0)
        first = self._live()
        _say("Commit 2: somebody breaks it")
        self._replace(*_TYPO)
        self._commit("Rename a column")
        self.expect("exit code of the broken build", self._submit(), 1)
        self.expect("what is live after it", self._live(), first)
        _tell("what is live is untouched")
        _say("Commit 3: the fix goes live")
        self._replace(_TYPO[1], _TYPO[0])
        self._replace("# Bike share in San Francisco", "# Bike share in San Francisco, day by day")
        self._commit("Ask for the right column; a new title")
        self.expect("exit code of the fix's build", self._submit(), 0)
        second = self._live()
        self.expect("another archive is live", second != first, wanted=True)
        _say("Monday morning comes early: the schedule's job is run now")
        _tell(f"$ gcloud scheduler jobs run {_NAME} --location={_REGION}\n")
        self._scheduled(self._run_job, time.strftime("%Y-%m-%d", time.gmtime(self.cloud.clock.now())))
        _say("A message by hand asks for another day")
        message = f'{{"today": "{_OTHER_DAY}"}}'
        _tell(f"$ gcloud pubsub topics publish {_NAME} --message='{message}'\n")
        self._scheduled(lambda: self._publish(message), _OTHER_DAY)
        _say("The same commit again: nothing is deployed twice")
        self.expect("exit code of the second build", self._submit(), 0)
        self.expect("what is live after it", self._live(), second)

    def expect(self, what: str, found: object, wanted: object) -> None:
        """Note what is not as it should be."""
        if found != wanted:
            self.surprises.append(f"{what}: {found}, where {wanted} was due")

    def _submit(self) -> int:
        """Build the commit as a trigger would, with the log on the terminal; 0 if the build succeeded."""
        arguments = ["submit", "--commit", "--branch", "main", "--region", _REGION]
        _tell(f"$ python -m localcloud {' '.join(arguments)} {_shown(self.repo)}\n")
        command = [sys.executable, "-m", "localcloud", *arguments, str(self.repo)]
        code = subprocess.run(command, env=dict(self.environment), check=False).returncode
        _tell(f"\nexit code {code}: the build is {'red' if code else 'green'}")
        return code

    def _scheduled(self, ask: Callable[[], object], day: str) -> None:
        """Ask for a run, show the build that comes of it, and look for what it should have made."""
        known = {build["id"] for build in self._scheduled_builds()}
        ask()
        new = _within(lambda: next((b for b in self._scheduled_builds() if b["id"] not in known), None))
        if new is None:
            self.surprises.append(f"no build came of the event for {day}")
            return
        self._show_log(new["id"])
        ended = _within(
            lambda: next(
                (b for b in self._scheduled_builds() if b["id"] == new["id"] and "finishTime" in b), None
            )
        )
        self.expect(f"the build for {day}", ended and ended["status"], "SUCCESS")
        page = self._bucket / "versions" / day / "demo" / "demo.html"
        self.expect(f"versions/{day}/demo/demo.html is there", page.is_file(), wanted=True)
        _tell(f"\nversions/{day}/demo/demo.html is there")

    def _scheduled_builds(self) -> Iterator[dict[str, Any]]:
        return (b for b in self.cloud.inventory()["builds"] if f"nb-live-{_NAME}" in b.get("tags", ()))

    def _show_log(self, build: str) -> None:
        from localcloud.submit.api import LocalCloud
        from localcloud.submit.follow import follow

        follow(LocalCloud(self.cloud.url, _REGION, None), build, _Patience())

    def _run_job(self) -> None:
        from google.cloud.scheduler_v1 import CloudSchedulerClient

        self._client(CloudSchedulerClient).run_job(
            name=f"projects/{PROJECT}/locations/{_REGION}/jobs/{_NAME}"
        )

    def _publish(self, message: str) -> None:
        from google.pubsub_v1 import PublisherClient

        topic = f"projects/{PROJECT}/topics/{_NAME}"
        self._client(PublisherClient).publish(topic=topic, messages=[{"data": message.encode()}])

    def _client(self, kind: Callable[..., Any]) -> Any:
        from google.auth.credentials import AnonymousCredentials

        return kind(
            credentials=AnonymousCredentials(),
            transport="rest",
            client_options={"api_endpoint": self.cloud.url},
        )

    @property
    def _bucket(self) -> Path:
        return self.cloud.state / "storage" / _BUCKET / "bike-share"

    def _live(self) -> bytes:
        """live.json, or nothing."""
        file = self._bucket / "live" / _NAME / "live.json"
        return file.read_bytes() if file.is_file() else b""

    def _replace(self, old: str, new: str) -> None:
        notebook = self.repo / "demo.ipynb"
        text = notebook.read_text(encoding="utf-8")
        self.expect(f"{old!r} stands in the notebook", old in text, wanted=True)
        notebook.write_text(text.replace(old, new), encoding="utf-8")
        _tell(f"the notebook says {new!r} instead of {old!r}")

    def _commit(self, message: str) -> None:
        _git(self.repo, "commit", "--quiet", "--all", f"--message={message}")


class _Patience:
    """Waits for the end, whatever comes: Ctrl-C ends the demo as it ends any program."""

    def wait(self, seconds: float) -> bool:
        time.sleep(seconds)
        return False


def _within(look: Callable[[], Any]) -> Any:
    """What `look` finds as soon as it finds something; None if that takes too long."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    return None


def _git(repo: Path, *arguments: str) -> None:
    # The user's own configuration (hooks, signing) has no part in the story.
    identity = ["-c", "user.name=Demo", "-c", "user.email=demo@example.com"]
    isolated = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", *identity, *arguments], cwd=repo, env=isolated, check=True)


def _show_bucket(bucket: Path) -> None:
    """The bucket's tree but for what travelled to VMs and back, and how to look at the dashboard."""
    for path in sorted(item for item in bucket.rglob("*") if item.is_file()):
        name = path.relative_to(bucket)
        if name.parts[0] not in {"staging", "kits"}:
            _tell(f"{name!s:84} {path.stat().st_size:>9,} bytes")
    _tell(f"\nBelow {_shown(bucket)}. The dashboard of {_OTHER_DAY}, without code, for a browser:")
    _tell(f"  xdg-open {_shown(bucket / 'versions' / _OTHER_DAY / 'demo' / 'demo-clean.html')}")
    _tell("To go on with this cloud, see localcloud/README.md; for a repo of your own, docs/setup.md.")


def _shown(path: Path) -> str:
    """The path as the user would type it."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _say(text: str) -> None:
    print(f"\n=== {text} ===", flush=True)


def _tell(text: str) -> None:
    print(text, flush=True)
