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
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from tests.image.engine import Engine

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "local-project-notebooks"
# What a build's step gets of the variables that `serve` prints: what leads Google's clients there, and the blanks.
NOT_FOR_STEPS = ("LOCALCLOUD_URL", "PROJECT_ID", "GOOGLE_CLOUD_PROJECT", "PATH")
_ASK = """
import sys, urllib.request
request = urllib.request.Request(sys.argv[1], data=sys.argv[2].encode() or None)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
sys.stdout.write(opener.open(request, timeout=60).read().decode())
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
        """What to put before a command that shall run in that network."""
        self._server: subprocess.Popen[str] | None = None
        self._variables: dict[str, str] = {}

    def start(self) -> None:
        """Start localcloud, and read the variables that it prints when it is ready."""
        with self._log.open("w") as log:
            self._server = self.run_inside("serve", "--state", str(self.state), stderr=log)
        assert self._server.stdout is not None
        for line in self._server.stdout:
            name, _, value = line.removeprefix("export ").partition("=")
            self._variables[name] = "".join(shlex.split(value))
            if name == "all_proxy":  # the last one
                return
        raise AssertionError(f"localcloud does not start: {self._log.read_text()}")

    def run_inside(self, *arguments: str, stderr: IO[str] | int) -> subprocess.Popen[str]:
        """Start a command of localcloud in the closed network."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("NB_", "CLOUDSDK"))}
        own.pop("LOCALCLOUD_URL", None)
        return subprocess.Popen(
            [*self.inside, sys.executable, "-m", "localcloud", *arguments],
            cwd=ROOT,
            env=own,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    def step_variables(self) -> dict[str, str]:
        """Return what localcloud's Cloud Build gives to a step of the account builder@."""
        return {name: value for name, value in self._variables.items() if name not in NOT_FOR_STEPS}

    @property
    def url(self) -> str:
        """Where the cloud answers, in its network."""
        return self._variables["LOCALCLOUD_URL"]

    def inventory(self) -> dict[str, Any]:
        """What there is in the cloud."""
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

    def until_heartbeat(self, run: str) -> None:
        """Wait for the first sign of life of a run's VM."""
        deadline = time.monotonic() + 60
        while not list((self.state / "storage" / BUCKET).glob(f"*/staging/{run}/*/*/heartbeat.json")):
            assert time.monotonic() < deadline, "no heartbeat within a minute"
            time.sleep(0.1)

    def until_no_vms(self) -> None:
        """Wait for the end of deletes that were accepted."""
        deadline = time.monotonic() + 20
        while left := self.vms():
            assert time.monotonic() < deadline, f"still there: {left}"
            time.sleep(0.1)

    def close(self) -> None:
        """End localcloud and the container."""
        if self._server is not None:
            self._server.terminate()
            self._server.communicate(timeout=60)
        self._engine.call("rm", "--force", self._pause)

    def _ask(self, route: str, body: Any = None) -> Any:
        text = "" if body is None else json.dumps(body)
        command = [*self.inside, sys.executable, "-I", "-S", "-c", _ASK]
        url = self._variables["LOCALCLOUD_URL"] + route
        return json.loads(subprocess.run([*command, url, text], capture_output=True, check=True).stdout)
