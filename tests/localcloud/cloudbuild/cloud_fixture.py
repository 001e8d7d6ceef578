"""A served Cloud Build with Cloud Storage beside it, and Google's own clients for both."""

from __future__ import annotations

import io
import json
import tarfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.cloud.devtools import cloudbuild_v1
from google.cloud.storage import Client
from google.protobuf import json_format

from localcloud.core.caller import Caller
from localcloud.core.control import Control
from localcloud.core.errors import not_found
from localcloud.core.iam import PROJECT, email
from localcloud.core.objects import Objects
from localcloud.engines.build import Runner
from localcloud.engines.build_process import ProcessRunner
from localcloud.profile import OWN_IMAGE
from localcloud.services.cloudbuild import BuildService
from localcloud.services.cloudbuild.names import FINISHED
from localcloud.services.cloudbuild.run import Tools
from localcloud.services.storage import StorageService
from tests.localcloud.served import Served
from tests.owner import signed
from tests.polling import eventually

Json = dict[str, Any]

BUCKET = "sources"
REGION = "us-central1"


class CloudFixture(Served):
    """One served Cloud Build. `secrets` are by their versions' names; tests may add `runners`."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        directory.mkdir(exist_ok=True)
        store = StorageService(directory, self.clock, self.iam, self.faults)
        store.create_bucket(BUCKET)
        self.iam.grant_on_bucket(BUCKET)
        deployer = f"serviceAccount:{email('notebook-deployer')}"
        self.iam.policies.grant(f"projects/_/buckets/{BUCKET}", "roles/storage.objectUser", deployer)
        self.secrets: dict[str, bytes] = {}
        self.asked_by: list[str] = []
        self.runners: dict[str, Runner] = {"process": ProcessRunner(OWN_IMAGE)}
        tools = Tools(
            self.clock,
            Objects(lambda: self.url, self.iam),
            lambda account: {"CALLER": account, "WEAK": "cloud"},
            self.read_secret,
            lambda account, permission, resource: self.iam.allowed(Caller(account), permission, resource),
            self.findings.error,
        )
        self.service = BuildService(directory, tools, runners=self.runners, default_runner="process")
        routes = {"builds/([^/]+)/log": self.service.respond_log}
        control = Control(self.clock, self.faults, dict, routes).respond
        self.serve(self.service, raw=(store,), control=control)

    def client(self, account: str | None = None) -> Any:
        return cloudbuild_v1.CloudBuildClient(**self.options(account))

    @property
    def bucket(self) -> Any:
        client = Client(
            project=PROJECT, credentials=self.credentials(), client_options={"api_endpoint": self.url}
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
        """The service's build, in any location."""
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
        """Call without Google's client, as the owner; a `path` without a leading slash is below the API's."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + (path if path.startswith("/") else f"/v1/{path}"),
            data,
            signed(self.iam) | dict(headers or {}),
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
