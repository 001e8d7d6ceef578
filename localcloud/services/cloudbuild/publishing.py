"""The images of a build."""

from __future__ import annotations

from collections.abc import Callable

from localcloud.engines.build import RunnerError, Worker
from localcloud.services.cloudbuild.job import Ending
from localcloud.services.cloudbuild.problem import Json, part, texts
from localcloud.services.cloudbuild.state_log import BuildLog
from localcloud.services.cloudbuild.watch import EndedError


def images_of(build: Json) -> list[str]:
    """Return the names of the images that a build publishes."""
    listed = texts(build, "images") or texts(part(build, "artifacts"), "images")
    return [image for _, image in listed]


def push(worker: Worker, image: str, log: BuildLog, check: Callable[[str], None]) -> Json:
    """Push an image, and return its entry in the build's results; raises `EndedError`.

    `check` raises `RunnerError` for an image that the build's account may not push.
    """
    log.write(f"Pushing {image}")
    try:
        check(image)
        digest = worker.push(image, log.write)
    except RunnerError as error:
        raise EndedError(Ending("FAILURE", str(error))) from error
    return {"name": image, "digest": digest}
