"""The fixture of the function's tests: a local cloud, a live.json, and the real function under functions-framework."""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import itertools
import json
import os
import socket
import subprocess
import tarfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from google.cloud.storage import Client
from google.oauth2.credentials import Credentials

from builder.deploy.build import scheduled_build
from builder.deploy.function_source import function_source
from builder.deploy.live import (
    Accounts,
    ArchiveRef,
    BuilderRef,
    Live,
    LiveNotebook,
    Location,
    Schedule,
    Source,
    first,
)
from builder.model import GcsLocation
from localcloud.cloud import Cloud
from localcloud.core.iam import PROJECT, Grant, email
from localcloud.profile import FIRST_BUCKET, GRANTS
from tests.function.environment import python
from tests.granting import granting
from tests.owner import signed
from tests.patience import PATIENCE

Json = dict[str, Any]

REGION = "us-central1"
FUNCTION = email("notebook-function")
LIVE = "ci/live/notebooks/live.json"
ADDRESS = f"gs://{FIRST_BUCKET}/{LIVE}"
# Prints the step's variables in base64, so that the log keeps every byte.
_PRINT_VARIABLES = 'for name in NB_EVENT NB_EVENT_ID NB_EVENT_TIME NB_RUN_ID; do echo "$$name $$(printenv $$name | base64 -w0)"; done'
_IMAGE = "us-central1-docker.pkg.dev/local-project/notebook-builder/notebook-builder@sha256:" + "d" * 64
_numbers = itertools.count(10**15)


@dataclass(frozen=True)
class Delivery:
    """The result of one delivery: the HTTP status, and the lines that the function logged."""

    status: int
    lines: tuple[Json, ...]

    @property
    def acknowledged(self) -> bool:
        return self.status == 200

    @property
    def line(self) -> Json:
        """The only line."""
        (line,) = self.lines
        return line


class Function:
    """The function as a process, from the unpacked archive alone."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.source = folder / "source"
        with zipfile.ZipFile(io.BytesIO(function_source().zip)) as archive:
            archive.extractall(self.source)
        self._log = folder / "log.txt"
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port: int = free.getsockname()[1]
        self.environment = {"PATH": os.environ["PATH"], "PORT": str(self.port), **environment}

    def start(self) -> None:
        """Start the process and wait until it answers."""
        server = ("-m", "functions_framework", "--target", "submit", "--signature-type", "cloudevent")
        self._seen = 0
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [python(), *server, "--host", "127.0.0.1"],
                cwd=self.source,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError):
                self.request("GET")
                return
            assert time.monotonic() < deadline, self.log()
            assert self._process.poll() is None, self.log()
            time.sleep(0.01)

    def stop(self) -> None:
        """End the process with the signal that Cloud Run sends."""
        self._process.terminate()
        self._process.wait(PATIENCE)

    def kill(self) -> None:
        """End the server and its workers by SIGKILL; returns when they are gone."""
        server = psutil.Process(self._process.pid)
        processes = [server, *server.children(recursive=True)]
        for process in processes:
            process.kill()
        self._process.wait(PATIENCE)
        _, alive = psutil.wait_procs(processes, PATIENCE)
        assert not alive

    def request(self, verb: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> int:
        """The status of the function's answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request(verb, "/", body, dict(headers or {}))
            answer = connection.getresponse()
            answer.read()
            return answer.status

    def log(self) -> str:
        """The whole output of the process."""
        return self._log.read_text()

    def new_lines(self) -> tuple[Json, ...]:
        """The lines that the function logged since the last call, without tracebacks of functions-framework."""
        text = self.log()
        fresh, self._seen = text[self._seen :], len(text)
        return tuple(json.loads(line) for line in fresh.splitlines() if line.startswith('{"severity"'))


@dataclass
class FunctionFixture:
    """One cloud and one function. `builds` returns the builds since `begin`."""

    cloud: Cloud
    function: Function
    _live: bytes = b""
    _before: frozenset[str] = frozenset()
    _archive: dict[str, str] = field(default_factory=dict)

    def begin(self) -> None:
        """Write the default live.json, and forget the builds so far."""
        self.make_live({"day": "string", "share": "number"}, {"day": "string", "rows": "integer"})
        self._before = frozenset(build["id"] for build in self.cloud.inventory()["builds"])

    def make_live(
        self,
        *notebooks: Mapping[str, str],
        name: str = "notebooks",
        builds_per_hour: int = 1000,
        build: Mapping[str, Any] | None = None,
    ) -> Live:
        """Write live.json: notebooks with parameters of these types, and a build whose step prints its variables."""
        archive = ArchiveRef("ci/live/notebooks/a.tar.gz", self._generation(), "a" * 64, 100)
        wanted = scheduled_build(
            function=name,
            project=PROJECT,
            location=GcsLocation(FIRST_BUCKET, "ci"),
            archive=archive,
            image=_IMAGE,
            account=email("notebook-scheduler"),
            endpoints={},
            worst_case_seconds=60,
        )
        wanted["steps"][0] |= {"name": "ubuntu", "args": ["bash", "-c", _PRINT_VARIABLES]}
        live = Live(
            archive=archive,
            location=Location(PROJECT, REGION, "news"),
            accounts=Accounts(
                email("notebook-function"), email("notebook-function-build"), email("notebook-trigger")
            ),
            builder=BuilderRef("0.1.0", _IMAGE, "k" * 64),
            notebooks=tuple(
                LiveNotebook(f"{number}.ipynb", kinds, ()) for number, kinds in enumerate(notebooks)
            ),
            schedule=Schedule("0 6 * * 1", "Etc/UTC", {}),
            builds_per_hour=builds_per_hour,
            source=Source(None, "2026-07-01T06:00:00Z", None),
            build={**wanted, **(build or {})},
        )
        self.write(first(live).encode())
        return live

    def fault(self, method: str, action: str, **args: Any) -> None:
        """Plan a fault for the function's next call of a method. Calls of running builds do not meet it."""
        match = {"caller": FUNCTION}
        self.cloud.faults.add({"method": method, "action": action, "args": args, "match": match})

    def write(self, content: bytes) -> None:
        """Write live.json if its content changes.

        Cloud Storage takes one write of an object per second of real time.
        """
        if content != self._live:
            self.bucket.blob(LIVE).upload_from_string(content)
            self._live = content

    @property
    def bucket(self) -> Any:
        """The bucket, with the rights of the project's owner."""
        options = {"api_endpoint": self.cloud.url}
        return Client(
            project=PROJECT, credentials=Credentials(token=self.cloud.iam.owner_token), client_options=options
        ).bucket(FIRST_BUCKET)

    def deliver(
        self, raw: str | bytes | None = "{}", *, event_id: str = "", age: float = 0, data: Any = None
    ) -> Delivery:
        """Deliver an event with this message (None: only attributes), `age` seconds old by the cloud's clock."""
        headers, body = self.event(raw, event_id=event_id, age=age, data=data)
        self.function.new_lines()
        status = self.function.request("POST", body, headers)
        return Delivery(status, self.function.new_lines())

    def event(
        self, raw: str | bytes | None = "{}", *, event_id: str = "", age: float = 0, data: Any = None
    ) -> tuple[Mapping[str, str], bytes]:
        """The headers and the body of a binary CloudEvent, in the form that Eventarc sends."""
        given = event_id or new_id()
        when = datetime.fromtimestamp(self.cloud.clock.now() - age, UTC).isoformat().replace("+00:00", "Z")
        message: Json = {"messageId": given, "publishTime": when}
        if raw is None:
            message["attributes"] = {"origin": "test"}
        else:
            text = raw.encode() if isinstance(raw, str) else raw
            message["data"] = base64.b64encode(text).decode() if data is None else data
        headers = {
            "content-type": "application/json",
            "ce-id": given,
            "ce-source": f"//pubsub.googleapis.com/projects/{PROJECT}/topics/notebooks",
            "ce-type": "google.cloud.pubsub.topic.v1.messagePublished",
            "ce-specversion": "1.0",
            "ce-time": when,
        }
        subscription = f"projects/{PROJECT}/subscriptions/eventarc-us-central1-notebooks-sub-1"
        return headers, json.dumps({"message": message, "subscription": subscription}).encode()

    def builds(self) -> list[Json]:
        """The builds of this test, newest first."""
        return [build for build in self.cloud.inventory()["builds"] if build["id"] not in self._before]

    def build(self, build_id: str) -> Json:
        """A build, as Cloud Build answers."""
        location = f"/v1/projects/{PROJECT}/locations/{REGION}/builds/{build_id}"
        return dict(json.loads(self._get(location)))

    def variables(self, build_id: str) -> dict[str, str]:
        """The event's variables in the step of a build, after the end of the build."""
        deadline = time.monotonic() + PATIENCE
        while "\nDONE" not in (log := self._get(f"/_localcloud/builds/{build_id}/log").decode()):
            assert time.monotonic() < deadline, log
            time.sleep(0.01)
        words = [line.split() for line in log.splitlines() if line.startswith("NB_")]
        return {name: base64.b64decode(value).decode()[:-1] for name, value in words}

    def _get(self, path: str) -> bytes:
        connection = http.client.HTTPConnection(self.cloud.url.removeprefix("http://"), timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=signed(self.cloud.iam))
            return connection.getresponse().read()

    def _generation(self) -> str:
        if not self._archive:
            packed = io.BytesIO()
            tarfile.open(fileobj=packed, mode="w:gz").close()
            blob = self.bucket.blob("ci/live/notebooks/a.tar.gz")
            blob.upload_from_string(packed.getvalue())
            self._archive["generation"] = str(blob.generation)
        return self._archive["generation"]


def new_id() -> str:
    """A new message ID in the form of Pub/Sub."""
    return str(next(_numbers))


def without(role: str) -> Sequence[Grant]:
    """The grants, without those of this role to the function's account."""
    return [grant for grant in GRANTS if (grant.account, grant.role) != ("notebook-function", role)]


@contextlib.contextmanager
def serve_function(folder: Path, grants: Sequence[Grant] = GRANTS) -> Iterator[FunctionFixture]:
    """Serve a cloud and the function. At the end, check that localcloud made no mistake and every fault has acted."""
    with Cloud(folder / "state", profile=granting(grants)) as cloud:
        given = cloud.environment("notebook-function")
        names = ("STORAGE", "CLOUDBUILD")
        kept = {f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}" for name in names}
        environment = {name: given[name] for name in given if name in kept or name.startswith("GCE_METADATA")}
        function = Function(folder / "function", environment | {"NB_LIVE": ADDRESS})
        function.start()
        try:
            yield FunctionFixture(cloud, function)
        finally:
            function.stop()
        inventory = cloud.inventory()
    assert inventory["schema_violations"] == []
    assert inventory["internal_errors"] == []
    assert all(fault["consumed"] == fault["times"] for fault in inventory["faults"])
