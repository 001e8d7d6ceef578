"""Simulates a VM's guest without a boot: it reads its job and writes its results as the real runner does."""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import requests

from builder.act.watch import TICK
from builder.gcp.storage import GoogleObjectStore
from builder.model import Listed
from builder.ports import CallFailed
from tests.integration.cloud_fixture import NOTEBOOK, CloudFixture, Guest, StandIn
from tests.patience import PATIENCE

Json = dict[str, Any]


def hashed(nonce: str) -> str:
    """Return the hash of a nonce that a heartbeat has."""
    return hashlib.sha256(nonce.encode()).hexdigest()


@dataclass
class GuestSession:
    """A guest at work: its job, its client of the bucket, and what it has written."""

    cloud_fixture: CloudFixture
    machine: StandIn
    job: Json
    store: GoogleObjectStore
    counter: int = 0
    log_chunks: int = 0
    written: list[Listed] = field(default_factory=list)

    @property
    def prefix(self) -> str:
        return str(self.job["attempt_prefix"])

    def beat(self, phase: str) -> None:
        self.counter += 1
        heartbeat = {
            "schema": 1,
            "nonce_sha256": hashed(self.job["nonce"]),
            "attempt": self.job["attempt"],
            "counter": self.counter,
            "phase": phase,
            "cell": 1,
            "cells": 1,
            "log_chunks": self.log_chunks,
        }
        self.store.replace(
            self.prefix + "heartbeat.json", json.dumps(heartbeat).encode(), content_type="application/json"
        )

    def ask(self, kit: object, nonce: str | None = None) -> None:
        """Write the request that the bootstrap writes if its kit is missing."""
        own = {"nonce_sha256": hashed(nonce or self.job["nonce"]), "attempt": self.job["attempt"]}
        wish = {"schema": 1, **own, "phase": "kit", "kit": kit}
        self.store.replace(
            self.prefix + "heartbeat.json", json.dumps(wish).encode(), content_type="application/json"
        )

    def say(self, text: str) -> None:
        self.log_chunks += 1
        self.put(f"log/{self.log_chunks:06d}.txt", text.encode(), listed=False)

    def put(self, name: str, content: bytes, *, listed: bool = True) -> None:
        made = self.store.create(self.prefix + name, content, content_type="application/octet-stream")
        assert made is not None, name
        if listed:
            self.written.append(made)

    def staged(self) -> dict[str, tuple[bytes, int]]:
        """The input with its generations, as soon as it is all there."""
        job, generation = self.fetch(self.job["job"]["object"])
        document = json.loads(job)
        found = {"job": (job, generation)}
        for name in ("workspace", "parameters"):
            found[name] = self.fetch(document[name]["object"])
        return found

    def fetch(self, name: str, sha256: str = "") -> tuple[bytes, int]:
        """An object and its generation, as soon as it is there, with that hash where one is given."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and not self.machine.off.is_set():
            try:
                found = self.store.read_newer(name, 0)
            except CallFailed as failure:
                # Who may not list objects is not told that one is missing.
                if failure.http_status != HTTPStatus.FORBIDDEN:
                    raise
                found = None
            if found is not None and sha256 in {"", hashlib.sha256(found[0]).hexdigest()}:
                return found
            time.sleep(0.01)
        raise TimeoutError(name)

    def evidence(self, **changes: Any) -> Json:
        """Return the evidence that the runner writes after success."""
        staged = self.staged()
        document = json.loads(staged["job"][0])
        return {
            "schema": 1,
            **{key: self.job[key] for key in ("run", "attempt", "nonce")},
            "job": self.job["job_id"],
            "inputs": {
                **{
                    name: {"sha256": hashlib.sha256(content).hexdigest(), "generation": str(generation)}
                    for name, (content, generation) in staged.items()
                },
                "notebook": {"sha256": document["notebook_sha256"]},
            },
            "papermill": {"exit_code": 0, "seconds": 0.1},
            "fault": None,
            "python": "3.12.3",
            "kernel": {"requested": "python3", "used": "python3"},
            "executed_notebook": f"{document['name']}.ipynb",
            "objects": [
                {
                    "name": item.name.removeprefix(self.prefix),
                    "size": item.size,
                    "crc32c": item.crc32c,
                    "generation": str(item.generation),
                }
                for item in self.written
            ],
            "skipped": [],
            "secrets": [],
            "timings": {"boot": 0.1},
            "peak_memory_bytes": 1,
            "disk_free_bytes": 1,
            "log": {"chunks": self.log_chunks, "bytes": 10, "dropped_bytes": 0},
            **changes,
        }

    def finish(self, evidence: Json | bytes) -> None:
        raw = evidence if isinstance(evidence, bytes) else json.dumps(evidence).encode()
        self.put("evidence.json", raw, listed=False)
        self.machine.events.guest_shutdown()


def open_session(cloud_fixture: CloudFixture, machine: StandIn) -> GuestSession:
    """Read the job from the metadata server, as the startup script's successor does."""
    url = f"http://{machine.spec.metadata_address}/computeMetadata/v1/instance/attributes/nb-job"
    job = requests.get(url, headers={"Metadata-Flavor": "Google"}, timeout=PATIENCE).json()
    return GuestSession(cloud_fixture, machine, job, cloud_fixture.store("notebook-vm"))


def execute(session: GuestSession, text: str = "# cell 1/1 ok 0.1 s\n") -> None:
    """Run the notebook, upload what came of it; all but the evidence."""
    executed = copy.deepcopy(NOTEBOOK)
    cell: Json = executed["cells"][0]  # type: ignore[index]
    cell["execution_count"] = 1
    cell["metadata"]["papermill"] = {"exception": False, "status": "completed"}
    name = json.loads(session.staged()["job"][0])["name"]
    session.beat("notebook")
    session.say(text)
    session.put(f"{name}.ipynb", json.dumps(executed).encode())
    session.put(f"{name}.html", b"<p>hello</p>")
    session.put("outputs/out.csv", b"a,b\n1,2\n")
    session.beat("done")


def green(cloud_fixture: CloudFixture, machine: StandIn) -> None:
    session = open_session(cloud_fixture, machine)
    execute(session)
    session.finish(session.evidence())


def asking(wanted: str) -> Guest:
    """A guest whose Python is `wanted` ("cp311"): it asks for that kit, and is green once the kit is there whole."""

    def guest(cloud_fixture: CloudFixture, machine: StandIn) -> None:
        session = open_session(cloud_fixture, machine)
        session.ask(wanted)
        kit = session.job["kits"][wanted]
        session.fetch(kit["object"], kit["sha256"])
        green(cloud_fixture, machine)

    return guest


def forging(wanted: object, *, nonce: str | None = None) -> Guest:
    """A guest that asks for what it cannot have, by that nonce or its own, and is green all the same."""

    def guest(cloud_fixture: CloudFixture, machine: StandIn) -> None:
        session = open_session(cloud_fixture, machine)
        session.ask(wanted, nonce)
        looks = cloud_fixture.time.monotonic() + 3 * TICK
        while cloud_fixture.time.monotonic() < looks:  # the builder's clock is moved: moments
            time.sleep(0.01)
        green(cloud_fixture, machine)

    return guest


def with_fault(reason: str) -> Guest:
    """A guest whose runner says what went wrong."""

    def guest(cloud_fixture: CloudFixture, machine: StandIn) -> None:
        session = open_session(cloud_fixture, machine)
        execute(session)
        session.finish(
            session.evidence(
                fault={"reason": reason, "message": "so it was", "cell": 1},
                papermill={"exit_code": 1, "seconds": 0.1},
            )
        )

    return guest


def altered(change: Callable[[GuestSession, Json], Json | bytes]) -> Guest:
    """A guest that is as good as `green` but for its evidence."""

    def guest(cloud_fixture: CloudFixture, machine: StandIn) -> None:
        session = open_session(cloud_fixture, machine)
        execute(session)
        session.finish(change(session, session.evidence()))

    return guest


def vanishing(cloud_fixture: CloudFixture, machine: StandIn) -> None:
    """Says that it lives, and then its host fails."""
    session = open_session(cloud_fixture, machine)
    session.say("# of the first attempt\n")
    session.say("# and more of it\n")
    session.beat("notebook")
    time.sleep(0.1)
    machine.events.ended()


def preempted(cloud_fixture: CloudFixture, machine: StandIn) -> None:
    """Says that Compute Engine takes the Spot VM back, and ends."""
    open_session(cloud_fixture, machine).beat("preempted")
    machine.events.ended()


def silent(_world: CloudFixture, _machine: StandIn) -> None:
    """Never says anything."""


def failing(*lines: str) -> Guest:
    """A guest that says these lines on the serial port, and never gets further."""

    def guest(_world: CloudFixture, machine: StandIn) -> None:
        machine.events.serial("".join(f"x notebook-builder: {line}\r\n" for line in lines).encode())

    return guest
