"""Submits a build: reads and checks the file, packs the source, starts the build, shows its log, says how it ended."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from localcloud import temporary
from localcloud.cloudbuild.problem import Json
from localcloud.submit import packing, report
from localcloud.submit.api import BUCKET, LocalCloud, RefusedError
from localcloud.submit.follow import follow
from localcloud.submit.ignoring import BadIgnoreFileError, rules
from localcloud.submit.options import Options
from localcloud.submit.prepare import BadInputError, Submission, prepare
from localcloud.submit.signals import Interrupted, Stop

_SUCCESS, _FAILURE, _BAD_INPUT, _NO_READER = 0, 1, 2, 141


def main(options: Options, own_cloud: Callable[[], AbstractContextManager[str]]) -> int:
    """Submit a build and follow it to its end; returns the exit code.

    `own_cloud` starts a cloud of this process and yields its URL.
    """
    stop = Stop()
    try:
        return _submit(options, own_cloud, stop)
    except BadInputError as error:
        report.faults(error.faults)
        return _refused(str(error), _BAD_INPUT)
    except RefusedError as error:
        return _refused(str(error), _BAD_INPUT if error.bad_input else _FAILURE)
    except Interrupted as error:
        return 128 + error.number
    except BrokenPipeError:
        # Nobody reads on, as with `| head`. What is still buffered must not be tried again at the interpreter's end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _NO_READER


def _refused(text: str, code: int) -> int:
    report.error(text)
    return code


def _submit(options: Options, own_cloud: Callable[[], AbstractContextManager[str]], stop: Stop) -> int:
    with temporary.directory() as scratch:
        submission = prepare(options, scratch / "source")
        stop.check()
        with _cloud(options, own_cloud) as cloud:
            build = dict(submission.build)
            if submission.source:
                build["source"] = {"storageSource": _upload(cloud, submission, scratch, stop)}
            stop.check()
            created = cloud.create(build)
            build_id = created["id"]
            report.created(created, cloud.log_url(build_id), options.region)
            follow(cloud, build_id, stop)
            if stop.number is not None:
                return 128 + stop.number
            return _end(cloud.get(build_id))


def _upload(cloud: LocalCloud, submission: Submission, scratch: Path, stop: Stop) -> Json:
    archive = scratch / "source.tgz"
    name = f"source/{time.time():.6f}-{uuid.uuid4().hex}.tgz"
    folder = submission.source or Path()
    try:
        source = packing.choose(folder, rules(folder) if submission.ignoring else None)
        report.packing(source)
        stop.check()
        packing.pack(source, archive)
    except (OSError, BadIgnoreFileError) as error:
        raise BadInputError(f"the source cannot be packed: {error}") from error
    stop.check()
    report.uploading(submission.shown_source, f"gs://{BUCKET}/{name}")
    return cloud.upload(archive, name)


def _end(build: Json) -> int:
    report.finished(build)
    if build.get("status") == "SUCCESS":
        return _SUCCESS
    report.failed(build)
    return _FAILURE


@contextlib.contextmanager
def _cloud(options: Options, own_cloud: Callable[[], AbstractContextManager[str]]) -> Iterator[LocalCloud]:
    """Yield the cloud that the exported variables name, or one of our own."""
    _bypass_proxies()
    named = next(
        filter(None, map(os.environ.get, ("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBUILD", "LOCALCLOUD_URL"))),
        None,
    )
    if named is None or options.state is not None:
        with own_cloud() as url:
            yield LocalCloud(url, options.region, options.runner)
        return
    if options.docker_network is not None or options.docker_socket:
        flag = "--docker-socket" if options.docker_network is None else "--docker-network"
        raise BadInputError(
            f"{flag} is for a cloud of its own, and the exported variables name the one at {named}; "
            "give --state too, or unset LOCALCLOUD_URL and CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBUILD"
        )
    cloud = LocalCloud(named, options.region, options.runner)
    try:
        cloud.check()
    except RefusedError as error:
        raise BadInputError(
            f"{error}; start it, unset the variables that name it, or give --state"
        ) from error
    yield cloud


def _bypass_proxies() -> None:
    """Keep Google's clients from asking a proxy of the user's for what is on this machine."""
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1", "localhost")))
