"""Carries out a change of a function: build, service, trigger; and the state after a failed step."""

from __future__ import annotations

import contextlib
import secrets
import string
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from localcloud.core.clock import Clock
from localcloud.core.errors import ApiError
from localcloud.core.times import timestamp
from localcloud.engines.function import source
from localcloud.engines.function.environments import Environments
from localcloud.engines.function.instance import StartFailed
from localcloud.engines.function.revision import Revision, Trigger
from localcloud.engines.function.source import BuildFailed
from localcloud.services.functions.sources import Sources, kept_source
from localcloud.services.functions.state import Record, Records, Version
from localcloud.services.functions.state_layout import Layout
from localcloud.services.functions.state_operations import CODES, Operations
from localcloud.services.functions.triggers import planned, subscribe, unsubscribe
from localcloud.services.functions.work import StepFailed, Work
from localcloud.services.pubsub import PubSubService
from localcloud.services.run import RunService

Json = dict[str, Any]

_CODE_BY_STATUS = {400: 3, 403: 7, 404: 5, 409: 10, 429: 8, 501: 12, 503: 14}
_NOT_STARTED = (
    "Could not create or update Cloud Run service {service}, Container Healthcheck failed. Revision '{revision}' is not "
    "ready and cannot serve traffic. The user-provided container failed to start and listen on the port defined provided "
    "by the PORT=8080 environment variable within the allocated timeout. This can happen when the container port is "
    "misconfigured or if the timeout is too short. The health check timeout can be extended. Logs for this revision "
    "might contain more information.\n\nLogs: {log}\n{words}"
)


@dataclass(frozen=True)
class _Tools:
    """The parts that a deployment uses."""

    layout: Layout
    records: Records
    operations: Operations
    sources: Sources
    environments: Environments
    run: RunService
    pubsub: PubSubService
    clock: Clock


class Deployment(_Tools):
    """Deploys and deletes functions. Each call runs to its end; the operation and the record have the result."""

    def deploy(self, work: Work) -> None:
        """Build a function, serve it, and subscribe it to its events."""
        record = self._record(work.name)
        try:
            done = self._deployed(work, record)
        except StepFailed as failure:
            self._fail(work, record, failure)
            return
        self.records.put(work.name, done)
        self.operations.succeed(work.operation, self.view(done))

    def delete(self, work: Work) -> None:
        """Remove a function with its service, its policy and its subscription."""
        record = self._record(work.name)
        try:
            _meet(work)
        except StepFailed as failure:
            self._fail(work, record, failure)
            return
        unsubscribe(self.pubsub, record.trigger)
        self.run.remove(service_name(work.name))
        self.layout.remove(work.name)
        self.records.remove(work.name)
        self.operations.succeed(work.operation, None)

    def abandon(self, work: Work, error: BaseException) -> None:
        """Set the state of a function after a bug of localcloud's, as after a failed step."""
        failure = StepFailed(CODES["INTERNAL"], "Internal", f"localcloud has a bug: {error!r}")
        record = self.records.find(work.name)
        if record is not None:
            self._fail(work, record, failure)
        else:
            self.operations.fail(work.operation, failure.code, failure.message)

    def restore(self, name: str) -> None:
        """Serve a function again after a restart; an operation that was running then has failed."""
        record = self._record(name)
        serving = record.serving
        if serving is not None:
            record = replace(record, shown=serving)
            revision = self._revision(serving, record.trigger)
            self.layout.tidy(name, self._archive(serving), revision.name)
            self.run.restore(revision)
            if record.trigger is not None and revision.trigger is not None:
                with contextlib.suppress(ApiError):  # without the topic, no events come
                    subscribe(
                        self.pubsub,
                        record.trigger,
                        revision.trigger.account,
                        self.run.uri(service_name(name)),
                    )
        elif record.shown.function["state"] != "FAILED":
            problem = {"severity": "ERROR", "type": "Interrupted", "message": "localcloud ended meanwhile."}
            record = replace(record, shown=record.shown.with_state("FAILED", problem))
        self.records.put(name, record)

    def view(self, record: Record) -> Json:
        """Return the `Function` of an answer, with its address, which may change at a restart."""
        function = record.shown.function
        if record.serving is None:
            return function
        uri = self.run.uri(service_name(function["name"]))
        return function | {"url": uri, "serviceConfig": function["serviceConfig"] | {"uri": uri}}

    def _deployed(self, work: Work, record: Record) -> Record:
        """Run the steps; return the record of the serving function. Raises `StepFailed`."""
        _meet(work)
        trigger = planned(record.shown.function, record.trigger)
        version = self._built(work, record, trigger)
        revision = self._revision(version, trigger)
        self._serve(work, revision)
        if trigger is not None and revision.trigger is not None:
            self._trigger(work, record, trigger, revision.trigger.account)
        if record.trigger is not None and record.trigger != trigger:
            unsubscribe(self.pubsub, record.trigger)
        return Record(version, version, trigger, record.revisions + 1)

    def _built(self, work: Work, record: Record, trigger: Json | None) -> Version:
        """Fetch, unpack and compile the source, install its packages; return the function's new record."""
        now = self.clock.now()
        generation = int(now * 1_000_000)
        version = _finished(record, trigger, timestamp(now), generation)
        revision = version.function["serviceConfig"]["revision"]
        folder = self.layout.source(work.name, revision)
        wanted = record.shown.function["buildConfig"]["source"]["storageSource"]
        try:
            self.sources.keep(work.name, wanted, generation)
            source.unpack(self.layout.archive(work.name, generation), folder)
            self.environments.python(source.requirements(folder))
        except BuildFailed as error:
            message = f"Build failed with status: FAILURE and message: {error}."
            raise StepFailed(CODES["INVALID_ARGUMENT"], "BuildFailed", message) from error
        return version

    def _serve(self, work: Work, revision: Revision) -> None:
        try:
            self.run.deploy(revision)
        except (StartFailed, BuildFailed) as error:
            message = _NOT_STARTED.format(
                service=service_name(work.name).rpartition("/")[2],
                revision=revision.name,
                log=revision.log,
                words=error,
            )
            raise StepFailed(CODES["INVALID_ARGUMENT"], "HealthCheckContainerError", message) from error

    def _trigger(self, work: Work, record: Record, trigger: Json, account: str) -> None:
        """Subscribe to the topic; if that fails, restore the service."""
        try:
            subscribe(self.pubsub, trigger, account, self.run.uri(service_name(work.name)))
        except ApiError as error:
            if record.serving is not None:
                self.run.restore(self._revision(record.serving, record.trigger))
            else:
                self.run.remove(service_name(work.name))
            code = _CODE_BY_STATUS.get(error.status, CODES["INTERNAL"])
            message = f"Creating trigger failed for {trigger['name']}: {error.message}"
            raise StepFailed(code, "TriggerFailed", message) from error

    def _fail(self, work: Work, record: Record, failure: StepFailed) -> None:
        """Restore a function that has served before; else leave it FAILED."""
        shown = record.serving or record.shown.with_state("FAILED", failure.problem)
        self.records.put(work.name, replace(record, shown=shown, revisions=record.revisions + 1))
        self.operations.fail(work.operation, failure.code, failure.message)

    def _record(self, name: str) -> Record:
        found = self.records.find(name)
        if found is None:
            raise LookupError(name)
        return found

    def _archive(self, version: Version) -> Path:
        kept = version.function["buildConfig"]["source"]["storageSource"]
        return self.layout.archive(version.function["name"], int(kept["generation"]))

    def _revision(self, version: Version, trigger: Json | None) -> Revision:
        function = version.function
        config, name = function["serviceConfig"], function["name"]
        folder = self.layout.source(name, config["revision"])
        return Revision(
            service=config["service"],
            name=config["revision"],
            folder=folder,
            log=self.layout.log(name),
            python=lambda: self.environments.python(source.requirements(folder)),
            target=function["buildConfig"]["entryPoint"],
            account=config["serviceAccountEmail"],
            variables=config.get("environmentVariables", {}),
            timeout=config["timeoutSeconds"],
            most_instances=config["maxInstanceCount"],
            ingress=config["ingressSettings"],
            trigger=_events(function, trigger),
        )


def _meet(work: Work) -> None:
    """Fail if a fault of the operation is due."""
    if work.fault is not None:
        code = work.fault.args["code"]
        message = work.fault.args.get("message", f"Fault injected: {code}.")
        raise StepFailed(CODES.get(code, CODES["INTERNAL"]), "FaultInjected", message)


def service_name(function: str) -> str:
    """Return the Cloud Run service of a function: of the same name."""
    return function.replace("/functions/", "/services/")


def _finished(record: Record, trigger: Json | None, now: str, generation: int) -> Version:
    """Return the function after a successful deployment."""
    wanted = record.shown.function
    name = wanted["name"]
    letters = "".join(secrets.choice(string.ascii_lowercase) for _ in range(3))
    revision = f"{name.rpartition('/')[2]}-{record.revisions + 1:05d}-{letters}"
    kept = {"storageSource": kept_source(name, generation)}
    provenance = {"resolvedStorageSource": kept["storageSource"]}
    function = {
        **wanted,
        "buildConfig": wanted["buildConfig"] | {"source": kept, "sourceProvenance": provenance},
        "serviceConfig": wanted["serviceConfig"] | {"service": service_name(name), "revision": revision},
        "updateTime": now,
    }
    if trigger is not None:
        function["eventTrigger"] = wanted["eventTrigger"] | {"trigger": trigger["name"]}
    asked = record.shown.asked
    asked = asked | {"buildConfig": asked["buildConfig"] | {"source": kept}}
    return Version(asked, function).with_state("ACTIVE")


def _events(function: Json, trigger: Json | None) -> Trigger | None:
    if trigger is None:
        return None
    wanted = function["eventTrigger"]
    return Trigger(
        event_type=wanted["eventType"],
        topic=trigger["topic"],
        subscription=trigger["subscription"],
        account=wanted["serviceAccountEmail"],
        retry=wanted["retryPolicy"] == "RETRY_POLICY_RETRY",
    )
