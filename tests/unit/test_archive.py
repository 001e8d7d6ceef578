"""The archive that goes live, and a run of it: what was tested, all of it and nothing else."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder import kit
from builder.act import staging
from builder.act.proofs import Proof
from builder.deploy.archive import pack_archive
from builder.deploy.export_options import exported_options
from builder.errors import BadInput, BuilderError, Problem
from builder.options import Options
from builder.options.table import OPTIONS
from builder.plan.build_plan import ChosenNotebook, JobPlan, Plan, build_plan
from builder.plan.choose import choose
from builder.plan.deployed import CONFIG, MANIFEST, NO_EVENT, as_proven, open_workspace
from builder.plan.event import RunRequest
from builder.plan.packing import Archive, MadeFile, StagedFile, pack
from builder.plan.workspace import Workspace
from localcloud.core import archives
from tests.loading import load_options
from tests.unit.git_repo import git, repository
from tests.unit.good_attempt import code, notebook_json

ENV = {
    "NB_GCS_LOCATION": "gs://nb-test/ci",
    "NB_VM_SERVICE_ACCOUNT": "notebook-vm@local-project.iam.gserviceaccount.com",
}
FILE = """
timeout: 77
notebooks:
- path: sub/a.ipynb
  parameters_file: sub/p.json
  setup: sub/setup.sh
  requirements: shared/r.txt
  include: sub/*.csv,shared/*.py
  parameters: {matrix: {days: [7, 30]}}
- path: b.ipynb
"""
IMAGE = "projects/my-images/global/images/nb-v20260701"
KIT = "ab" * 32
REQUEST = RunRequest(dt.date(2026, 7, 1), dt.date(2026, 7, 1))


def book(source: str, *tags: str) -> str:
    return json.dumps(notebook_json(code(0, source, *tags)))


FILES = {
    "notebooks.yaml": FILE,
    "sub/a.ipynb": book("days = 1\ncity = ''", "parameters"),
    "sub/p.json": '{"city": "1e3"}',
    "sub/data.csv": "a,b\n",
    "sub/setup.sh": "echo\n",
    "sub/outputs/old.txt": "never staged",
    "shared/r.txt": "alpha\n",
    "shared/lib.py": "x = 1\n",
    "shared/other.txt": "of no notebook",
    "b.ipynb": book("1"),
}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = repository(tmp_path / "repo")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "sub/setup.sh").chmod(0o755)
    (folder / "sub/link.csv").symlink_to("data.csv")
    git(folder, "add", "--force", "--all")
    return folder


def load(folder: Path, command: str = "run", **env: str) -> Options:
    def read(name: str) -> str | None:
        path = folder / name
        return path.read_text() if path.is_file() else None

    return load_options(command.split(), {**ENV, **env}, read)


def planned(options: Options, folder: Path) -> tuple[Plan, Sequence[ChosenNotebook]]:
    """As builder.commands.plan does it, but for the kit."""
    workspace = open_workspace(options, folder)
    chosen = choose(options, workspace, REQUEST)
    return as_proven(build_plan(options, chosen, REQUEST), workspace), chosen


def prepared(job: JobPlan, folder: Path) -> staging.StagedInput:
    folder.mkdir(exist_ok=True)
    archive = pack(job.files, folder / f"{job.job}.tar.gz")
    return staging.prepare(job, archive, run="r", location=load(folder, NB_NOTEBOOKS="x.ipynb").gcs_location)


def proofs(plan: Plan, folder: Path) -> dict[str, Proof]:
    return {
        job.job: Proof(
            inputs="i",
            run="run-1",
            job=job.job,
            notebook=job.notebook.path,
            build=None,
            commit=None,
            kit=KIT,
            workspace_sha256=prepared(job, folder).workspace.sha256,
            image=IMAGE,
            packages=(f"alpha==1.{number}",),
            summary="summary.json",
            summary_generation=1,
        )
        for number, job in enumerate(plan.jobs)
    }


def packed(repo: Path, target: Path, **env: str) -> Archive:
    options = load(repo, **env)
    plan, chosen = planned(options, repo)
    target.mkdir(exist_ok=True)
    return pack_archive(plan, chosen, options, proofs(plan, target), KIT, target)


def content(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    assert file is not None
    return file.read()


@pytest.fixture
def unpacked(repo: Path, tmp_path: Path) -> Path:
    """The archive of the repo, unpacked elsewhere; the repo is gone."""
    archive = packed(repo, tmp_path / "archive")
    folder = tmp_path / "unpacked"
    with tarfile.open(archive.path) as tar:
        archives.unpack(tar, folder)
    shutil.rmtree(repo)
    return folder


def deployed(folder: Path, **env: str) -> Plan:
    return planned(load(folder, NB_CONFIG=CONFIG, NB_EVENT="{}", **env), folder)[0]


def refused(folder: Path, **env: str) -> Sequence[Problem]:
    with pytest.raises(BadInput) as caught:
        deployed(folder, **env)
    return caught.value.problems


def test_an_archive_has_each_staged_file_once_and_its_own_two_files(repo: Path, tmp_path: Path) -> None:
    archive = packed(repo, tmp_path / "one")
    with tarfile.open(archive.path) as tar:
        assert tar.getnames() == [
            ".notebook-builder/manifest.json", ".notebook-builder/notebooks.json", "b.ipynb", "notebooks.yaml",
            "shared/lib.py", "shared/other.txt", "shared/r.txt", "sub/a.ipynb", "sub/data.csv", "sub/link.csv", "sub/outputs/old.txt",
            "sub/p.json", "sub/setup.sh",
        ]  # fmt: skip
        manifest = json.loads(content(tar, MANIFEST))
        assert {one.name for one in tar if one.mode & 0o111} == {"sub/setup.sh"}
        assert all(one.isfile() for one in tar)
    assert (manifest["schema"], manifest["kit"]) == (1, KIT)
    assert manifest["notebooks"]["sub/a.ipynb"]["files"] == [
        "shared/lib.py", "shared/r.txt", "sub/a.ipynb", "sub/data.csv", "sub/link.csv", "sub/p.json", "sub/setup.sh"
    ]  # fmt: skip
    assert {name: job["packages"] for name, job in manifest["jobs"].items()} == {
        "b": ["alpha==1.0"],
        "sub-a-days-7": ["alpha==1.1"],
        "sub-a-days-30": ["alpha==1.2"],
    }
    (repo / "shared/other.txt").touch()
    again = packed(repo, tmp_path / "two")
    assert (again.sha256, again.size) == (archive.sha256, archive.size)
    assert archive.size == archive.path.stat().st_size


def test_outputs_of_a_committed_notebook_are_not_in_the_archive(repo: Path, tmp_path: Path) -> None:
    archive = packed(repo, tmp_path / "one")
    executed = json.loads((repo / "b.ipynb").read_text())
    executed["cells"][0].update(
        outputs=[{"output_type": "stream", "name": "stdout", "text": "stale"}], execution_count=7
    )
    (repo / "b.ipynb").write_text(json.dumps(executed))
    assert packed(repo, tmp_path / "two").sha256 == archive.sha256


def test_the_archive_plans_the_same_jobs_over_the_same_bytes(repo: Path, tmp_path: Path) -> None:
    options = load(repo)
    before, _ = planned(options, repo)
    target = tmp_path / "archive"
    archive = packed(repo, target)
    folder = tmp_path / "unpacked"
    with tarfile.open(archive.path) as tar:
        archives.unpack(tar, folder)
    after = deployed(folder)
    assert [job.job for job in after.jobs] == [job.job for job in before.jobs]
    for old, new, packages in zip(before.jobs, after.jobs, ("1.0", "1.1", "1.2"), strict=True):
        assert prepared(new, tmp_path / "new").workspace.sha256 == prepared(old, target).workspace.sha256
        assert new.frozen == (f"alpha=={packages}",)
        assert new.image.path == IMAGE
        assert new.options == exported_options(old.options, image=IMAGE, preparation=old.preparation)
        same = replace(new, options=old.options, files=old.files, frozen=(), proven=None)
        assert same == old
    told = json.loads(prepared(after.jobs[1], tmp_path / "new").job)
    assert told["requirements"]["frozen"] == ["alpha==1.1"]
    assert json.loads(prepared(before.jobs[1], tmp_path / "new").job)["requirements"]["frozen"] is None


def test_from_a_folder_below_paths_become_the_repositorys(repo: Path, tmp_path: Path) -> None:
    options = load(repo / "sub", NB_NOTEBOOKS="a.ipynb", NB_SETUP="setup.sh", NB_PARAMETERS="{days: 7}")
    plan, chosen = planned(options, repo / "sub")
    target = tmp_path / "archive"
    target.mkdir()
    archive = pack_archive(plan, chosen, options, proofs(plan, target), KIT, target)
    with tarfile.open(archive.path) as tar:
        archives.unpack(tar, tmp_path / "unpacked")
    (job,) = deployed(tmp_path / "unpacked").jobs
    assert (job.job, job.preparation.setup) == ("sub-a", "sub/setup.sh")


def test_other_files_beside_do_not_count(unpacked: Path) -> None:
    for name in ("sub/new.csv", "new.ipynb", "sub/outputs/more.txt"):
        (unpacked / name).write_text("new")
    git(unpacked.parent, "init", "-q")  # a repository around it, too
    git(unpacked.parent, "add", "--force", "unpacked/sub/new.csv")
    plan = deployed(unpacked)
    assert [job.notebook.path for job in plan.jobs] == ["b.ipynb", "sub/a.ipynb", "sub/a.ipynb"]
    assert not {file.path for job in plan.jobs for file in job.files} & {"sub/new.csv", "new.ipynb"}


def test_a_job_that_a_message_made_has_its_notebooks_proof(unpacked: Path) -> None:
    plan = deployed(unpacked, NB_NOTEBOOKS="sub/a.ipynb", NB_PARAMETERS='{"matrix": {"days": [1, 2]}}')
    assert [job.job for job in plan.jobs] == ["sub-a-days-1", "sub-a-days-2"]
    assert {job.frozen for job in plan.jobs} == {("alpha==1.2",)}
    assert all(job.proven for job in plan.jobs)


def test_a_job_of_the_same_name_but_of_another_notebook_proves_nothing(unpacked: Path) -> None:
    edit(unpacked, lambda found: found["jobs"]["b"].update(notebook="sub/a.ipynb"))
    (problem,) = refused(unpacked)
    assert problem.expected == "names no job of b.ipynb; this is not what was tested"


CHANGES: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "changed": (lambda at: (at / "sub/data.csv").write_text("a,c\n"), "sub/data.csv", "has changed since"),
    "missing": (lambda at: (at / "shared/lib.py").unlink(), "shared/lib.py", "cannot be read (No such file"),
    "notebook missing": (lambda at: (at / "b.ipynb").unlink(), "b.ipynb", "cannot be read (No such file"),
    "options changed": (
        lambda at: (at / CONFIG).write_text((at / CONFIG).read_text().replace("77", "78")),
        CONFIG,
        "has changed since",
    ),
    "manifest missing": (lambda at: (at / MANIFEST).unlink(), "NB_CONFIG", "go with .notebook-builder/manifest.json"),
    "no manifest": (lambda at: (at / MANIFEST).write_text("[]"), MANIFEST, "is no manifest that this version reads"),
    "later manifest": (
        lambda at: (at / MANIFEST).write_text((at / MANIFEST).read_text().replace('"schema": 1', '"schema": 2')),
        MANIFEST,
        "is no manifest that this version reads",
    ),
    "without jobs": (lambda at: edit(at, lambda found: found.update(jobs={})), MANIFEST, "names no job of"),
}  # fmt: skip


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    found = json.loads((folder / MANIFEST).read_text())
    change(found)
    (folder / MANIFEST).write_text(json.dumps(found))


@pytest.mark.parametrize(("change", "place", "words"), CHANGES.values(), ids=CHANGES)
def test_an_archive_that_was_not_tested_is_refused(
    unpacked: Path, change: Callable[[Path], Any], place: str, words: str
) -> None:
    change(unpacked)
    (problem,) = refused(unpacked)
    assert (problem.variable, words in problem.expected) == (place, True), problem
    assert "this is not what was tested" in problem.expected or place == "NB_CONFIG"


def test_other_notebooks_and_files_are_refused(unpacked: Path) -> None:
    (unpacked / "new.ipynb").write_text(FILES["b.ipynb"])
    (problem,) = refused(unpacked, NB_NOTEBOOKS="new.ipynb")
    assert problem.expected == "is no notebook of the archive; this is not what was tested"
    (problem,) = refused(unpacked, NB_NOTEBOOKS="b.ipynb", NB_INCLUDE="shared/**")
    assert (problem.variable, problem.value) == ("NB_INCLUDE", "shared/**")
    (problem,) = refused(unpacked, NB_NOTEBOOKS="sub/a.ipynb", NB_SETUP="shared/other.txt")
    assert problem.expected == "was not staged with sub/a.ipynb; this is not what was tested"
    (problem,) = refused(unpacked, NB_NOTEBOOKS="new/*.ipynb")
    assert "matches no notebook" in problem.expected


def test_another_workspace_is_refused_before_it_is_staged(unpacked: Path, tmp_path: Path) -> None:
    """The x-bit is no byte of any file, but of what is packed."""
    (unpacked / "sub/data.csv").chmod(0o755)
    job = deployed(unpacked).jobs[1]
    with pytest.raises(BadInput, match=r"sub/a.ipynb: its files are packed as .* not what was tested"):
        prepared(job, tmp_path / "new")


def test_another_kit_is_refused(unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = deployed(unpacked)
    own = kit.Kit("cd" * 32, {})
    monkeypatch.setattr(kit, "load", lambda: own)
    with pytest.raises(
        BadInput, match=r"tested with kit abababababab…, but this builder has kit cdcdcdcdcdcd…"
    ):
        staging.check_kit(plan)
    monkeypatch.setattr(kit, "load", lambda: replace(own, sha256=KIT))
    assert staging.check_kit(plan) is plan
    monkeypatch.setattr(kit, "load", lambda: pytest.fail("no kit is asked for"))
    free = replace(plan, jobs=tuple(replace(job, proven=None) for job in plan.jobs))
    assert staging.check_kit(free) is free


def test_requirements_need_a_kit_with_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit, "load", lambda: kit.Kit("cd" * 32, {}))
    assert staging.load_kit().sha256 == "cd" * 32
    with pytest.raises(BuilderError, match="the kit has no uv") as caught:
        staging.load_kit(uv=True)
    assert caught.value.reason == "kit_missing"


def test_the_folders_name_is_taken(repo: Path, tmp_path: Path) -> None:
    (repo / ".notebook-builder").mkdir()
    (repo / ".notebook-builder/mine.txt").write_text("x")
    with pytest.raises(
        BadInput, match=r"^\.notebook-builder/mine\.txt: would be staged, and an archive"
    ) as caught:
        packed(repo, tmp_path / "archive", NB_INCLUDE="**")
    assert len(caught.value.problems) == 1
    options = replace(load(repo), command="deploy")
    assert open_workspace(options, repo / "sub")
    git(repo, "add", "--force", "--all")
    with pytest.raises(BadInput, match=r"^\.notebook-builder: is tracked by git, but `deploy` stores"):
        open_workspace(options, repo / "sub")
    assert open_workspace(load(repo), repo)


def test_jobs_of_one_notebook_have_one_image(repo: Path, tmp_path: Path) -> None:
    options = load(repo)
    plan, chosen = planned(options, repo)
    proven = proofs(plan, tmp_path)
    proven["sub-a-days-7"] = replace(proven["sub-a-days-7"], image="projects/p/global/images/older")
    with pytest.raises(
        BadInput, match=r"sub/a.ipynb: its jobs were proven with different images, "
    ) as caught:
        pack_archive(plan, chosen, options, proven, KIT, tmp_path)
    assert len(caught.value.problems) == 1


def nested(levels: int) -> Any:
    return [nested(levels - 1)] if levels else 1


def test_values_that_a_file_cannot_express_are_reported_before_going_live(repo: Path, tmp_path: Path) -> None:
    """JSON in a variable may have a few levels more than the file that it is written into."""
    one = {"NB_NOTEBOOKS": "sub/a.ipynb", "NB_INCLUDE": "shared/*.py"}
    assert packed(repo, tmp_path / "fits", NB_PARAMETERS=json.dumps({"city": nested(30)}), **one).size
    with pytest.raises(BadInput, match=r"notebooks\.json line [0-9]+, column [0-9]+: at most 40 levels"):
        packed(repo, tmp_path / "deep", NB_PARAMETERS=json.dumps({"city": nested(38)}), **one)


def test_options_that_cannot_be_restored_are_reported(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from builder.deploy import export_options

    fewer = tuple(option for option in OPTIONS if option.name != "timeout")
    monkeypatch.setattr(export_options, "OPTIONS", fewer)
    with pytest.raises(
        BadInput, match=r"b\.ipynb: cannot be exported as it was tested: timeout would differ"
    ):
        packed(repo, tmp_path / "archive")


def test_bytes_are_packed_beside_files(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"on disk")
    on_disk = StagedFile("b", tmp_path / "b", 7, executable=False)
    made = [MadeFile("c", b"made"), MadeFile("a", b"")]
    one = pack([*made, on_disk], tmp_path / "one")
    two = pack([on_disk, *made[::-1]], tmp_path / "two")
    assert one.sha256 == two.sha256
    assert pack([*made, MadeFile("b", b"on disk")], tmp_path / "three").sha256 == one.sha256
    with tarfile.open(one.path) as tar:
        found = {entry.name: content(tar, entry.name) for entry in tar}
    assert found == {"a": b"", "b": b"on disk", "c": b"made"}


def test_a_workspace_without_an_archives_settings_is_the_folder(repo: Path) -> None:
    assert type(open_workspace(load(repo), repo)) is Workspace


def test_an_archive_runs_for_an_event_alone(unpacked: Path) -> None:
    """Without one, it would run CI's parameters over the day's results, holding no event, as often at once as asked."""
    with pytest.raises(BadInput) as caught:
        open_workspace(load(unpacked, NB_CONFIG=CONFIG), unpacked)
    assert [str(problem) for problem in caught.value.problems] == [f"NB_EVENT: {NO_EVENT}"]
    blank = {"NB_EVENT": " \n", "NB_CONFIG": CONFIG}  # as an unset one
    with pytest.raises(BadInput, match="NB_EVENT"):
        open_workspace(load(unpacked, **blank), unpacked)
    for command in ("plan", "check"):
        open_workspace(load(unpacked, command, NB_CONFIG=CONFIG), unpacked)
