"""What a successful build leaves behind: images, objects and their manifest; and where its log goes."""

from __future__ import annotations

import base64
import hashlib
import json
import mimetypes
from collections.abc import Callable
from pathlib import Path

from localcloud.cloudbuild.job import Ending, Job
from localcloud.cloudbuild.objects import ObjectError, Objects, Place
from localcloud.cloudbuild.problem import Json, part, text, texts
from localcloud.cloudbuild.runner import Room, RunnerError
from localcloud.cloudbuild.views import span
from localcloud.cloudbuild.watch import EndedError

_OTHER_TYPE = "application/octet-stream"
_MD5 = 2  # Hash.HashType, which the manifest has as a number
_NO_BUCKET_LOG = frozenset({"STACKDRIVER_ONLY", "CLOUD_LOGGING_ONLY", "NONE"})


def log_place(build: Json) -> Place | None:
    """Return the object that becomes a build's log; None when its log is to go elsewhere, or nowhere of the user's."""
    where = text(build, "logsBucket").removeprefix("gs://")
    if not where or where.endswith(".googleusercontent.com"):
        return None
    if text(part(build, "options"), "logging") in _NO_BUCKET_LOG:
        return None
    bucket, _, folder = where.partition("/")
    return Place(bucket, f"{folder.rstrip('/')}/log-{build['id']}.txt".lstrip("/"))


class Publisher:
    """Pushes a build's images and uploads its artifacts, as its account.

    `now` gives seconds since the epoch; `check` raises when the build has been stopped meanwhile.
    """

    def __init__(
        self, job: Job, objects: Objects, *, now: Callable[[], float], check: Callable[[], None]
    ) -> None:
        self._job = job
        self._objects = objects
        self._now = now
        self._check = check
        self._log = job.record.log
        self._build = job.record.view()

    def wanted(self) -> bool:
        """Say whether there is anything to do."""
        return bool(self._images() or part(self._build, "artifacts").get("objects"))

    def publish(self, room: Room) -> Json:
        """Do it; returns fields of the build's results. Raises `EndedError`."""
        results: Json = {}
        if images := self._images():
            results["images"] = [self._push(room, image) for image in images]
        if wanted := part(self._build, "artifacts").get("objects"):
            results |= self._upload(room, wanted)
        return results

    def _images(self) -> list[str]:
        listed = texts(self._build, "images") or texts(part(self._build, "artifacts"), "images")
        return [image for _, image in listed]

    def _push(self, room: Room, image: str) -> Json:
        self._check()
        started = self._now()
        self._log.write(f"Pushing {image}")
        try:
            digest = room.push(image, self._log.write)
        except RunnerError as error:
            raise EndedError(Ending("FAILURE", str(error), "PUSH_FAILED")) from error
        return {"name": image, "digest": digest, "pushTiming": span(started, self._now())}

    def _upload(self, room: Room, wanted: Json) -> Json:
        started = self._now()
        location = wanted["location"].rstrip("/") + "/"
        bucket, _, prefix = location.removeprefix("gs://").partition("/")
        self._log.write(f"Artifacts will be uploaded to {location} using the build's service account")
        lines: list[str] = []
        for path in self._files(room, wanted["paths"]):
            self._log.write(f"Uploading path {path.name}....")
            content = path.read_bytes()
            kind = mimetypes.guess_type(path.name)[0] or _OTHER_TYPE
            place = self._put(Place(bucket, prefix + path.name), content, kind)
            lines.append(json.dumps({"location": str(place), "file_hash": [_md5(content)]}))
        manifest = Place(bucket, f"{prefix}artifacts-{self._build['id']}.json")
        self._log.write(f"Uploading manifest {manifest.name}")
        self._put(manifest, "".join(f"{line}\n" for line in lines).encode(), "application/json")
        return {
            "artifactManifest": str(manifest),
            "numArtifacts": str(len(lines)),
            "artifactTiming": span(started, self._now()),
        }

    def _files(self, room: Room, patterns: list[str]) -> list[Path]:
        found: list[Path] = []
        for pattern in patterns:
            files = room.collect(pattern)
            if not files:
                detail = f'artifacts.objects: no file in /workspace matches the path "{pattern}"'
                raise EndedError(Ending("FAILURE", detail, "PUSH_FAILED"))
            found += files
        return found

    def _put(self, place: Place, content: bytes, kind: str) -> Place:
        self._check()
        try:
            return self._objects.upload(self._job.account, place, content, kind)
        except ObjectError as error:
            detail = f"error uploading artifact {place}: {error}"
            raise EndedError(Ending("FAILURE", detail, "PUSH_FAILED")) from error


def _md5(content: bytes) -> Json:
    digest = hashlib.md5(content, usedforsecurity=False).digest()
    return {"file_hash": [{"type": _MD5, "value": base64.b64encode(digest).decode()}]}
