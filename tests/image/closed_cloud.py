"""localcloud in the network of a container that has none: `lo`, and nothing else.

It runs on this machine, from this checkout, and enters that network; the containers under test join it.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from tests.image.engine import Engine
from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "local-project"
REGION = "us-central1"
BUCKET = f"{PROJECT}-notebooks"
# What a build's step gets of the variables that `serve` prints: what leads Google's clients there, and the blanks.
NOT_FOR_STEPS = (
    *("LOCALCLOUD_URL", "LOCALCLOUD_OWNER_TOKEN", "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"),
    *("PROJECT_ID", "GOOGLE_CLOUD_PROJECT", "PATH"),
)
# What leads a command of localcloud to a cloud that runs.
CLOUD = ("LOCALCLOUD_URL", "LOCALCLOUD_OWNER_TOKEN")
_METADATA = ("GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT")
# localcloud's metadata server answers only processes of its own user. Google's answers each user of a build's worker.
_RELAY = """
import asyncio, sys
async def copy(source, target, own=b"", other=b""):
    try:
        while data := await source.read(65536):
            target.write(data.replace(own, other) if own else data)
            await target.drain()
    finally:
        target.close()
async def relay(reader, writer):
    other_reader, other_writer = await asyncio.open_connection(*sys.argv[1].rsplit(":", 1))
    own = b"%s:%d" % (b"127.0.0.1", writer.get_extra_info("sockname")[1])  # of the Host header
    asked = copy(reader, other_writer, own, sys.argv[1].encode())
    await asyncio.gather(asked, copy(other_reader, writer), return_exceptions=True)
async def main():
    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
_ASK = """
import sys, urllib.request
request = urllib.request.Request(sys.argv[1], data=sys.argv[2].encode() or None)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
sys.stdout.write(opener.open(request, timeout=60).read().decode())
"""
_RUN_JOB = """
import sys
from google.oauth2.credentials import Credentials
from google.cloud.scheduler_v1 import CloudSchedulerClient
where = {"api_endpoint": sys.argv[1]}
client = CloudSchedulerClient(credentials=Credentials(token=sys.argv[3]), transport="rest", client_options=where)
client.run_job(name=sys.argv[2], timeout=60)
"""


class ClosedCloud:
    """A local cloud, and the container whose network it is in."""

    def __init__(self, engine: Engine, image: str, folder: Path) -> None:
        self.state = folder / "state"
        self._engine = engine
        self._log = folder / "serve.err"
        self._pause = engine.call(
            *("run", "--detach", "--label", engine.label, "--network", "none"),
            *("--entrypoint", "sleep", image, "infinity"),
        )
        self.network = f"container:{self._pause}"
        pid = engine.call("inspect", "--format", "{{.State.Pid}}", self._pause)
        self.inside = ("nsenter", f"--net=/proc/{pid}/ns/net")
        """The prefix of a command that runs it in that network."""
        self._server: subprocess.Popen[str] | None = None
        self._relay: subprocess.Popen[str] | None = None
        self._variables: dict[str, str] = {}
        self._relayed = ""

    def start(self) -> None:
        """Start localcloud, and read the variables that it prints when it is ready."""
        with self._log.open("w") as log:
            where = ("--state", str(self.state), "--runner", "docker", "--docker-network", self.network)
            prefixes = (f"--prefix={name}" for name in ("bench", "bike-share", "image"))
            self._server = self._run_inside("serve", *where, *prefixes, stderr=log)
        assert self._server.stdout is not None
        for line in self._server.stdout:
            name, _, value = line.removeprefix("export ").partition("=")
            self._variables[name] = "".join(shlex.split(value))
            if name == "all_proxy":  # the last one
                return
        raise AssertionError(f"localcloud does not start: {self._log.read_text()}")

    def step_variables(self) -> dict[str, str]:
        """Return what localcloud's Cloud Build gives to a step of the account notebook-builder@."""
        return {name: value for name, value in self._variables.items() if name not in NOT_FOR_STEPS}

    def variables_of_other_users(self) -> dict[str, str]:
        """Return the variables with which a container of another user finds its account."""
        if self._relay is None:
            address = self._variables["GCE_METADATA_HOST"]
            self._relay = subprocess.Popen(
                [*self.inside, sys.executable, "-I", "-c", _RELAY, address], stdout=subprocess.PIPE, text=True
            )
            assert self._relay.stdout is not None
            self._relayed = f"127.0.0.1:{self._relay.stdout.readline().strip()}"
        return dict.fromkeys(_METADATA, self._relayed)

    @property
    def url(self) -> str:
        """The cloud's URL in its network."""
        return self._variables["LOCALCLOUD_URL"]

    def submit(self, folder: Path) -> tuple[int, str]:
        """Build a folder as its cloudbuild.yaml says, in containers; return the exit code and the log."""
        submitted = self._run_inside("submit", "--region", REGION, str(folder), stderr=subprocess.STDOUT)
        output, _ = submitted.communicate(timeout=PATIENCE)
        return submitted.returncode, output

    def run_job(self, name: str) -> None:
        """Run a Cloud Scheduler job now, as `gcloud scheduler jobs run` does."""
        job = f"projects/{PROJECT}/locations/{REGION}/jobs/{name}"
        self._python(_RUN_JOB, self.url, job, self._variables["LOCALCLOUD_OWNER_TOKEN"])

    def inventory(self) -> dict[str, Any]:
        """Return the cloud's inventory."""
        found: dict[str, Any] = self._ask("/_localcloud/inventory")
        return found

    def vms(self) -> list[str]:
        """Names of the VMs that exist."""
        return [item["name"] for item in self.inventory()["compute.instances"]]

    def advance(self, seconds: float) -> None:
        """Move the cloud's clock on."""
        self._ask("/_localcloud/clock", {"advance": seconds})

    def objects(self, prefix: str) -> list[str]:
        """Names of the objects below a prefix of the bucket."""
        names: Sequence[str] = [
            item["name"] for item in self.inventory()["storage.objects"] if item["bucket"] == BUCKET
        ]
        return sorted(name for name in names if name.startswith(prefix))

    def folder(self, prefix: str) -> Path:
        """The bucket's objects below a prefix, as files."""
        return self.state / "storage" / BUCKET / prefix

    def day(self) -> str:
        """The day that it is by the cloud's clock, in UTC."""
        return datetime.fromtimestamp(self._ask("/_localcloud/health")["now"], UTC).date().isoformat()

    def until_built(self, tag: str) -> tuple[dict[str, Any], str]:
        """Wait for the end of the one build that has a tag; return it and its log."""

        def ended() -> str | None:
            found = [build for build in self.inventory()["builds"] if tag in build.get("tags", ())]
            assert len(found) <= 1, found
            return found[0]["id"] if found and "finishTime" in found[0] else None

        folder = self.state / "builds" / until(ended, f"the end of the build with the tag {tag}", PATIENCE)
        return json.loads((folder / "build.json").read_text()), (folder / "log.txt").read_text()

    def until_heartbeat(self, run: str) -> None:
        """Wait for the first sign of life of a run's VM."""
        pattern = f"*/staging/{run}/*/*/heartbeat.json"
        until(lambda: list(self.folder("").glob(pattern)), "a heartbeat", PATIENCE)

    def until_no_vms(self) -> None:
        """Wait for the end of deletes that were accepted."""
        until(lambda: not self.vms(), "the end of all VMs", PATIENCE)

    def close(self) -> None:
        """End localcloud and the container."""
        if self._server is not None:
            self._server.terminate()
            self._server.communicate(timeout=PATIENCE)
        if self._relay is not None:
            self._relay.terminate()
            self._relay.communicate(timeout=PATIENCE)
        self._engine.call("rm", "--force", self._pause)

    def _ask(self, route: str, body: Any = None) -> Any:
        return json.loads(self._python(_ASK, self.url + route, "" if body is None else json.dumps(body)))

    def _python(self, code: str, *arguments: str) -> bytes:
        """Run code of this checkout's Python in the closed network; return what it printed."""
        command = [*self.inside, sys.executable, "-I", "-c", code, *arguments]
        done = subprocess.run(command, env=_environment(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def _run_inside(self, *arguments: str, stderr: IO[str] | int) -> subprocess.Popen[str]:
        """Start a command of localcloud in the closed network; once the cloud is there, it works on that."""
        return subprocess.Popen(
            [*self.inside, sys.executable, "-m", "localcloud", *arguments],
            cwd=ROOT,
            env={**_environment(), **{name: self._variables[name] for name in CLOUD if self._variables}},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )


def until(condition: Callable[[], Any], what: str, seconds: float) -> Any:
    """Wait until the condition holds, and return what it returned."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.1)
    return found


def _environment() -> dict[str, str]:
    """This process's environment, without what would lead elsewhere."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("NB_", "CLOUDSDK"))}
    own.pop("LOCALCLOUD_URL", None)
    return {**own, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
