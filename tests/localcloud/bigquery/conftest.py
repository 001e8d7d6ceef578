"""One BigQuery for all tests here (it takes two seconds to start), and plain requests to it as any account."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import urllib3

from localcloud.cloud import Cloud
from localcloud.core.iam import email
from tests.owner import signed

PROJECT = "/bigquery/v2/projects/local-project"
PUBLIC = "bigquery-public-data.san_francisco_bikeshare"
Json = dict[str, Any]


@dataclass
class Site:
    """A local cloud, and requests to it."""

    cloud: Cloud
    pool: urllib3.PoolManager

    def call(
        self, method: str, path: str, body: Json | None = None, *, account: str = "", scope: str = ""
    ) -> tuple[int, Json]:
        """Send a request as an account or as the owner; return status and JSON."""
        headers = signed(self.cloud.iam)
        if account:
            scopes = (f"https://www.googleapis.com/auth/{scope or 'cloud-platform'}",)
            headers["Authorization"] = f"Bearer {self.cloud.iam.token(email(account), scopes)[0]}"
        answer = self.pool.request(method, self.cloud.url + path, json=body, headers=headers)
        return answer.status, json.loads(answer.data or b"{}")

    def query(
        self, text: str, *, account: str = "notebook-vm", scope: str = "", **options: Any
    ) -> tuple[int, Json]:
        """Ask jobs.query."""
        body = {"query": text, "useLegacySql": False, **options}
        return self.call("POST", f"{PROJECT}/queries", body, account=account, scope=scope)

    def rows(self, text: str, **options: Any) -> list[list[Any]]:
        """Rows of a query that succeeds, values as they travel."""
        status, answer = self.query(text, **options)
        assert status == 200, answer
        assert "errors" not in answer, answer
        return [[cell["v"] for cell in row["f"]] for row in answer["rows"]]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Cloud(tmp_path_factory.mktemp("bigquery")) as cloud, urllib3.PoolManager(retries=False) as pool:
        yield Site(cloud, pool)
        inventory = cloud.inventory()
    assert inventory["schema_violations"] == []
    assert inventory["internal_errors"] == []


def refusal(answer: tuple[int, Json]) -> tuple[int, str, str]:
    """Return status, reason and message of an error."""
    error = answer[1]["error"]
    assert error["code"] == answer[0]
    return answer[0], error["errors"][0]["reason"], error["message"]
