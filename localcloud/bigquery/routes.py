"""Which method of BigQuery's API a request is, whether it fits Google's document, and whether localcloud has it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from localcloud.discovery import Method, load
from localcloud.errors import unimplemented
from localcloud.service import Json

_PLAIN = "/bigquery/v2/"
PREFIXES = (_PLAIN, "/upload/bigquery/", "/resumable/upload/bigquery/", "/batch/bigquery/")

# Parameters of every method of the API, which the document does not tie to any; Google's client sends `projection` too.
_GENERAL = frozenset({"fields", "oauth_token", "projection", "userIp"})
METHODS = frozenset(
    f"bigquery.{name}"
    for name in (
        "projects.list",
        "datasets.delete",
        "datasets.get",
        "datasets.insert",
        "datasets.list",
        "datasets.patch",
        "datasets.update",
        "jobs.cancel",
        "jobs.get",
        "jobs.getQueryResults",
        "jobs.insert",
        "jobs.query",
        "tabledata.insertAll",
        "tabledata.list",
        "tables.delete",
        "tables.get",
        "tables.insert",
        "tables.list",
        "tables.patch",
        "tables.update",
    )
)


@dataclass(frozen=True)
class Task:
    """A request, understood: `params` are those of its path and its query."""

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
    """Return what a request is; `path` as it was sent, not yet unescaped. Raises Google's 400, or 501 for what is not here."""
    if not path.startswith(_PLAIN):
        raise unimplemented(
            "localcloud's BigQuery takes no uploads and no batches: load rows by insertAll, or by a query."
        )
    found = load("bigquery.v2").match(verb, path)
    if found is None or found.method.id not in METHODS:
        name = found.method.id if found else f"{verb} {path}"
        raise unimplemented(f"localcloud's BigQuery has no {name}; localcloud/README.md says what it has.")
    own = {name: values for name, values in query.items() if name not in _GENERAL}
    general = {name: values[-1] for name, values in query.items() if name in _GENERAL}
    params = general | found.method.check_params(found.params, own)
    body = found.method.check_request(data)
    kinds = [kind for kind in ("load", "extract", "copy") if kind in body.get("configuration", {})]
    if kinds:
        raise unimplemented(f"localcloud's BigQuery runs queries only, no {kinds[0]} jobs.")
    return Task(found.method, params, body)
