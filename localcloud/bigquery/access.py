"""Who may do what in BigQuery: the permission behind each method, and the refusals in BigQuery's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from localcloud.bigquery.routes import Task
from localcloud.bigquery.schemas import PUBLIC_PROJECT
from localcloud.errors import ApiError
from localcloud.iam import Iam
from localcloud.service import Caller

# Method: the permission, and what it is asked of.
_NEEDED: Mapping[str, tuple[str, str]] = {
    "jobs.insert": ("jobs.create", "project"),
    "jobs.query": ("jobs.create", "project"),
    "datasets.insert": ("datasets.create", "project"),
    "datasets.get": ("datasets.get", "dataset"),
    "datasets.patch": ("datasets.update", "dataset"),
    "datasets.update": ("datasets.update", "dataset"),
    "datasets.delete": ("datasets.delete", "dataset"),
    "datasets.list": ("datasets.get", "project"),
    "tables.list": ("tables.list", "dataset"),
    "tables.insert": ("tables.create", "dataset"),
    "tables.get": ("tables.get", "table"),
    "tables.patch": ("tables.update", "table"),
    "tables.update": ("tables.update", "table"),
    "tables.delete": ("tables.delete", "table"),
    "tabledata.list": ("tables.getData", "table"),
    "tabledata.insertAll": ("tables.updateData", "table"),
}
_READING = ("get", "list", "getData")
_HIDDEN = "_"


class Access:
    """The checks of one service. Results of a query, in datasets that begin with an underscore, are their job's business."""

    def __init__(self, iam: Iam) -> None:
        self._iam = iam

    def check(self, task: Task, caller: Caller) -> None:
        """Raise a 403 unless the caller may use the method on what the path names."""
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
                    self._require(caller, permission, table)

    def _require(self, caller: Caller, permission: str, place: Sequence[str]) -> None:
        words = zip(("projects", "datasets", "tables"), place, strict=False)
        resource = "/".join(f"{kind}/{name}" for kind, name in words)
        full = f"bigquery.{permission}"
        reading = permission.partition(".")[2] in _READING
        refused = _denied(full, place)
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


def _error(text: str) -> ApiError:
    return ApiError(403, "accessDenied", f"Access Denied: {text}")
