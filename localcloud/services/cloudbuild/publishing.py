"""The outputs of a build: its images, and the place of its log."""

from __future__ import annotations

from collections.abc import Callable

from localcloud.core.objects import Place
from localcloud.engines.build import RunnerError, Worker
from localcloud.services.cloudbuild.job import Ending
from localcloud.services.cloudbuild.problem import Json, part, text, texts
from localcloud.services.cloudbuild.state_log import BuildLog
from localcloud.services.cloudbuild.views import span
from localcloud.services.cloudbuild.watch import EndedError

_NO_BUCKET_LOG = frozenset({"STACKDRIVER_ONLY", "CLOUD_LOGGING_ONLY", "NONE"})


def log_place(build: Json) -> Place | None:
    """Return the object for a build's log; None if the log does not go to a bucket of the user."""
    where = text(build, "logsBucket").removeprefix("gs://")
    if not where or where.endswith(".googleusercontent.com"):
        return None
    if text(part(build, "options"), "logging") in _NO_BUCKET_LOG:
        return None
    bucket, _, folder = where.partition("/")
    return Place(bucket, f"{folder.rstrip('/')}/log-{build['id']}.txt".lstrip("/"))


def images_of(build: Json) -> list[str]:
    """Return the names of the images that a build publishes."""
    listed = texts(build, "images") or texts(part(build, "artifacts"), "images")
    return [image for _, image in listed]


def push(worker: Worker, image: str, log: BuildLog, now: Callable[[], float]) -> Json:
    """Push an image, and return its entry in the build's results; `now` gives seconds since the epoch.

    Raises `EndedError`.
    """
    started = now()
    log.write(f"Pushing {image}")
    try:
        digest = worker.push(image, log.write)
    except RunnerError as error:
        raise EndedError(Ending("FAILURE", str(error), "PUSH_FAILED")) from error
    return {"name": image, "digest": digest, "pushTiming": span(started, now())}
