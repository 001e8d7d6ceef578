"""Queries of `%%bigquery` that BigQuery refuses, sent from VMs: red in BigQuery's words, or green and in the log."""

from __future__ import annotations

import json

import pytest
import yaml

from localcloud.cloud import Cloud
from tests.e2e.builder_process import Builder, Finished, Repo, notebook
from tests.e2e.shared_run import once

TABLE = "`bigquery-public-data.san_francisco_bikeshare.bikeshare_trips`"
LOAD = "%load_ext bigquery_magics"
UNKNOWN_COLUMN = f"%%bigquery rides --use_rest_api\nSELECT trip.subscriber_typ\nFROM {TABLE} AS trip\nLIMIT 1"
SYNTAX_ERROR = f"%%bigquery rides --use_rest_api\nSELEC trip_id FROM {TABLE}"
COUNT = f"%%bigquery rides --use_rest_api\nSELECT COUNT(*) AS trips FROM {TABLE}"
# What localcloud's BigQuery answers to each.
NO_COLUMN = "Name subscriber_typ not found inside trip at [1:13]"
NO_STATEMENT = 'Syntax error: Unexpected identifier "SELEC"'

# Each job's queries, its NB_FAIL_ON (None: the default), and the verdict.
JOBS: dict[str, tuple[tuple[str, ...], str | None, str]] = {
    "column": ((UNKNOWN_COLUMN,), None, "red"),
    "syntax": ((SYNTAX_ERROR,), None, "red"),
    "allowed": ((COUNT, UNKNOWN_COLUMN), "none", "green"),
}
pytestmark = pytest.mark.exhaustive  # tests/vm/test_silent_failures.py shows the rule without BigQuery


@pytest.fixture
def queries(shared_cloud: Cloud, repo: Repo, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The run of all jobs."""

    def make() -> Finished:
        jobs = [
            {"path": f"{name}.ipynb"} | ({} if fail_on is None else {"fail_on": fail_on})
            for name, (_, fail_on, _) in JOBS.items()
        ]
        image = "pytorch-2-9-cu129-ubuntu-2404-nvidia-580"
        config = {"image_family": image, "max_attempts": 1, "notebooks": jobs}
        books = {
            f"{name}.ipynb": notebook(LOAD, *cells, "print('end')") for name, (cells, *_) in JOBS.items()
        }
        repo.write({**books, "notebooks.yaml": yaml.safe_dump(config)})
        return Builder(shared_cloud, repo.folder).run(NB_CONCURRENCY="4")

    return once(tmp_path_factory, "bigquery-cells", make)


def test_the_run_is_red_and_each_job_has_its_verdict(queries: Finished) -> None:
    assert queries.code == 1, queries.output
    verdicts = {job["job"]: job["verdict"] for job in queries.summary()["jobs"]}
    assert verdicts == {name: verdict for name, (_, _, verdict) in JOBS.items()}, queries.output
    assert queries.output.splitlines()[-1] == "left behind: nothing"


@pytest.mark.parametrize(
    ("name", "answer"),
    [pytest.param("column", NO_COLUMN, id="column"), pytest.param("syntax", NO_STATEMENT, id="syntax")],
)
def test_a_refused_query_is_red_with_its_cell_and_bigquerys_message(
    queries: Finished, name: str, answer: str
) -> None:
    job = queries.job(name)
    assert (job["exit_code"], job["reason"]) == (1, "silent_failure")
    assert job["message"].startswith("cell 2 of 3 failed: %%bigquery: BadRequest: 400 ")
    assert answer in job["message"]
    lines = [line for line in queries.output.splitlines() if line.startswith(f"{name} ")]
    assert any("RED after " in line and answer in line for line in lines), queries.output
    assert any("Correct the query." in line and "NB_FAIL_ON" in line for line in lines)


def test_a_refused_query_is_green_and_in_the_log_with_none(queries: Finished) -> None:
    job = queries.job("allowed")
    assert (
        "1 failure that NB_FAIL_ON does not include, in cell 3 of 4: %%bigquery: BadRequest" in job["message"]
    )
    published = queries.published("allowed")
    assert NO_COLUMN in published["run.log"].decode()
    (notice,) = json.loads(published["result.json"])["evidence"]["notices"]
    assert (notice["cell"], notice["kind"]) == (3, "bigquery")
    assert NO_COLUMN in notice["message"]
