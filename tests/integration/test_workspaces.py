"""Equal sets of files: packed once, uploaded once, named by their hash; and what happens where that fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.act.workspaces import Workspaces, pack_each, workspace_object
from builder.errors import BadInput, ExitCode
from builder.gcp.storage import GoogleObjectStore
from builder.model import Listed
from builder.plan.build_plan import Plan, ProvenBytes
from builder.ports import CallFailed
from tests.integration.cloud_fixture import BUCKET, CloudFixture, StandIn
from tests.integration.simulated_guests import green, open_session
from tests.patience import PATIENCE

NOTEBOOKS = ("a.ipynb", "b.ipynb", "c.ipynb", "d.ipynb", "e.ipynb", "f.ipynb")


class Counting(GoogleObjectStore):
    """Google's own store, which counts its creates; each waits until `go` is set."""

    created: list[str]
    go: threading.Event

    def create(self, name: str, content: bytes | Path, *, content_type: str) -> Listed | None:
        self.created.append(name)
        assert self.go.wait(PATIENCE)
        return super().create(name, content, content_type=content_type)


@pytest.fixture
def counting(cloud_fixture: CloudFixture) -> Iterator[Counting]:
    store = Counting(cloud_fixture.access(), BUCKET, cloud_fixture.time)
    store.created, store.go = [], threading.Event()
    store.go.set()
    yield store
    store.close()


def opened(plan: Plan, store: GoogleObjectStore, folder: Path, run: str) -> Workspaces:
    folder.mkdir()
    return Workspaces(plan.jobs, store=store, location=plan.location, run=run, folder=folder)


def test_notebooks_of_one_folder_are_one_archive_in_the_bucket(
    cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NOTEBOOKS)
    cloud_fixture.guests = [green]
    assert cloud_fixture.run(plan, "shared") is ExitCode.GREEN, cloud_fixture.log.getvalue() + str(
        cloud_fixture.said
    )
    prefix = f"{cloud_fixture.prefix}/staging/shared/"
    names = [item.name.removeprefix(prefix) for item in cloud_fixture.store().list(prefix)]
    (archive,) = [name for name in names if name.startswith("workspaces/")]
    assert archive == f"workspaces/{pack_each(plan.jobs, tmp_path)['a'].sha256}.tar.gz"
    for job in plan.jobs:
        inside = {name for name in names if name.startswith(f"{job.job}/")}
        assert {name for name in inside if "/attempt-" not in name} == {
            f"{job.job}/job.json",
            f"{job.job}/parameters.json",
        }
        document = json.loads(cloud_fixture.store().read(f"{prefix}{job.job}/job.json") or b"{}")
        assert document["workspace"]["object"] == prefix + archive


def test_each_set_is_packed_once(cloud_fixture: CloudFixture, tmp_path: Path, counting: Counting) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", (*NOTEBOOKS, "other/g.ipynb"))
    with opened(plan, counting, tmp_path / "packed", "once") as workspaces:
        archives = {job.job: workspaces.of(job) for job in plan.jobs}
    assert archives["a"] != archives["other-g"]
    assert all(archives[name] is archives["a"] for name in "bcdef")
    assert len(list((tmp_path / "packed").iterdir())) == 2


def test_jobs_that_stage_at_once_share_one_upload(
    cloud_fixture: CloudFixture, tmp_path: Path, counting: Counting
) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NOTEBOOKS)
    counting.go.clear()
    with (
        opened(plan, counting, tmp_path / "packed", "at-once") as workspaces,
        ThreadPoolExecutor(max_workers=len(NOTEBOOKS)) as pool,
    ):
        uploads = [pool.submit(workspaces.upload, workspaces.of(job)) for job in plan.jobs]
        counting.go.set()
        written = {upload.result() for upload in uploads}
        archive = workspaces.of(plan.jobs[0])
        assert workspaces.upload(archive) in written
    assert len(written) == 1
    assert counting.created == [workspace_object(plan.location, "at-once", archive)]
    assert not archive.path.exists()  # what is in the bucket takes no room here


def test_an_upload_that_fails_fails_for_each_job_that_waits_and_is_tried_again(
    cloud_fixture: CloudFixture, tmp_path: Path, counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NOTEBOOKS)
    cloud_fixture.fault(
        "storage.objects.insert", "error", status=403, message="no", match={"name": "*/workspaces/*.tar.gz"}
    )
    counting.go.clear()
    with (
        opened(plan, counting, tmp_path / "packed", "fails") as workspaces,
        ThreadPoolExecutor(max_workers=3) as pool,
    ):
        archive = workspaces.of(plan.jobs[0])
        waiting, ask = threading.Semaphore(0), Future.result

        def asked(upload: Future[Any], timeout: float | None = None) -> Any:
            waiting.release()
            return ask(upload, timeout)

        monkeypatch.setattr(Future, "result", asked)
        uploads = [pool.submit(workspaces.upload, archive) for _ in range(3)]
        for _ in range(2):
            assert waiting.acquire(timeout=PATIENCE), "two jobs wait for the upload of the third"
        counting.go.set()
        refused = [future.exception() for future in uploads]
        assert [type(error) for error in refused] == [CallFailed] * 3
        assert len(counting.created) == 1
        assert workspaces.upload(archive).name == workspace_object(plan.location, "fails", archive)


def test_files_that_cannot_be_packed_are_their_jobs_fault_alone(
    cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", ("here/a.ipynb", "there/b.ipynb"))
    (tmp_path / "repo/there/b.ipynb").unlink()
    cloud_fixture.guests = [green]
    assert cloud_fixture.run(plan, "gone") is ExitCode.BAD_INPUT
    summary = json.loads(
        cloud_fixture.store().read(f"{cloud_fixture.prefix}/results/gone/summary.json") or b"{}"
    )
    assert [(job["job"], job["reason"]) for job in summary["jobs"]] == [
        ("here-a", "green"),
        ("there-b", "bad_input"),
    ]
    assert "there/b.ipynb: cannot be packed" in summary["jobs"][1]["message"]
    assert len(cloud_fixture.inserted()) == 1


def test_no_part_of_a_tested_workspace_runs_if_another_part_has_changed(
    cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", ("here/a.ipynb", "there/b.ipynb"))
    packed = pack_each(plan.jobs, tmp_path)
    hashes = (packed["here-a"].sha256, "0" * 64)
    jobs = [
        replace(job, proven=ProvenBytes("k", sha256)) for job, sha256 in zip(plan.jobs, hashes, strict=True)
    ]
    with pytest.raises(BadInput, match="not what was tested"):
        cloud_fixture.run(replace(plan, jobs=tuple(jobs)), "changed")
    assert cloud_fixture.inserted() == []


def test_a_vm_that_finds_another_workspace_is_red(cloud_fixture: CloudFixture, tmp_path: Path) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_MAX_ATTEMPTS="1")

    def tampered(place: CloudFixture, machine: StandIn) -> None:
        session = open_session(place, machine)
        document: dict[str, Any] = json.loads(session.staged()["job"][0])
        session.store.replace(
            document["workspace"]["object"], b"other bytes", content_type="application/gzip"
        )
        green(place, machine)

    cloud_fixture.guests = [tampered]
    assert cloud_fixture.run(plan) is ExitCode.ENVIRONMENT_FAILED
    assert "(input_mismatch)" in cloud_fixture.log.getvalue()
