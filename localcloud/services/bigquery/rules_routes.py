"""The method of BigQuery's API that a request calls, its check against Google's document, and its coverage. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from localcloud.core.bodies import without_nulls
from localcloud.core.discovery import Method, load
from localcloud.core.errors import invalid, unimplemented
from localcloud.core.service import Json

_PLAIN = "/bigquery/v2/"
PREFIXES = (_PLAIN, "/upload/bigquery/", "/resumable/upload/bigquery/", "/batch/bigquery/")

# Parameters of every method of the API, beside those of each; Google's client also sends `projection`.
_GENERAL = frozenset({"fields", "oauth_token", "projection", "userIp"})
_NO_CONFIGURATION = (
    "Job configuration must contain exactly one job-specific configuration object (e.g., query, load, extract, "
    "spreadsheetExtract), but there were 0: "
)
METHODS = frozenset(
    f"bigquery.{name}"
    for name in (
        "projects.list",
        "datasets.get",
        "datasets.list",
        "jobs.cancel",
        "jobs.get",
        "jobs.getQueryResults",
        "jobs.insert",
        "jobs.query",
        "tabledata.list",
        "tables.get",
        "tables.list",
    )
)


@dataclass(frozen=True)
class Task:
    """A parsed request: `params` are those of its path and its query."""

    method: Method
    params: Mapping[str, str]
    body: Json

    @property
    def id(self) -> str:
        """The method's id."""
        return self.method.id

    @property
    def project(self) -> str:
        """The project in the path, which pays."""
        return self.params.get("projectId", "")


def understood(verb: str, path: str, query: Mapping[str, Sequence[str]], data: bytes) -> Task:
    """Return a request's method and parameters; `path` is still escaped. Raises Google's 400, or 501 if not covered."""
    if not path.startswith(_PLAIN):
        raise unimplemented(
            "localcloud's BigQuery takes no uploads and no batches: make tables and rows by queries."
        )
    found = load("bigquery.v2").match(verb, path)
    if found is None or found.method.id not in METHODS:
        name = found.method.id if found else f"{verb} {path}"
        raise unimplemented(
            f"localcloud's BigQuery has no {name}; localcloud/services/bigquery/README.md says what it has."
        )
    own = {name: values for name, values in query.items() if name not in _GENERAL}
    general = {name: values[-1] for name, values in query.items() if name in _GENERAL}
    params = general | found.method.check_params(found.params, own)
    body = without_nulls(found.method.check_request(data))
    kinds = [kind for kind in ("load", "extract", "copy") if kind in body.get("configuration", {})]
    if kinds:
        raise unimplemented(f"localcloud's BigQuery runs queries only, no {kinds[0]} jobs.")
    if found.method.id == "bigquery.jobs.insert" and "query" not in body.get("configuration", {}):
        raise invalid(_NO_CONFIGURATION)
    return Task(found.method, params, body)
