"""Packs the workspaces of one run. Each distinct set of files is packed once, named by its hash, and uploaded once."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Self

from builder.errors import BadInput, EnvironmentFailed
from builder.model import GcsLocation, Listed
from builder.plan.build_plan import JobPlan
from builder.plan.packing import Archive, pack
from builder.ports import ObjectStore

_FOLDER = "workspaces"


def pack_each(jobs: Iterable[JobPlan], folder: Path) -> Mapping[str, Archive]:
    """Pack each distinct set of files once into `folder`. Returns the archives by job. Raises BadInput."""
    archives: dict[int, Archive] = {}
    packed = {}
    for job in jobs:
        # Jobs with equal sets share one tuple (builder/plan/staged_files.py), so its identity identifies the set.
        if id(job.files) not in archives:
            archives[id(job.files)] = pack(job.files, folder / f"workspace-{len(archives)}.tar.gz")
        packed[job.job] = archives[id(job.files)]
    return packed


def workspace_object(location: GcsLocation, run: str, archive: Archive) -> str:
    """Return the name of an archive's object. It has the archive's hash, so jobs with the same files share it."""
    return location.object("staging", run, _FOLDER, f"{archive.sha256}.tar.gz")


def create_new(store: ObjectStore, name: str, content: bytes | Path, *, content_type: str) -> Listed:
    """Create an object of this run. Raises EnvironmentFailed if another object has the name, and CallFailed."""
    written = store.create(name, content, content_type=content_type)
    if written is None:
        raise EnvironmentFailed(
            f"Another object exists at gs://{store.bucket}/{name}.",
            reason="staging_taken",
            advice="Another run has the same id; run again under another NB_RUN_ID.",
        )
    return written


class Workspaces:
    """Packs in the background during the `with` block, in the order of the jobs.

    A job waits for its own set only. All sets are packed soon after the start, even if their jobs begin later, so that
    all jobs of a run see the same files.
    """

    def __init__(
        self, jobs: Iterable[JobPlan], *, store: ObjectStore, location: GcsLocation, run: str, folder: Path
    ) -> None:
        self._store = store
        self._location = location
        self._run = run
        self._folder = folder
        self._jobs: dict[int, JobPlan] = {}  # the first job of each set, in the order of the jobs
        for job in jobs:
            self._jobs.setdefault(id(job.files), job)
        self._packed: dict[int, Future[Archive]] = {key: Future() for key in self._jobs}
        self._uploads: dict[str, Future[Listed]] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._pack_all, name="packing", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for packed in self._packed.values():
            packed.cancel()  # archives that are not needed any more

    def of(self, job: JobPlan) -> Archive:
        """Return the job's archive when it is packed.

        Raises BadInput for an unreadable file, EnvironmentFailed on a full disk.
        """
        return self._packed[id(job.files)].result()

    def upload(self, archive: Archive) -> Listed:
        """Upload an archive, or wait for the job that uploads it. Returns the object in the bucket.

        Raises EnvironmentFailed and CallFailed in every job that waits. After a failure, the next call tries again.
        """
        name = workspace_object(self._location, self._run, archive)
        with self._lock:
            existing = self._uploads.get(name)
            upload = existing or self._uploads.setdefault(name, Future())
        if existing is None:
            self._carry_out(upload, name, archive)
        written = upload.result()
        archive.path.unlink(missing_ok=True)
        return written

    def _carry_out(self, upload: Future[Listed], name: str, archive: Archive) -> None:
        try:
            written = create_new(self._store, name, archive.path, content_type="application/gzip")
        except BaseException as error:  # raised in every job that waits
            with self._lock:
                del self._uploads[name]
            upload.set_exception(error)
            raise
        upload.set_result(written)

    def _pack_all(self) -> None:
        for number, (key, job) in enumerate(self._jobs.items()):
            if self._over.is_set():
                return
            try:
                self._packed[key].set_result(self._pack(job, number))
            except Exception as error:  # noqa: BLE001 - it is raised again in each job that has these files
                self._packed[key].set_exception(error)

    def _pack(self, job: JobPlan, number: int) -> Archive:
        try:
            return pack(job.files, self._folder / f"workspace-{number}.tar.gz")
        except BadInput:
            raise
        except OSError as error:
            raise EnvironmentFailed(
                f"The files of {job.job} cannot be packed: {error}",
                reason="no_scratch",
                advice="Give the container more room in /tmp, or set TMPDIR to a folder that has it.",
            ) from error
