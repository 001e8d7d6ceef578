"""What the function's tests stand on: a local cloud, what is live there, and the real function under functions-framework."""

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

from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

from builder.deploy.build import scheduled_build
from builder.deploy.function_source import function_source
from builder.deploy.live import (
    Accounts,
    ArchiveRef,
    BuilderRef,
    Live,
    LiveNotebook,
    Place,
    Schedule,
    Source,
    first,
)
from builder.model import GcsLocation
from localcloud.cloud import FIRST_BUCKET, Cloud
from localcloud.iam import GRANTS, PROJECT, Grant, email
from tests.function.environment import python

Json = dict[str, Any]

REGION = "us-central1"
FUNCTION = email("function")
LIVE = "ci/live/notebooks/live.json"
ADDRESS = f"gs://{FIRST_BUCKET}/{LIVE}"
# Tells the step's variables so that no byte of them is lost in a log.
_TELL = 'for name in NB_EVENT NB_EVENT_ID NB_EVENT_TIME NB_RUN_ID; do echo "$$name $$(printenv $$name | base64 -w0)"; done'
_IMAGE = "us-central1-docker.pkg.dev/local-project/notebook-builder/notebook-builder@sha256:" + "d" * 64
_START_SECONDS = 30
_numbers = itertools.count(10**15)


@dataclass(frozen=True)
class Told:
    """How one delivery ended: the HTTP status, and the lines that the function logged meanwhile."""

    status: int
    lines: tuple[Json, ...]

    @property
    def acknowledged(self) -> bool:
        return self.status == 200

    @property
    def line(self) -> Json:
        """The one line of it."""
        (line,) = self.lines
        return line


class Function:
    """The function as a process of its own, from the unpacked archive alone."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.source = folder / "source"
        with zipfile.ZipFile(io.BytesIO(function_source().zip)) as archive:
            archive.extractall(self.source)
        self._log = folder / "log.txt"
        self._seen = 0
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port: int = free.getsockname()[1]
        self.environment = {"PATH": os.environ["PATH"], "PORT": str(self.port), **environment}

    def start(self) -> None:
        """Start it; returns when it answers."""
        server = ("-m", "functions_framework", "--target", "submit", "--signature-type", "cloudevent")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [python(), *server, "--host", "127.0.0.1"],
                cwd=self.source,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                self.request("GET")
                return
            assert time.monotonic() < deadline, self.log()
            assert self._process.poll() is None, self.log()
            time.sleep(0.01)

    def stop(self) -> None:
        """End it, by the signal that Cloud Run sends."""
        self._process.terminate()
        self._process.wait(timeout=30)

    def request(self, verb: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> int:
        """The status of the function's answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(verb, "/", body, dict(headers or {}))
            answer = connection.getresponse()
            answer.read()
            return answer.status

    def log(self) -> str:
        """All that it has written."""
        return self._log.read_text()

    def new_lines(self) -> tuple[Json, ...]:
        """Its own lines since this was asked last; tracebacks of functions-framework are left out."""
        text = self.log()
        fresh, self._seen = text[self._seen :], len(text)
        return tuple(json.loads(line) for line in fresh.splitlines() if line.startswith('{"severity"'))


@dataclass
class World:
    """One cloud, one function. `builds` are those since `begin`."""

    cloud: Cloud
    function: Function
    _live: bytes = b""
    _before: frozenset[str] = frozenset()
    _archive: dict[str, str] = field(default_factory=dict)

    def begin(self) -> None:
        """Make the usual live, unless it is, and forget the builds so far."""
        self.make_live({"day": "string", "share": "number"}, {"day": "string", "rows": "integer"})
        self._before = frozenset(build["id"] for build in self.cloud.inventory()["builds"])

    def make_live(
        self,
        *notebooks: Mapping[str, str],
        name: str = "notebooks",
        builds_per_hour: int = 1000,
        build: Mapping[str, Any] | None = None,
    ) -> Live:
        """Write live.json: notebooks with these parameters by kind, and a build whose step tells its variables."""
        archive = ArchiveRef("ci/live/notebooks/a.tar.gz", self._generation(), "a" * 64, 100)
        wanted = scheduled_build(
            function=name,
            project=PROJECT,
            location=GcsLocation(FIRST_BUCKET, "ci"),
            archive=archive,
            image=_IMAGE,
            account=email("builder"),
            endpoints={},
            worst_case_seconds=60,
        )
        wanted["steps"][0] |= {"name": "ubuntu", "args": ["bash", "-c", _TELL]}
        live = Live(
            archive=archive,
            place=Place(PROJECT, REGION, "news"),
            accounts=Accounts(email("function"), email("function-build"), email("trigger")),
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
        """Plan a fault on the function's next call of a method; builds under way make calls of their own."""
        match = {"caller": FUNCTION}
        self.cloud.faults.add({"method": method, "action": action, "args": args, "match": match})

    def write(self, content: bytes) -> None:
        """Write live.json as it is, unless it is: an object takes one write in a second, of real time."""
        if content != self._live:
            self.bucket.blob(LIVE).upload_from_string(content)
            self._live = content

    @property
    def bucket(self) -> Any:
        """The bucket, as the project's owner."""
        options = {"api_endpoint": self.cloud.url}
        return Client(project=PROJECT, credentials=AnonymousCredentials(), client_options=options).bucket(
            FIRST_BUCKET
        )

    def deliver(
        self, raw: str | bytes | None = "{}", *, event_id: str = "", age: float = 0, data: Any = None
    ) -> Told:
        """Deliver an event with this message (None: one of attributes alone), so many seconds old by the cloud's clock."""
        headers, body = self.event(raw, event_id=event_id, age=age, data=data)
        self.function.new_lines()
        status = self.function.request("POST", body, headers)
        return Told(status, self.function.new_lines())

    def event(
        self, raw: str | bytes | None = "{}", *, event_id: str = "", age: float = 0, data: Any = None
    ) -> tuple[Mapping[str, str], bytes]:
        """A binary CloudEvent as Eventarc sends it: headers and body."""
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
        """A build as Cloud Build shows it."""
        place = f"/v1/projects/{PROJECT}/locations/{REGION}/builds/{build_id}"
        return dict(json.loads(self._get(place)))

    def variables(self, build_id: str) -> dict[str, str]:
        """The event's variables as the build's step had them; waits for its end."""
        deadline = time.monotonic() + 20
        while "\nDONE" not in (log := self._get(f"/_localcloud/builds/{build_id}/log").decode()):
            assert time.monotonic() < deadline, log
            time.sleep(0.01)
        words = [line.split() for line in log.splitlines() if line.startswith("NB_")]
        return {name: base64.b64decode(value).decode()[:-1] for name, value in words}

    def _get(self, path: str) -> bytes:
        connection = http.client.HTTPConnection(self.cloud.url.removeprefix("http://"), timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", path)
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
    """An id as Pub/Sub gives them."""
    return str(next(_numbers))


def without(role: str) -> Sequence[Grant]:
    """The grants, but for those of this role to the function."""
    return [grant for grant in GRANTS if (grant.account, grant.role) != ("function", role)]


@contextlib.contextmanager
def served(folder: Path, grants: Sequence[Grant] = GRANTS) -> Iterator[World]:
    """A cloud and the function on it; at its end nothing was wrong with the cloud, and every fault has acted."""
    with Cloud(folder / "state", grants=grants) as cloud:
        given = cloud.environment("function")
        names = ("STORAGE", "CLOUDBUILD")
        kept = {f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}" for name in names}
        environment = {name: given[name] for name in given if name in kept or name.startswith("GCE_METADATA")}
        function = Function(folder / "function", environment | {"NB_LIVE": ADDRESS})
        function.start()
        try:
            yield World(cloud, function)
        finally:
            function.stop()
        inventory = cloud.inventory()
    assert inventory["schema_violations"] == []
    assert inventory["internal_errors"] == []
    assert all(fault["consumed"] == fault["times"] for fault in inventory["faults"])
