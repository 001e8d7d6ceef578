"""The permissions of BigQuery: the one that each method needs, and the refusals in BigQuery's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from localcloud.core.caller import Caller
from localcloud.core.errors import ApiError
from localcloud.core.iam import Iam
from localcloud.engines.bigquery.schemas import PUBLIC_PROJECT
from localcloud.services.bigquery.rules_routes import Task

# Method: the permission, and its resource.
_NEEDED: Mapping[str, tuple[str, str]] = {
    "jobs.insert": ("jobs.create", "project"),
    "jobs.query": ("jobs.create", "project"),
    "datasets.get": ("datasets.get", "dataset"),
    "datasets.list": ("datasets.get", "project"),
    "tables.list": ("tables.list", "dataset"),
    "tables.get": ("tables.get", "table"),
    "tabledata.list": ("tables.getData", "table"),
}
_READING = ("get", "list", "getData")
_HIDDEN = "_"


class Access:
    """The permission checks. A query's results, in datasets that begin with an underscore, belong to its job."""

    def __init__(self, iam: Iam) -> None:
        self._iam = iam

    def check(self, task: Task, caller: Caller) -> None:
        """Raise a 401 without a token, and a 403 unless the caller may use the method on what the path names."""
        self._iam.check_known(caller)
        name = task.id.removeprefix("bigquery.")
        if name not in _NEEDED or task.params.get("datasetId", "").startswith(_HIDDEN):
            return
        permission, kind = _NEEDED[name]
        place = [task.params[key] for key in ("projectId", "datasetId", "tableId") if key in task.params]
        self._require(caller, permission, place[: ("project", "dataset", "table").index(kind) + 1])

    def check_tables(
        self, caller: Caller, reads: Sequence[Sequence[str]], writes: Sequence[Sequence[str]]
    ) -> None:
        """Raise a 403 unless the caller may read and write the tables of a query: project, dataset, table."""
        for permission, tables in (("tables.getData", reads), ("tables.updateData", writes)):
            for table in tables:
                if not table[1].startswith(_HIDDEN):
                    refused = _not_queried(table) if permission == "tables.getData" else None
                    self._require(caller, permission, table, refused)

    def _require(
        self, caller: Caller, permission: str, place: Sequence[str], refused: ApiError | None = None
    ) -> None:
        words = zip(("projects", "datasets", "tables"), place, strict=False)
        resource = "/".join(f"{kind}/{name}" for kind, name in words)
        full = f"bigquery.{permission}"
        reading = permission.partition(".")[2] in _READING
        refused = refused or _denied(full, place)
        if place[0] == PUBLIC_PROJECT and not reading:
            raise refused
        try:
            self._iam.require(caller, full, resource)
        except ApiError as error:
            raise (error if error.reason == "insufficientPermissions" else refused) from error


def _denied(permission: str, place: Sequence[str]) -> ApiError:
    project = place[0]
    if len(place) == 1:
        return _error(f"Project {project}: User does not have {permission} permission in project {project}.")
    kind, name = ("Table" if place[2:] else "Dataset"), f"{project}:{'.'.join(place[1:])}"
    return _error(
        f"{kind} {name}: Permission {permission} denied on {kind.lower()} {name} (or it may not exist)."
    )


def _not_queried(table: Sequence[str]) -> ApiError:
    name = f"{table[0]}:{'.'.join(table[1:])}"
    return _error(
        f"Table {name}: User does not have permission to query table {name}, or perhaps it does not exist."
    )


def _error(text: str) -> ApiError:
    return ApiError(403, "accessDenied", f"Access Denied: {text}")
