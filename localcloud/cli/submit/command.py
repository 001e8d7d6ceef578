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

from localcloud.cli import temporary
from localcloud.cli.submit import packing, report
from localcloud.cli.submit.api import COMMITS, LocalCloud, RefusedError
from localcloud.cli.submit.follow import follow
from localcloud.cli.submit.ignoring import BadIgnoreFileError, rules
from localcloud.cli.submit.options import Options
from localcloud.cli.submit.prepare import BadInputError, Submission, prepare
from localcloud.cli.submit.signals import Interrupted, Stop
from localcloud.services.cloudbuild.problem import Json

_SUCCESS, _FAILURE, _BAD_INPUT, _NO_READER = 0, 1, 2, 141


# Starts a cloud of this process, and yields its address and the token of its owner.
OwnCloud = Callable[[], AbstractContextManager[tuple[str, str]]]


def main(options: Options, own_cloud: OwnCloud) -> int:
    """Submit a build and follow it to its end; returns the exit code."""
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
        # The reader has ended, as with `| head`. The interpreter must not write the buffered rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _NO_READER


def _refused(text: str, code: int) -> int:
    report.error(text)
    return code


def _submit(options: Options, own_cloud: OwnCloud, stop: Stop) -> int:
    with temporary.directory() as scratch:
        submission = prepare(options, scratch / "source")
        stop.check()
        with _cloud(options, own_cloud) as cloud:
            build = dict(submission.build)
            if submission.source:
                build["source"] = {"storageSource": _upload(cloud, options, submission, scratch, stop)}
            stop.check()
            created = cloud.create(build)
            build_id = created["id"]
            report.created(created, cloud.log_url(build_id), options.region)
            follow(cloud, build_id, stop)
            if stop.number is not None:
                return 128 + stop.number
            return _end(cloud.get(build_id))


def _upload(cloud: LocalCloud, options: Options, submission: Submission, scratch: Path, stop: Stop) -> Json:
    archive = scratch / "source.tgz"
    url = f"{COMMITS if submission.committed else options.staging}/{time.time():.6f}-{uuid.uuid4().hex}.tgz"
    folder = submission.source or Path()
    try:
        source = packing.choose(folder, None if submission.committed else rules(folder))
        report.packing(source)
        stop.check()
        packing.pack(source, archive)
    except (OSError, BadIgnoreFileError) as error:
        raise BadInputError(f"the source cannot be packed: {error}") from error
    stop.check()
    report.uploading(submission.shown_source, url)
    if submission.committed:
        cloud.connect_repository()
    return cloud.upload(archive, url)


def _end(build: Json) -> int:
    report.finished(build)
    if build.get("status") == "SUCCESS":
        return _SUCCESS
    report.failed(build)
    return _FAILURE


@contextlib.contextmanager
def _cloud(options: Options, own_cloud: OwnCloud) -> Iterator[LocalCloud]:
    """Yield the cloud that the exported variables name, or one of our own."""
    _bypass_proxies()
    named = os.environ.get("LOCALCLOUD_URL")
    if not named or options.state is not None:
        with own_cloud() as (url, token):
            yield LocalCloud(url, token, options.region, options.runner)
        return
    own = {
        "--docker-network": options.docker_network,
        "--docker-socket": options.docker_socket,
        "--prefix": options.prefix,
    }
    if given := [flag for flag, value in own.items() if value]:
        raise BadInputError(
            f"{given[0]} applies only to a cloud that submit starts, and LOCALCLOUD_URL names {named}; "
            "give --state too, or unset LOCALCLOUD_URL"
        )
    token = os.environ.get("LOCALCLOUD_OWNER_TOKEN", "")
    cloud = LocalCloud(named, token, options.region, options.runner)
    try:
        cloud.check()
    except RefusedError as error:
        raise BadInputError(
            f"{error}; start it, unset the variables that name it, or give --state"
        ) from error
    if not token:
        raise BadInputError(
            f"LOCALCLOUD_OWNER_TOKEN is not set, and the localcloud at {named} needs it; "
            "export all variables that serve printed, or unset those that name this localcloud"
        )
    yield cloud


def _bypass_proxies() -> None:
    """Make Google's clients call this machine without the user's proxy."""
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1", "localhost")))
