"""Starts bqemulator, in an environment of its own, with the public tables filled. Prints "ready" when it answers.

It answers on a Unix socket in its folder, not on ports, because it does not check who calls and can read files.

As installed, it downloads an extension of DuckDB for geography, and does not start without it. That step is left
out, and with it the functions on geographies. This uses bqemulator's internals, so its version is pinned.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from bqemulator import server
from bqemulator.catalog.models import DatasetMeta, TableFieldSchema, TableMeta, TableSchema
from bqemulator.config import LogLevel, Settings
from bqemulator.storage.engine import DuckDBEngine
from bqemulator.storage.sql_identifiers import quoted_schema, quoted_table_ref
from bqemulator.storage.type_map import bq_to_duckdb
from fastapi import Request

from localcloud.engines.bigquery import rows
from localcloud.engines.bigquery.analysis import Columns, Table, analyse
from localcloud.engines.bigquery.schemas import DATASET, PUBLIC_PROJECT, TABLES

ANALYSIS = "/localcloud/analysis"
SOCKET = "http"  # in the folder, which is the working folder too: a longer path may be too long for a socket

_ROWS = {"bikeshare_station_info": rows.station_rows, "bikeshare_trips": rows.trip_rows}
_ARROW = {
    "STRING": pa.string(),
    "GEOGRAPHY": pa.string(),
    "INTEGER": pa.int64(),
    "FLOAT": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
}
_BORN = datetime(2018, 6, 1, tzinfo=UTC)
# Logical bytes of a value by BigQuery's table of data sizes; texts have 2 and their UTF-8, points 16 and 24.
_SIZES = {"BOOLEAN": 1, "BOOL": 1, "GEOGRAPHY": 40}
_SIZE = 8


def seed(context: Any) -> None:
    """Make the public dataset and fill its tables."""
    engine, catalog = context.engine, context.catalog
    engine.execute("SET autoinstall_known_extensions = false")
    engine.execute(f"CREATE SCHEMA {quoted_schema(PUBLIC_PROJECT, DATASET)}")
    common: dict[str, Any] = {
        "project_id": PUBLIC_PROJECT,
        "dataset_id": DATASET,
        "creation_time": _BORN,
        "last_modified_time": _BORN,
        "etag": "seed",
    }
    catalog.create_dataset(DatasetMeta(**common))
    for name, columns in TABLES.items():
        target = quoted_table_ref(PUBLIC_PROJECT, DATASET, name)
        declared = ", ".join(f'"{column}" {_declared(kind)}' for column, kind in columns)
        engine.execute(f"CREATE TABLE {target} ({declared})")
        values = zip(*_ROWS[name](), strict=True)
        arrays = [pa.array(found, _ARROW[kind]) for found, (_, kind) in zip(values, columns, strict=True)]
        filled = pa.Table.from_arrays(arrays, names=[column for column, _ in columns])
        engine.connection.register("seed", filled)
        engine.execute(f"INSERT INTO {target} SELECT * FROM seed")  # noqa: S608  our own name
        engine.connection.unregister("seed")
        fields = tuple(TableFieldSchema(name=column, type=kind) for column, kind in columns)
        meta = TableMeta(
            **common,
            table_id=name,
            schema=TableSchema(fields=fields),
            num_rows=filled.num_rows,
            num_bytes=sum(_bytes(context, (PUBLIC_PROJECT, DATASET, name), *column) for column in columns),
        )
        catalog.create_table(meta)


def _declared(kind: str) -> str:
    """The type of a column for DuckDB. Without its extension it cannot print geographies, so they are texts."""
    return "VARCHAR" if kind == "GEOGRAPHY" else bq_to_duckdb(kind)


def _columns(context: Any, table: Table) -> Columns | None:
    meta = context.catalog.get_table(*table)
    return None if meta is None else {field.name: field.type for field in meta.schema_.fields}


def _bytes(context: Any, table: Table, column: str, kind: str) -> int:
    """Logical size of a column of a table."""
    size = f'2 + strlen("{column}")' if kind == "STRING" else str(_SIZES.get(kind, _SIZE))
    present = f'"{column}" IS NOT NULL'
    query = f"SELECT coalesce(sum({size}), 0) FROM {quoted_table_ref(*table)} WHERE {present}"  # noqa: S608  known names
    return int(context.engine.execute(query).fetchone()[0])


async def _analysis(request: Request) -> dict[str, Any]:
    """The checks that services/bigquery/calls.py makes before it passes a query on."""
    context = request.app.state.context
    asked = await request.json()
    dataset = tuple(asked["dataset"]) if asked["dataset"] else None
    found = analyse(asked["query"], asked["project"], dataset, lambda table: _columns(context, table))
    return {
        "reads": found.reads,
        "writes": found.writes,
        "missing": found.missing,
        "problem": found.problem,
        "bytes": sum(
            _bytes(context, table, column, (_columns(context, table) or {})[column])
            for table, column in found.columns
            if column in (_columns(context, table) or {})
        ),
    }


class _NoGrpc:
    """Takes the place of the gRPC server, which nothing here calls."""

    async def start(self) -> None:
        """Open no port."""


async def _serve(folder: Path, ready: int) -> None:
    settings = Settings(
        log_level=LogLevel.ERROR,
        enable_format_extensions=False,
        metrics_enabled=False,
        upload_staging_dir=folder / "uploads",
    )
    await server.EmulatorServer(settings).start()
    os.write(ready, b"ready\n")
    await asyncio.Event().wait()


def main(folder: Path) -> None:
    """Serve until killed; `folder` gets temporary files."""
    # Standard output is for the port; messages go where errors go (some went before, while modules were imported).
    ready = os.dup(1)
    os.dup2(2, 1)
    make = server.create_app

    def make_filled(context: Any) -> Any:
        seed(context)
        app = make(context)
        app.add_api_route(ANALYSIS, _analysis, methods=["POST"])
        return app

    DuckDBEngine._load_spatial = lambda _: None  # noqa: SLF001  the reason for this file
    server.create_app = make_filled
    server.uvicorn.Config = partial(server.uvicorn.Config, uds=SOCKET)
    server.build_grpc_server = lambda _: (_NoGrpc(), 0)
    asyncio.run(_serve(folder, ready))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
