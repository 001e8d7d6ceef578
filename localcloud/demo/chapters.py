"""The demo's chapters: the actions and the expected results of each."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from localcloud.cloud import Cloud
from localcloud.core.iam import PROJECT
from localcloud.demo.terminal import Excerpt, Terminal, UnexpectedEnd, shown

_BUCKET = "local-project-notebooks"
_REGION = "us-central1"
_NAME = "bike-share"  # of function, topic and schedule, as the example's notebooks.yaml has it
_TYPO = ("trip.subscriber_type", "trip.subscriber_typ")
_TITLE = ("# Bike share in San Francisco", "# Bike share in San Francisco, day by day")
_OTHER_DAY = "2018-04-01"
_SECONDS = 120.0  # in which a scheduled build must have begun, and have ended


class Demo:
    """Titles and functions of the chapters, in order. A chapter with an unexpected end raises `UnexpectedEnd`."""

    def __init__(self, cloud: Cloud, repo: Path, terminal: Terminal) -> None:
        self._cloud = cloud
        self._repo = repo
        self._terminal = terminal
        self._environment = {**os.environ, **cloud.environment("notebook-deployer")}
        self._first = self._second = b""
        self._red_report: Path | None = None
        _git(repo, "init", "--quiet", "--initial-branch=main")
        _git(repo, "add", ".")
        self.chapters: list[tuple[str, Callable[[], None]]] = [
            ("A good commit: the notebook runs on a VM, and goes live", self._works),
            ("A broken commit: the build is red and says why", self._broken),
            ("The fix: it goes live in place of the first", self._fixed),
            ("The schedule: its job runs now instead of on Monday", self._schedule),
            ("A message by hand: it asks for another day", self._message),
            ("The same commit again: nothing runs or is deployed twice", self._again),
        ]

    def _works(self) -> None:
        self._commit("Bike share dashboard")
        self._build(green=True, cells=True)
        self._first = self._live()
        self._expect(bool(self._first), "something live", "nothing is")
        self._terminal.end(
            "The build is green, and its notebook is live: a function and a schedule run it from now on"
        )

    def _broken(self) -> None:
        self._replace(*_TYPO)
        self._commit("Rename a column")
        self._build(green=False, cells=True)
        self._expect(self._live() == self._first, "what is live to stay as it was", "it is another one")
        self._red_report = self._bucket / "results" / self._newest_summary()["run"] / "index.html"
        self._terminal.end("The build is red, and the live version stays")

    def _fixed(self) -> None:
        self._replace(_TYPO[1], _TYPO[0])
        self._replace(*_TITLE)
        self._commit("Ask for the right column; a new title")
        self._build(green=True)
        self._second = self._live()
        self._expect(self._second != self._first, "the fix to be live", "the first commit still is")
        self._terminal.end("The build is green, and the fixed notebook is live")

    def _schedule(self) -> None:
        self._command(f"gcloud scheduler jobs run {_NAME} --location={_REGION}")
        self._scheduled(self._run_job, time.strftime("%Y-%m-%d", time.gmtime(self._cloud.clock.now())))

    def _message(self) -> None:
        message = f'{{"today": "{_OTHER_DAY}"}}'
        self._command(f"gcloud pubsub topics publish {_NAME} --message='{message}'")
        self._scheduled(lambda: self._publish(message), _OTHER_DAY)

    def _again(self) -> None:
        self._build(green=True, reuse="30d")
        jobs = self._newest_summary()["jobs"]
        self._expect(all("reused" in job for job in jobs), "no notebook to run", "one did")
        self._expect(self._live() == self._second, "what is live to stay as it was", "it is another one")
        self._terminal.end("The build is green without a VM, and nothing had to be deployed")

    def nothing_is_left(self) -> None:
        """Raise `UnexpectedEnd` if a VM is left."""
        left = [vm["name"] for vm in self._cloud.inventory()["compute.instances"]]
        self._expect(not left, "no VM to be left", f"there is {', '.join(left)}")

    def show_bucket(self) -> None:
        """Print the number of files in each folder of the bucket, and the way to the dashboard."""
        self._terminal.say("\n=== What is in the bucket now ===")
        self._terminal.say(f"{shown(self._bucket)}/")
        files = [path for path in sorted(self._bucket.rglob("*")) if path.is_file()]
        names = [path.relative_to(self._bucket) for path in files]
        folders = Counter("/".join(n.parts[: 2 if n.parts[0] == "versions" else 1]) for n in names)
        for folder, count in folders.items():
            self._terminal.say(f"  {folder + '/':24}{count:>4} file{'s' * (count > 1)}")
        self._terminal.note(
            "".join(f"{n!s:84} {p.stat().st_size:>9,} bytes\n" for n, p in zip(names, files, strict=True))
        )
        dashboard = self._bucket / "versions" / _OTHER_DAY / "demo" / "demo-clean.html"
        self._terminal.say(f"The dashboard of {_OTHER_DAY}, for a browser:\n  {dashboard.resolve().as_uri()}")
        if self._red_report is not None:
            self._terminal.say(f"The report of the red build:\n  {self._red_report.resolve().as_uri()}")
        self._terminal.say("These files stay until the next demo.")
        self._terminal.say(
            "To go on with this cloud, see localcloud/README.md; for a repo of your own, docs/setup.md."
        )

    def _expect(self, fulfilled: bool, wanted: str, otherwise: str) -> None:  # noqa: FBT001  a condition
        if not fulfilled:
            raise UnexpectedEnd(f"expected {wanted}, but {otherwise}")

    def _command(self, text: str) -> None:
        self._terminal.say(f"$ {text}")

    def _build(self, *, green: bool, cells: bool = False, reuse: str = "") -> None:
        """Build the commit as a trigger would. `reuse`: the age up to which green results are reused."""
        arguments = ["submit", "--commit", "--branch", "main", "--region", _REGION]
        arguments += ["--substitutions", f"_REUSE={reuse}"] if reuse else []
        self._command(f"python -m localcloud {' '.join(arguments)} {shlex.quote(shown(self._repo))}")
        code = self._submit(
            [sys.executable, "-m", "localcloud", *arguments, str(self._repo)], Excerpt(cells=cells)
        )
        wanted = "green (exit code 0)" if green else "red (exit code 1)"
        self._expect(code == (0 if green else 1), f"the build to be {wanted}", f"its exit code is {code}")

    def _submit(self, command: list[str], excerpt: Excerpt) -> int:
        """Run it in its own process group. The demo alone gets Ctrl-C, and forwards it once, to cancel the build."""
        with subprocess.Popen(
            command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            process_group=0,
        ) as process:
            try:
                for line in process.stdout or ():
                    self._terminal.follow(line, excerpt)
            except KeyboardInterrupt:
                process.send_signal(signal.SIGINT)
                self._terminal.say("\nCancelling the build…")
                for line in process.stdout or ():
                    self._terminal.note(line)
                raise
            return process.wait()

    def _scheduled(self, ask: Callable[[], object], day: str) -> None:
        """Request a run, show its build, and check its results."""
        known = {build["id"] for build in self._scheduled_builds()}
        ask()
        new = _within(lambda: next((b["id"] for b in self._scheduled_builds() if b["id"] not in known), None))
        self._expect(new is not None, f"a build within {_SECONDS:.0f} s", "none came of the event")
        self._follow(new)
        ended = _within(
            lambda: next((b for b in self._scheduled_builds() if b["id"] == new and "finishTime" in b), {})
        )
        status = (ended or {}).get("status", "unknown")
        self._expect(status == "SUCCESS", "the build's status to be SUCCESS", f"it is {status}")
        page = f"versions/{day}/demo/demo.html"
        self._expect((self._bucket / page).is_file(), f"{page} in the bucket", "it is not there")
        self._terminal.end(f"{page} is in the bucket")

    def _scheduled_builds(self) -> Iterator[dict[str, Any]]:
        return (b for b in self._cloud.inventory()["builds"] if f"nb-live-{_NAME}" in b.get("tags", ()))

    def _follow(self, build: str) -> None:
        from localcloud.cli.submit.api import LocalCloud
        from localcloud.cli.submit.follow import follow

        excerpt = Excerpt(cells=False)
        follow(
            LocalCloud(self._cloud.url, self._cloud.iam.owner_token, _REGION, None),
            build,
            _NoLimit(),
            lambda data: self._terminal.follow(data.decode(errors="replace"), excerpt),
        )

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
        from google.oauth2.credentials import Credentials

        return kind(
            credentials=Credentials(token=self._cloud.iam.owner_token),
            transport="rest",
            client_options={"api_endpoint": self._cloud.url},
        )

    @property
    def _bucket(self) -> Path:
        return self._cloud.state / "storage" / _BUCKET / "notebooks"

    def _newest_summary(self) -> dict[str, Any]:
        """Return summary.json of the newest run."""
        written = self._bucket.glob("results/*/summary.json")
        summary: dict[str, Any] = json.loads(
            max(written, key=lambda path: path.stat().st_mtime_ns).read_text()
        )
        return summary

    def _live(self) -> bytes:
        """Return the content of live.json; empty if it does not exist."""
        file = self._bucket / "live" / _NAME / "live.json"
        return file.read_bytes() if file.is_file() else b""

    def _replace(self, old: str, new: str) -> None:
        notebook = self._repo / "demo.ipynb"
        text = notebook.read_text(encoding="utf-8")
        self._expect(old in text, f"{old!r} in the notebook", "it is not there")
        notebook.write_text(text.replace(old, new), encoding="utf-8")
        self._terminal.say(f"The notebook now says {new!r} instead of {old!r}.")

    def _commit(self, message: str) -> None:
        self._command(f"git commit --all --message='{message}'")
        _git(self._repo, "commit", "--quiet", "--all", f"--message={message}")


class _NoLimit:
    """Waits without a limit: Ctrl-C ends the demo like any program."""

    def wait(self, seconds: float) -> bool:
        time.sleep(seconds)
        return False


def _within(look: Callable[[], Any]) -> Any:
    """The first result of `look` that is neither None nor empty; None if that takes too long."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    return None


def _git(repo: Path, *arguments: str) -> None:
    # Without the user's configuration (hooks, signing).
    identity = ["-c", "user.name=Demo", "-c", "user.email=demo@example.com"]
    isolated = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=repo, env=isolated, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UnexpectedEnd(f"expected git {arguments[0]} to work, but it says: {done.stderr.strip()}")
