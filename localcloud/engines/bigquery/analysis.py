"""The tables that a query reads and writes, and its faults. Runs in the emulator's environment, which has sqlglot.

The emulator translates a query for DuckDB, which is more lenient: for example, it compares texts with numbers. This
checks the query as it was written, and passes any part that it does not understand.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import OptimizeError, SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, traverse_scope

Table = tuple[str, str, str]
"""Project, dataset and table."""
Columns = Mapping[str, str]
"""Types by column name."""

_UNKNOWN = re.compile(r"Unknown column: (\w+)|Column '(\w+)' could not be resolved")
_NUMBERS = frozenset({"INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC"})
_COMPARED = frozenset({"STRING", "BOOL", "BYTES", "DATE", "TIMESTAMP", "DATETIME", "TIME"})
_STANDARD = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
_OPERATORS = {
    exp.EQ: "=",
    exp.NEQ: "!=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.Between: "BETWEEN",
}
_CHANGES = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Alter)


@dataclass(frozen=True)
class Analysis:
    """`columns` are those that are read; `problem` is BigQuery's error; `missing` is a table that does not exist."""

    reads: tuple[Table, ...]
    writes: tuple[Table, ...]
    columns: tuple[tuple[Table, str], ...] = ()
    missing: Table | None = None
    problem: str | None = None


def analyse(
    query: str, project: str, dataset: tuple[str, str] | None, columns_of: Callable[[Table], Columns | None]
) -> Analysis:
    """Analyse a query as `project` runs it. `columns_of` answers None for a table that does not exist."""
    try:
        statements = [item for item in sqlglot.parse(query, dialect="bigquery") if item is not None]
    except SqlglotError:
        return Analysis((), ())
    if len(statements) != 1:
        return _of_script(statements, project, dataset)
    statement = statements[0]
    reads, writes = _tables(statement, project, dataset)
    missing = next((table for table in reads if columns_of(table) is None), None)
    if missing or not isinstance(statement, exp.Query):
        return Analysis(reads, writes, missing=missing)
    known = {table: columns_of(table) or {} for table in reads}
    return _checked(statement, Analysis(reads, writes), known)


def _of_script(statements: list[Any], project: str, dataset: tuple[str, str] | None) -> Analysis:
    """Several statements may create and fill the tables that they read, so only names are returned."""
    found = [_tables(statement, project, dataset) for statement in statements]
    reads = dict.fromkeys(table for pair in found for table in pair[0])
    writes = dict.fromkeys(table for pair in found for table in pair[1])
    return Analysis(tuple(table for table in reads if table not in writes), tuple(writes))


def _tables(
    statement: Any, project: str, dataset: tuple[str, str] | None
) -> tuple[tuple[Table, ...], tuple[Table, ...]]:
    """Return the tables read and written, each once, without common table expressions."""
    target = _target(statement)
    local = {item.alias_or_name for item in statement.find_all(exp.CTE)}
    reads: dict[Table, None] = {}
    writes: dict[Table, None] = {}
    for node in statement.find_all(exp.Table):
        if (not node.db and (node.name in local or dataset is None)) or not isinstance(
            node.this, exp.Identifier
        ):
            continue
        default_project, default_dataset = dataset if dataset and not node.db else (project, "")
        table = (node.catalog or default_project, node.db or default_dataset, node.name)
        node.set("catalog", exp.to_identifier(table[0], quoted=True))
        node.set("db", exp.to_identifier(table[1], quoted=True))
        (writes if node is target else reads)[table] = None
    return tuple(reads), tuple(writes)


def _target(statement: Any) -> Any:
    """Return the table node that a statement changes, None for a query."""
    if not isinstance(statement, _CHANGES):
        return None
    this = statement.this
    return this.this if isinstance(this, exp.Schema) else this


def _checked(statement: Any, plain: Analysis, known: Mapping[Table, Columns]) -> Analysis:
    schema: dict[str, dict[str, dict[str, Columns]]] = {}
    for (project, dataset, table), columns in known.items():
        standard = {name: _STANDARD.get(kind, kind) for name, kind in columns.items()}
        schema.setdefault(project, {}).setdefault(dataset, {})[table] = standard
    try:
        qualified = qualify(statement.copy(), dialect="bigquery", schema=schema, quote_identifiers=False)
    except OptimizeError as error:
        return Analysis(plain.reads, plain.writes, problem=_unrecognised(str(error), statement, known))
    except (SqlglotError, KeyError, ValueError):
        return plain
    try:
        typed = annotate_types(
            qualified, schema=sqlglot.MappingSchema(schema, dialect="bigquery"), dialect="bigquery"
        )
    except (SqlglotError, KeyError, ValueError):
        typed = qualified
    problem = next(filter(None, map(_mismatch, typed.find_all(*_OPERATORS))), None)
    return Analysis(plain.reads, plain.writes, tuple(dict.fromkeys(_read(typed))), problem=problem)


def _unrecognised(message: str, statement: Any, known: Mapping[Table, Columns]) -> str | None:
    """BigQuery's message for a column that does not exist; None if the optimizer's error was another."""
    found = _UNKNOWN.match(message)
    if found is None:
        return None
    name = found[1] or found[2]
    node = next((item for item in statement.find_all(exp.Column) if item.name.lower() == name.lower()), None)
    names = {column for columns in known.values() for column in columns}
    close = difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.75)
    hint = f"; Did you mean {close[0]}?" if close else ""
    if node is None:
        return f"Unrecognized name: {name}{hint}"
    if node.table:
        return f"Name {node.name} not found inside {node.table}{_place(node.this)}"
    return f"Unrecognized name: {node.name}{hint}{_place(node.this)}"


def _place(node: Any) -> str:
    """The line and column where a name begins, as BigQuery counts them."""
    if "line" not in node.meta:
        return ""
    begin = node.meta["col"] - (node.meta["end"] - node.meta["start"])
    return f" at [{node.meta['line']}:{begin}]"


def _mismatch(comparison: Any) -> str | None:
    """BigQuery's message for a comparison of two such types; literals in quotes may be dates and times."""
    sides = list(comparison.iter_expressions())
    kinds = [side.type.sql("bigquery") if side.type else "" for side in sides]
    first = kinds[0]
    for side, kind in zip(sides[1:], kinds[1:], strict=True):
        if _family(first) and _family(kind) and _family(first) != _family(kind):
            if _is_time_in_quotes(side, first) or _is_time_in_quotes(sides[0], kind):
                continue
            operator = _OPERATORS[type(comparison)]
            return (
                f"No matching signature for operator {operator} for argument types: {', '.join(kinds)}. "
                "Both sides must have one type, or types that BigQuery converts by itself"
            )
    return None


def _family(kind: str) -> str:
    return "number" if kind in _NUMBERS else kind if kind in _COMPARED else ""


def _is_time_in_quotes(side: Any, other: str) -> bool:
    return isinstance(side, exp.Literal) and side.is_string and other not in _NUMBERS | {"BOOL"}


def _read(qualified: Any) -> Iterator[tuple[Table, str]]:
    scopes: list[Scope] = traverse_scope(qualified)
    for scope in scopes:
        for column in scope.columns:
            source = scope.sources.get(column.table)
            if isinstance(source, exp.Table):
                yield (source.catalog, source.db, source.name), column.name
