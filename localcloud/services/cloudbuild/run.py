"""One build from its start to its end: source, secrets, steps, results."""

from __future__ import annotations

import base64
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from localcloud.core.clock import Clock
from localcloud.core.errors import ApiError
from localcloud.core.objects import ObjectError, Objects, Place
from localcloud.core.times import seconds, timestamp
from localcloud.engines.build import RunnerError, Worker
from localcloud.services.cloudbuild.job import SUCCESS, TIMED_OUT, Ending, Job, secret_user, steps_shown
from localcloud.services.cloudbuild.problem import Json, objects, part
from localcloud.services.cloudbuild.publishing import images_of, push
from localcloud.services.cloudbuild.rules_registry import PULL, PUSH, check_image
from localcloud.services.cloudbuild.stage import Stage
from localcloud.services.cloudbuild.watch import EndedError, Watch

_LAST_WORDS = {"SUCCESS": "DONE", "FAILURE": "ERROR", "INTERNAL_ERROR": "ERROR"}


@dataclass(frozen=True)
class Tools:
    """The parts of the local cloud that builds use.

    `environment(account)` are the variables that lead a step here, as that account. `access_secret(account, version)`
    is the content of a secret's version (ApiError as Secret Manager answers). `allowed(account, permission, resource)`
    asks IAM. `on_error(where, error)` hears of our bugs.
    """

    clock: Clock
    objects: Objects
    environment: Callable[[str], Mapping[str, str]]
    access_secret: Callable[[str, str], bytes]
    allowed: Callable[[str, str, str], bool]
    on_error: Callable[[str, BaseException], None]


class Run:
    """A build that runs, or waits in the queue to run."""

    def __init__(self, job: Job, tools: Tools) -> None:
        self.job = job
        self.over = threading.Event()
        self._tools = tools
        self._now = tools.clock.now
        self._log = job.record.log
        self._build = job.record.view()
        self._watch = Watch()
        self._stage: Stage | None = None
        self._pushed: list[Json] = []

    def stop(self, ending: Ending) -> None:
        """End the build at once with this result; returns immediately, and sets `over` when done."""
        self._watch.stop(ending)

    def execute(self) -> None:
        """Run the build to its end."""
        limit = self._tools.clock.call_later(seconds(self._build["timeout"]), lambda: self.stop(TIMED_OUT))
        self.job.record.update({"status": "WORKING", "startTime": timestamp(self._now())})
        try:
            ending = self._work()
        except EndedError as ended:
            ending = ended.ending
        except Exception as error:  # noqa: BLE001  after a bug of localcloud's, the build must still end
            self._tools.on_error(f"build {self.job.record.id}", error)
            ending = Ending("INTERNAL_ERROR", f"localcloud has a bug: {error!r}")
        limit.cancel()
        self._finish(ending)

    def drop(self, ending: Ending) -> None:
        """End a build that has not begun."""
        self._finish(ending)

    def _work(self) -> Ending:
        self._log.write(f'starting build "{self.job.record.id}"\n\nFETCHSOURCE')
        worker = self._open()
        self._stage = Stage(
            worker,
            self.job,
            check_image=partial(check_image, self._allowed, PULL),
            clock=self._tools.clock,
            watch=self._watch,
        )
        try:
            if self.job.source:
                self._fetch(worker, self.job.source)
            self._log.write("BUILD")
            secrets = self._watch.during(self._secrets)
            self._stage.run(secrets, self._tools.environment(self.job.account))
            self._log.write("PUSH")
            self._publish(worker)
        finally:
            self._stage.close()
        return SUCCESS

    def _open(self) -> Worker:
        folder = self.job.record.worker
        folder.mkdir()
        try:
            return self.job.runner.open(self.job.record.id, folder)
        except Exception as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, RunnerError):
                raise EndedError(Ending("FAILURE", str(error))) from error
            raise

    def _fetch(self, worker: Worker, source: Place) -> None:
        self._log.write(f"Fetching storage object: {source}")
        archive = self.job.record.folder / "source"
        try:
            self._watch.during(lambda: self._tools.objects.download(self.job.account, source, archive))
            worker.unpack(archive)
        except (ObjectError, RunnerError) as error:
            detail = f"failed to fetch source {source}: {error}"
            raise EndedError(Ending("FAILURE", detail)) from error
        finally:
            archive.unlink(missing_ok=True)

    def _secrets(self) -> dict[str, str]:
        """Return the content of each secret by its variable, all before the first step."""
        found: dict[str, str] = {}
        for _, secret in objects(part(self._build, "availableSecrets"), "secretManager"):
            version, name = secret["versionName"], secret["env"]
            try:
                content = self._tools.access_secret(self.job.account, version)
            except ApiError as error:
                index = secret_user(self._build, name)
                detail = f'build step {index} "{self._build["steps"][index]["name"]}" failed: {_secret_refused(version, error)}'
                raise EndedError(Ending("FAILURE", detail)) from error
            found[name] = content.decode(errors="surrogateescape")
        return found

    def _publish(self, worker: Worker) -> None:
        check = partial(check_image, self._allowed, PUSH)
        self._pushed = [
            self._watch.during(partial(push, worker, image, self._log, check))
            for image in images_of(self._build)
        ]

    def _allowed(self, permission: str, resource: str) -> bool:
        return self._tools.allowed(self.job.account, permission, resource)

    def _finish(self, ending: Ending) -> None:
        self._log.write(_LAST_WORDS.get(ending.status, ending.status))
        if ending.detail:
            self._log.write(f"ERROR: {ending.detail}")
        self.job.record.update(self._changes(ending))
        self._log.finish()
        self.over.set()

    def _changes(self, ending: Ending) -> Json:
        changes: Json = {
            "status": ending.status,
            "finishTime": timestamp(self._now()),
            "steps": steps_shown(self._build["steps"], {}, {}, ending),
        }
        if ending.detail:
            changes["statusDetail"] = ending.detail
        if self._stage is not None:
            outputs = self._stage.outputs()
            changes["steps"] = self._stage.shown(ending)
            changes["results"] = {
                "buildStepImages": [""] * len(outputs),  # no runner knows the digest of a step's image
                "buildStepOutputs": [base64.b64encode(output).decode() for output in outputs],
            } | ({"images": self._pushed} if self._pushed else {})
        return changes


def _secret_refused(version: str, error: ApiError) -> str:
    """Return Cloud Build's message about a secret: the error as gRPC's library for Go prints it."""
    status: str = error.response_json("rpc")["error"].get("status", "UNKNOWN")
    code = status.title().replace("_", "")
    return f"failed to access secret version for secret {version}: rpc error: code = {code} desc = {error.message}"
