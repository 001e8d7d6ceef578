"""Runs of the image as a step of a build, against a local cloud in a closed network."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from tests.e2e.builder_process import notebook
from tests.image.closed_cloud import BUCKET, ROOT, ClosedCloud
from tests.image.steps import Ended, Steps

BEYOND_ANY_DEADLINE = 4 * 3600
LONG = notebook("print('at work', flush=True)\nimport time\ntime.sleep(600)")
QUICK = notebook("open('outputs/said.txt', 'w').write('quick')")


def settings(prefix: str = "image") -> dict[str, str]:
    """Return the variables that a build sets for its step, with a new build id."""
    return {
        "BUILD_ID": str(uuid.uuid4()),
        "PROJECT_ID": "local-project",
        "LOCATION": "us-central1",
        "NB_GCS_LOCATION": f"gs://{BUCKET}/{prefix}",
        "NB_VM_SERVICE_ACCOUNT": "notebook-vm@local-project.iam.gserviceaccount.com",
    }


def repo(folder: Path, text: str) -> Path:
    """A folder with one notebook, demo.ipynb."""
    folder.mkdir()
    (folder / "demo.ipynb").write_text(text)
    return folder


def assert_green(cloud: ClosedCloud, ended: Ended, run: str) -> None:
    """The exit code, the verdict, the results in the bucket, and nothing left behind."""
    assert ended.code == 0, ended.output
    assert "GREEN" in ended.output, ended.output
    results = cloud.objects(f"image/results/{run}/")
    assert f"image/results/{run}/summary.json" in results
    assert [name for name in results if name.endswith("/result.json")]
    assert not [name for name in results if name.endswith("/FAILED")]
    assert cloud.vms() == []
    assert cloud.objects("image/open/") == []


def test_example_is_green(steps: Steps, cloud: ClosedCloud) -> None:
    steps.workspace(ROOT / "examples/bike-share")
    given = settings()
    ended = steps.run(**given)
    assert_green(cloud, ended, given["BUILD_ID"])
    names = cloud.objects(f"image/results/{given['BUILD_ID']}/demo/")
    for wanted in ("demo.ipynb", "demo.html", "demo-clean.html", "outputs/stations.csv"):
        assert [name for name in names if name.endswith(f"/{wanted}")], names


def test_check_finds_everything_in_place(steps: Steps, tmp_path: Path) -> None:
    steps.workspace(repo(tmp_path / "repo", QUICK))
    ended = steps.run("check", NB_NOTEBOOKS="demo.ipynb", **settings())
    assert ended.code == 0, ended.output
    assert "FAIL" not in ended.output


def test_broken_notebook_is_red_and_says_where(steps: Steps, cloud: ClosedCloud, tmp_path: Path) -> None:
    broken = notebook("trip = {'start_station': 'Pier 39'}", "trip['start_staton']")
    steps.workspace(repo(tmp_path / "repo", broken))
    given = settings()
    ended = steps.run(NB_NOTEBOOKS="demo.ipynb", **given)
    assert ended.code == 1, ended.output
    assert "cell 2 of 2 failed: KeyError: 'start_staton'" in ended.output
    assert [name for name in cloud.objects(f"image/results/{given['BUILD_ID']}/") if name.endswith("/FAILED")]
    assert cloud.vms() == []


def test_sigterm_deletes_the_vm(steps: Steps, cloud: ClosedCloud, tmp_path: Path) -> None:
    steps.workspace(repo(tmp_path / "repo", LONG))
    given = settings()
    running = steps.start(NB_NOTEBOOKS="demo.ipynb", **given)
    cloud.until_heartbeat(given["BUILD_ID"])
    (name,) = cloud.vms()
    running.stop()
    ended = running.end()
    assert ended.code == 143, ended.output
    assert name in ended.output
    assert "Traceback" not in ended.output
    cloud.until_no_vms()


def test_sigkill_leaves_a_vm_that_its_deadline_removes_and_the_next_run_tells_of(
    steps: Steps, cloud: ClosedCloud, tmp_path: Path
) -> None:
    folder = repo(tmp_path / "repo", LONG)
    (folder / "quick.ipynb").write_text(QUICK)
    steps.workspace(folder)
    given = settings()
    running = steps.start(NB_NOTEBOOKS="demo.ipynb", **given)
    cloud.until_heartbeat(given["BUILD_ID"])
    (name,) = cloud.vms()
    running.kill()
    assert running.end().code == 137
    assert cloud.vms() == [name]
    cloud.advance(BEYOND_ANY_DEADLINE)
    cloud.until_no_vms()
    again = settings()
    ended = steps.run(NB_NOTEBOOKS="quick.ipynb", **again)
    assert f"ended without deleting its VM {name} in us-central1-" in ended.output
    assert_green(cloud, ended, again["BUILD_ID"])


@pytest.mark.parametrize(
    ("options", "workdir"),
    [
        (("--read-only", "--tmpfs", "/tmp"), "/workspace"),
        ((), "/workspace/sub/project"),
        (("--read-only", "--tmpfs", "/tmp", "--user", "1234:1234", "--cap-drop", "ALL"), "/workspace"),
    ],
    ids=["read-only", "another folder", "another user, read-only"],
)
def test_other_conditions(
    steps: Steps, cloud: ClosedCloud, tmp_path: Path, options: tuple[str, ...], workdir: str
) -> None:
    inside = tmp_path / "repo" / workdir.removeprefix("/workspace").lstrip("/")
    inside.parent.mkdir(parents=True, exist_ok=True)
    repo(inside, QUICK)
    steps.workspace(tmp_path / "repo")
    given = settings()
    metadata = cloud.variables_of_other_users() if "--user" in options else {}
    ended = steps.run(options=options, workdir=workdir, NB_NOTEBOOKS="demo.ipynb", **given, **metadata)
    assert_green(cloud, ended, given["BUILD_ID"])
