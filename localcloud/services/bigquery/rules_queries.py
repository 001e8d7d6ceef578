"""A query as the proxy sees it: its place in a request, its cost limit, and its statistics in answers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from localcloud.core.errors import ApiError, not_found
from localcloud.core.service import Json
from localcloud.services.bigquery.rules_routes import Task

_MEGABYTE = 1 << 20
# The smallest charge for each table that a query reads.
_MIN_BILLED_BYTES = 10 * _MEGABYTE


@dataclass(frozen=True)
class Query:
    """A query as a request brings it. `limit` is maximumBytesBilled; `dataset` the default one, with its project."""

    text: str
    dataset: tuple[str, str] | None
    limit: int | None
    dry: bool
    legacy: bool

    @classmethod
    def of(cls, task: Task) -> Query | None:
        """Find the query of jobs.query or jobs.insert; None for other calls."""
        body = task.body
        if task.id == "bigquery.jobs.query":
            spec, dry = body, body.get("dryRun", False)
        elif task.id == "bigquery.jobs.insert" and "query" in body.get("configuration", {}):
            configuration = body["configuration"]
            spec, dry = configuration["query"], configuration.get("dryRun", False)
        else:
            return None
        default = spec.get("defaultDataset")
        limit = spec.get("maximumBytesBilled")
        return cls(
            text=spec.get("query", ""),
            dataset=(default.get("projectId", task.project), default["datasetId"]) if default else None,
            limit=int(limit) if limit is not None else None,
            dry=bool(dry),
            # The REST API's default, which Google's Python client always overrides.
            legacy=bool(spec.get("useLegacySql", True)),
        )


def billed(analysis: Json) -> int:
    """Bytes that a query is charged for: whole megabytes, and ten for each of its tables."""
    processed = int(analysis["bytes"])
    whole = -(-processed // _MEGABYTE) * _MEGABYTE
    return max(whole, _MIN_BILLED_BYTES * len(analysis["reads"]))


def check(query: Query, analysis: Json) -> None:
    """Raise BigQuery's refusals that come before a query runs."""
    if analysis["missing"]:
        project, dataset, table = analysis["missing"]
        raise not_found(f"Not found: Table {project}:{dataset}.{table} was not found in location US")
    if analysis["problem"]:
        raise ApiError(400, "invalidQuery", analysis["problem"])
    if query.limit is not None and not query.dry and billed(analysis) > query.limit:
        raise ApiError(
            400,
            "bytesBilledLimitExceeded",
            f"Query exceeded limit for bytes billed: {query.limit}. {billed(analysis)} or higher required.",
        )


def with_costs(answer: Json, costs: Mapping[str, int]) -> Json:
    """Set a query's statistics in an answer: `processed` and `billed` bytes."""
    processed, charged = str(costs["processed"]), str(costs["billed"])
    if "statistics" not in answer:
        return answer | {"totalBytesProcessed": processed}
    statistics = answer["statistics"]
    details = statistics.get("query", {}) | {"totalBytesProcessed": processed, "totalBytesBilled": charged}
    return answer | {"statistics": statistics | {"totalBytesProcessed": processed, "query": details}}
