"""The advice for what BigQuery and Cloud Storage refuse, from the errors of Google's own clients."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.cloud.storage import Client
from google.oauth2.credentials import Credentials

from builder.judge.advice import advice_for
from builder.model import CellFailure
from localcloud.cloud import Cloud
from localcloud.core.iam import email
from localcloud.engines.vm import images
from tests.unit.good_attempt import expected_of, input_json, read

EXPECTED = expected_of(read(input_json()), {})
VM = EXPECTED.job.options.vm_service_account
BUCKET = "nb-advice"
QUOTA = (
    "Quota exceeded: Your project exceeded quota for free query bytes scanned. For more information, see "
    "https://cloud.google.com/bigquery/docs/troubleshoot-quotas"
)
RATE = (
    "Exceeded rate limits: too many table update operations for this table. For more information, see "
    "https://cloud.google.com/bigquery/docs/troubleshoot-quotas"
)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with Cloud(tmp_path_factory.mktemp("advice"), buckets=[BUCKET]) as cloud:
        yield cloud
        inventory = cloud.inventory()
    assert inventory["schema_violations"] == []
    assert [fault for fault in inventory["faults"] if not fault["consumed"]] == []


def advice(error: str) -> str:
    return advice_for(CellFailure(2, 6, "", None, error, ""), EXPECTED) or ""


STORAGE: dict[str, tuple[Callable[[Client], object], str]] = {
    "read": (
        lambda client: client.bucket(BUCKET).blob("a").download_as_bytes(),
        f"Grant {VM} roles/storage.objectViewer on the bucket",
    ),
    "list": (
        lambda client: list(client.list_blobs(BUCKET)),
        f"Grant {VM} roles/storage.objectViewer on the bucket",
    ),
    "write": (
        lambda client: client.bucket(BUCKET).blob("a").upload_from_string("x"),
        f"Grant {VM} roles/storage.objectUser on the bucket",
    ),
    "delete": (
        lambda client: client.bucket(BUCKET).blob("a").delete(),
        f"Grant {VM} roles/storage.objectUser on the bucket",
    ),
    "bucket": (
        lambda client: client.get_bucket(BUCKET),
        "Use bucket(), which reads nothing, instead of get_bucket()",
    ),
}


def storage_error(cloud: Cloud, call: Callable[[Client], object], account: str) -> str:
    """Return the error's output of a cell that makes this call with the client of Cloud Storage."""
    credentials = Credentials(token=cloud.iam.token(email(account))[0])
    options = {"api_endpoint": cloud.url}
    client = Client(project="local-project", credentials=credentials, client_options=options)
    with pytest.raises(GoogleAPICallError) as caught:
        call(client)
    client.close()
    return f"{caught.type.__name__}: {caught.value}"


@pytest.mark.parametrize("name", STORAGE)
def test_what_cloud_storage_denies(cloud: Cloud, name: str) -> None:
    call, words = STORAGE[name]
    assert words in advice(storage_error(cloud, call, "notebook-trigger"))


def test_a_rate_limit_of_cloud_storage(cloud: Cloud) -> None:
    def upload(client: Client) -> None:
        client.bucket(BUCKET).blob("a").upload_from_string("x", retry=None)

    message = f"The object {BUCKET}/a exceeded the rate limit for object mutation operations (create, update, and delete)."
    args = {"status": 429, "reason": "rateLimitExceeded", "message": message}
    cloud.faults.add({"method": "storage.objects.insert", "action": "error", "args": args})
    assert "quota or rate limit" in advice(storage_error(cloud, upload, "notebook-builder"))


# Name: the account, the call, the planned refusal of a method (Google's reason and words), and the advice.
BIGQUERY: dict[str, tuple[str, str, tuple[str, str, str] | None, str]] = {
    "job": ("notebook-deployer", "client.query_and_wait('SELECT 1')", None, f"Grant {VM} roles/bigquery.jobUser"),
    "table": (
        "notebook-vm",
        "client.query_and_wait('SELECT * FROM secret_numbers.t')",
        None,
        f"Grant {VM} roles/bigquery.dataViewer on the dataset",
    ),
    "dataset": (
        "notebook-trigger",
        "client.get_dataset('secret_numbers')",
        None,
        f"Grant {VM} roles/bigquery.dataViewer on the dataset",
    ),
    "rows": (
        "notebook-trigger",
        "list(client.list_rows('local-project.secret_numbers.t'))",
        None,
        f"Grant {VM} roles/bigquery.dataViewer on the dataset",
    ),
    "quota": (
        "notebook-vm",
        "client.query_and_wait('SELECT 1', job_retry=None)",
        ("bigquery.jobs.query", "quotaExceeded", QUOTA),
        "A quota or rate limit of the service is used up.",
    ),
    "rate limit": (
        "notebook-vm",
        "client.query('SELECT 1', retry=None, job_retry=None)",
        ("bigquery.jobs.insert", "rateLimitExceeded", RATE),
        "A quota or rate limit of the service is used up.",
    ),
}  # fmt: skip
PROGRAM = """
import json, sys
from google.cloud import bigquery
from google.oauth2.credentials import Credentials
client_of = lambda token, url: bigquery.Client(
    "local-project", Credentials(token=token), client_options={"api_endpoint": url})
for name, (token, url, call) in json.loads(sys.argv[1]).items():
    client = client_of(token, url)
    try:
        eval(call)
    except Exception as error:
        print(json.dumps([name, f"{type(error).__name__}: {error}"]))
"""


@pytest.fixture(scope="module")
def refusals(cloud: Cloud) -> dict[str, str]:
    """The errors of all calls, by name, from the client of BigQuery that machine images have."""
    calls: dict[str, Any] = {}
    for name, (account, call, planned, _) in BIGQUERY.items():
        calls[name] = (cloud.iam.token(email(account))[0], cloud.url, call)
        if planned:
            method, reason, message = planned
            args = {"status": 403, "reason": reason, "message": message}
            cloud.faults.add({"method": method, "action": "error", "skip": SKIPPED[name], "args": args})
    python = images.prefix("scientific") / "bin" / "python3"
    ran = subprocess.run(
        [str(python), "-c", PROGRAM, json.dumps(calls)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path("/"),
    )
    return dict(map(json.loads, ran.stdout.splitlines()))


# How many calls of the method come before the refused one.
SKIPPED = {"quota": 2, "rate limit": 0}


@pytest.mark.always(2)
@pytest.mark.parametrize("name", BIGQUERY)
def test_what_bigquery_refuses(refusals: dict[str, str], name: str) -> None:
    assert BIGQUERY[name][3] in advice(refusals[name]), refusals[name]
