"""Tokens and permissions in BigQuery."""

from __future__ import annotations

from localcloud.core.iam import email
from tests.localcloud.bigquery.conftest import PROJECT, PUBLIC, Site, refusal

COUNT = f"SELECT COUNT(*) FROM `{PUBLIC}.bikeshare_trips`"
TRIPS = f"/bigquery/v2/projects/{PUBLIC.replace('.', '/datasets/')}/tables/bikeshare_trips"


def test_the_vms_account_may_ask_and_others_may_not(site: Site) -> None:
    assert site.rows(COUNT) == [["50000"]]
    assert refusal(site.query(COUNT, account="notebook-deployer")) == (
        403,
        "accessDenied",
        "Access Denied: Project local-project: User does not have bigquery.jobs.create permission in project local-project.",
    )


def test_the_public_data_are_everybodys_to_read_and_nobodys_to_change(site: Site) -> None:
    assert site.call("GET", TRIPS, account="notebook-trigger")[1]["numRows"] == "50000"
    assert site.call("DELETE", TRIPS)[0] == 501
    assert refusal(site.query(f"DELETE FROM `{PUBLIC}.bikeshare_trips` WHERE TRUE", account=""))[0] == 403
    assert site.rows(COUNT) == [["50000"]]


def test_a_table_of_the_project_needs_a_grant(site: Site) -> None:
    status, reason, message = refusal(site.query("SELECT * FROM secret_numbers.t"))
    assert (status, reason) == (403, "accessDenied")
    assert message == (
        "Access Denied: Table local-project:secret_numbers.t: User does not have permission to query table "
        "local-project:secret_numbers.t, or perhaps it does not exist."
    )
    assert refusal(site.query("CREATE TABLE secret_numbers.t AS SELECT 1 AS x"))[0] == 403
    assert refusal(site.call("GET", f"{PROJECT}/datasets/d", account="notebook-vm"))[0] == 403


def test_a_token_must_be_known_and_be_for_bigquery(site: Site) -> None:
    headers = {"Authorization": "Bearer ya29.invented"}
    answer = site.pool.request("GET", f"{site.cloud.url}{TRIPS}", headers=headers)
    assert answer.status == 401
    refused = refusal(site.query(COUNT, scope="devstorage.read_only"))
    assert refused[1:] == ("insufficientPermissions", "Request had insufficient authentication scopes.")


def test_a_job_is_its_callers_own(site: Site) -> None:
    job = site.query(COUNT)[1]["jobReference"]["jobId"]
    path = f"{PROJECT}/queries/{job}"
    assert site.call("GET", path, account="notebook-vm")[1]["rows"] == [{"f": [{"v": "50000"}]}]
    assert site.call("GET", path)[0] == 200
    assert refusal(site.call("GET", path, account="notebook-builder"))[1] == "accessDenied"
    assert refusal(site.call("GET", f"{PROJECT}/jobs/never", account="notebook-vm"))[:2] == (404, "notFound")
    jobs = site.cloud.inventory()["bigquery.jobs"]
    assert {"id": job, "caller": email("notebook-vm")} in jobs


def test_a_job_runs_once(site: Site) -> None:
    body = {
        "jobReference": {"projectId": "local-project", "jobId": "once"},
        "configuration": {"query": {"query": COUNT, "useLegacySql": False}},
    }
    status, job = site.call("POST", f"{PROJECT}/jobs", body, account="notebook-vm")
    assert (status, job["statistics"]["query"]["totalBytesBilled"]) == (200, "10485760")
    assert refusal(site.call("POST", f"{PROJECT}/jobs", body, account="notebook-vm"))[:2] == (
        409,
        "duplicate",
    )
