"""A served Cloud Build with Cloud Storage beside it, and Google's own clients for both."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud.devtools import cloudbuild_v1
from google.cloud.storage import Client
from google.oauth2.credentials import Credentials
from google.protobuf import json_format

from localcloud.clock import Clock
from localcloud.cloudbuild import BuildService
from localcloud.cloudbuild.names import FINISHED
from localcloud.cloudbuild.objects import Objects
from localcloud.cloudbuild.process import ProcessRunner
from localcloud.cloudbuild.run import Tools
from localcloud.cloudbuild.runner import Runner
from localcloud.control import Control
from localcloud.errors import not_found
from localcloud.faults import FaultPlan
from localcloud.findings import Findings
from localcloud.iam import PROJECT, Iam, email
from localcloud.server import Server
from localcloud.storage import StorageService

Json = dict[str, Any]

BUCKET = "sources"
REGION = "us-central1"


@dataclass
class World:
    """One served Cloud Build. `secrets` are what it knows by their versions' names; `runners` may be added to."""

    clock: Clock
    faults: FaultPlan
    iam: Iam
    findings: Findings
    service: BuildService
    runners: dict[str, Runner]
    secrets: dict[str, bytes]
    asked_by: list[str] = field(default_factory=list)
    url: str = ""

    def credentials(self, account: str | None) -> Any:
        if account is None:
            return AnonymousCredentials()
        return Credentials(token=self.iam.token(email(account))[0])

    def client(self, account: str | None = None) -> Any:
        return cloudbuild_v1.CloudBuildClient(
            credentials=self.credentials(account), client_options={"api_endpoint": self.url}, transport="rest"
        )

    @property
    def bucket(self) -> Any:
        client = Client(
            project=PROJECT, credentials=AnonymousCredentials(), client_options={"api_endpoint": self.url}
        )
        return client.bucket(BUCKET)

    def create(
        self, build: Json, *, location: str = "global", account: str | None = None, runner: str = "process"
    ) -> Any:
        """Create a build with Google's client; returns its operation."""
        wanted = cloudbuild_v1.Build()
        json_format.ParseDict(build, cloudbuild_v1.Build.pb(wanted))
        request: Json = {"build": wanted, "project_id": PROJECT}
        if location != "global":
            request = {"build": wanted, "parent": f"projects/{PROJECT}/locations/{location}"}
        return self.client(account).create_build(request=request, metadata=[("x-localcloud-runner", runner)])

    def start(self, build: Json, **how: Any) -> str:
        """Create a build; returns its id."""
        build_id: str = self.create(build, **how).metadata.build.id
        return build_id

    def run(self, build: Json, **how: Any) -> Json:
        """Create a build and wait for its end; returns it as the API shows it."""
        return self.ended(self.start(build, **how))

    def ended(self, build_id: str) -> Json:
        eventually(lambda: self.record(build_id)["status"] in FINISHED)
        eventually(lambda: self.service.log(build_id, 0)[1])
        return self.record(build_id)

    def record(self, build_id: str) -> Json:
        """The build as the service has it, wherever it lives."""
        found = self.service._builds.find(build_id)
        assert found is not None
        return found.view()

    def log(self, build_id: str) -> str:
        """The build's log so far, by the control route."""
        with urllib.request.urlopen(f"{self.url}/_localcloud/builds/{build_id}/log") as answer:
            return str(answer.read().decode(errors="surrogateescape"))

    def lines(self, build_id: str) -> list[str]:
        return self.log(build_id).splitlines()

    def wait_for(self, build_id: str, *texts: str) -> None:
        """Wait until the log has all the texts."""
        eventually(lambda: all(text in self.log(build_id) for text in texts))

    def rest(
        self, verb: str, path: str, body: Json | None = None, *, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Json]:
        """Call without Google's client, as the owner; `path` is the API's unless it begins with a slash."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + (path if path.startswith("/") else f"/v1/{path}"),
            data,
            dict(headers or {}),
            method=verb,
        )
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())["error"]

    def put_source(self, files: Mapping[str, str], name: str = "source.tgz") -> Json:
        """Upload an archive; returns the build's `source`."""
        blob = self.bucket.blob(name)
        blob.upload_from_string(packed(files))
        return {"storageSource": {"bucket": BUCKET, "object": name}}

    def read_secret(self, account: str, version: str) -> bytes:
        self.asked_by.append(account)
        if version not in self.secrets:
            raise not_found(f"Secret [{version.partition('/versions/')[0]}] not found or has no versions.")
        return self.secrets[version]


def packed(files: Mapping[str, str]) -> bytes:
    """A .tgz of files by their paths."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content.encode())
            archive.addfile(member, io.BytesIO(content.encode()))
    return target.getvalue()


def shell(command: str, **fields: Any) -> Json:
    """A step that runs a shell command; `$` in it must be `$$` as in any build file."""
    return {"name": "ubuntu", "args": ["bash", "-c", command], **fields}


def one(command: str, **fields: Any) -> Json:
    """A build of one such step."""
    return {"steps": [shell(command)], **fields}


def eventually(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Poll until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, condition
        time.sleep(0.01)


@contextlib.contextmanager
def served(directory: Path) -> Iterator[World]:
    """Serve a Cloud Build; at its end, nothing must have been wrong with it and every fault consumed."""
    clock, faults, iam, findings = Clock(), FaultPlan(), Iam(), Findings()
    directory.mkdir(exist_ok=True)
    store = StorageService(directory, clock, iam, faults)
    runners: dict[str, Runner] = {"process": ProcessRunner()}
    tools = Tools(
        clock,
        Objects(lambda: world.url, iam),
        lambda account: {"CALLER": account, "WEAK": "cloud"},
        lambda account, version: world.read_secret(account, version),  # noqa: PLW0108  the world comes later
        findings.error,
    )
    service = BuildService(directory, tools, runners=runners, default_runner="process")
    world = World(clock, faults, iam, findings, service, runners, {})
    server = Server(
        services=[service],
        raw_services=[store],
        control=Control(clock, faults, dict, service.log).respond,
        iam=iam,
        faults=faults,
        findings=findings,
    )
    world.url = server.url
    store.create_bucket(BUCKET)
    server.start()
    try:
        yield world
    finally:
        service.close()
        server.close()
        store.close()
        clock.close()
    noticed = findings.inventory()
    assert noticed["schema_violations"] == []
    assert noticed["internal_errors"] == []
    assert all(fault["consumed"] == fault["times"] for fault in faults.inventory())
