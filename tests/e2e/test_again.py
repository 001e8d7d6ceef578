"""Runs after runs: into the same place, with the same id, from a sub-folder; and results that get lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from localcloud.cloud import Cloud
from tests.e2e.shared_run import PATIENCE, run_patiently
from tests.e2e.world import BUCKET, Builder, Finished, Repo, notebook

pytestmark = [pytest.mark.slow, pytest.mark.timeout(PATIENCE + 20)]

RIDES = "open('outputs/rides.csv', 'w').write('day,rides')"


def folder(done: Finished, *parts: str) -> dict[str, bytes]:
    """Content by relative name of a folder in the run's bucket."""
    top = done.bucket.joinpath(done.prefix, *parts)
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def test_a_second_run_into_the_same_place(builder: Builder, repo: Repo) -> None:
    """A red one never replaces a green one; a green one leaves nothing of the older; an id that is taken gets a suffix."""
    repo.write({"sub/keep.ipynb": notebook(RIDES), "sub/renew.ipynb": notebook("x = 1", RIDES)})
    builder.folder = repo.folder / "sub"  # where a build's step may stand
    options = {
        "NB_NOTEBOOKS": "keep.ipynb,renew.ipynb",
        "NB_EVENT": '{"today": "2026-07-01"}',
        "NB_RUN_ID": "again",
    }
    first = builder.run(**options)
    assert first.code == 0, first.output
    version = folder(first, "versions", "2026-07-01")
    assert {
        "sub-keep/outputs/rides.csv",
        "sub-renew/outputs/rides.csv",
        "sub-renew/result.json",
    } <= version.keys()

    repo.write({"sub/keep.ipynb": notebook(RIDES, "1 / 0"), "sub/renew.ipynb": notebook("print('new')")})
    second = builder.run(**options)
    assert second.code == 1, second.output
    assert "run again-2 in project" in second.output
    after = folder(second, "versions", "2026-07-01")
    kept = {name for name in version if name.startswith("sub-keep/")}
    assert {name: after[name] for name in kept} == {name: version[name] for name in kept}
    assert "sub-keep/FAILED" not in after
    assert "sub-renew/outputs/rides.csv" not in after
    assert b"new" in after["sub-renew/renew.ipynb"]
    assert json.loads(after["sub-renew/result.json"])["run"] == "again-2"
    red = folder(second, "results", "again-2")
    assert {"sub-keep/FAILED", "sub-keep/keep.ipynb", "summary.json"} <= red.keys()
    assert json.loads(red["summary.json"])["jobs"][0]["output"].endswith("/results/again-2/sub-keep/")


def fault(name: str, action: str, **arguments: Any) -> dict[str, Any]:
    return {
        "method": "storage.objects.insert",
        "match": {"name": f"*/attempt-1/{name}"},
        "action": action,
        "args": arguments,
    }


LOSSES = {
    "lost": (fault("outputs/lost.csv", "lose"), "object_missing", "outputs/lost.csv was uploaded but is not"),
    "cut": (
        fault("outputs/cut.csv", "truncate", bytes=3),
        "object_differs",
        "outputs/cut.csv in Cloud Storage",
    ),
}


@pytest.fixture
def lossy(tmp_path: Path) -> Any:
    plan = [spec for spec, _, _ in LOSSES.values()]
    with Cloud(tmp_path / "lossy", buckets=[BUCKET], faults=plan) as cloud:
        yield cloud
        assert all(spec["consumed"] for spec in cloud.inventory()["faults"])


def test_results_that_are_not_in_the_bucket_are_no_results(lossy: Cloud, repo: Repo) -> None:
    """Each job's first attempt loses something on the way; one job may try again and is green then."""
    repo.write(
        {f"{name}.ipynb": notebook(f"open('outputs/{name}.csv', 'w').write('day,rides')") for name in LOSSES}
        | {"notebooks.yaml": "max_attempts: 1\nnotebooks:\n- path: cut.ipynb\n"
           "- {path: lost.ipynb, max_attempts: 2}\n"}
    )  # fmt: skip
    done = run_patiently(Builder(lossy, repo.folder))
    assert done.code == 6, done.output
    _, reason, says = LOSSES["cut"]
    job = done.job("cut")
    assert (job["verdict"], job["exit_code"], job["reason"]) == ("red", 6, reason), job
    assert says in job["message"]
    assert LOSSES["lost"][2] in done.output
    assert (done.job("lost")["verdict"], done.job("lost")["attempts"]) == ("green", 2)
    assert done.published("lost")["outputs/lost.csv"] == b"day,rides"
