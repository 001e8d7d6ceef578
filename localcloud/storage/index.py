"""What fake-gcs-server cannot remember about buckets and objects, in a small database beside it.

The bytes and their hashes are fake-gcs-server's. Here stand metageneration and what patches changed, virtual times, and
the objects whose file has another name than they have. A record counts only for the generation it was written for, so
one that a crash left behind, or left out, can never describe other bytes. SQLite's log outlives a SIGKILL.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

from localcloud.service import Json

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (bucket TEXT, name TEXT, record TEXT NOT NULL, PRIMARY KEY (bucket, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS aliases (bucket TEXT, name TEXT, stored TEXT NOT NULL, PRIMARY KEY (bucket, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS buckets (bucket TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
"""


class Index:
    """Records by bucket and object name. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        # Durable against the end of the process, which is what happens here; not against a power cut.
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.executescript(_SCHEMA)

    def object(self, bucket: str, name: str) -> Json | None:
        """Return what is recorded about an object."""
        rows = self._run("SELECT record FROM objects WHERE bucket = ? AND name = ?", bucket, name)
        return json.loads(rows[0][0]) if rows else None

    def objects(self, bucket: str, prefix: str) -> dict[str, Json]:
        """Return the records of a bucket's objects whose names begin with `prefix`."""
        rows = self._run("SELECT name, record FROM objects WHERE bucket = ? AND name >= ?", bucket, prefix)
        return {name: json.loads(record) for name, record in rows if name.startswith(prefix)}

    def record_object(self, bucket: str, name: str, record: Json) -> None:
        """Remember this about an object; `record["generation"]` says for which generation."""
        self._run("REPLACE INTO objects VALUES (?, ?, ?)", bucket, name, json.dumps(record))

    def forget_object(self, bucket: str, name: str) -> None:
        """Drop what is recorded about an object, its alias too."""
        self._run("DELETE FROM objects WHERE bucket = ? AND name = ?", bucket, name)
        self._run("DELETE FROM aliases WHERE bucket = ? AND name = ?", bucket, name)

    def alias(self, bucket: str, name: str) -> str | None:
        """Return the name under which an object's file lies, where that is not its own."""
        rows = self._run("SELECT stored FROM aliases WHERE bucket = ? AND name = ?", bucket, name)
        return str(rows[0][0]) if rows else None

    def aliases(self, bucket: str) -> dict[str, str]:
        """Return a bucket's aliased objects: name by stored name."""
        rows = self._run("SELECT stored, name FROM aliases WHERE bucket = ?", bucket)
        return {str(stored): str(name) for stored, name in rows}

    def record_alias(self, bucket: str, name: str, stored: str) -> None:
        """Remember under which name an object's file lies; before the file is written."""
        self._run("REPLACE INTO aliases VALUES (?, ?, ?)", bucket, name, stored)

    def bucket(self, bucket: str) -> Json | None:
        """Return what is recorded about a bucket."""
        rows = self._run("SELECT record FROM buckets WHERE bucket = ?", bucket)
        return json.loads(rows[0][0]) if rows else None

    def record_bucket(self, bucket: str, record: Json) -> None:
        """Remember this about a bucket."""
        self._run("REPLACE INTO buckets VALUES (?, ?)", bucket, json.dumps(record))

    def forget_bucket(self, bucket: str) -> None:
        """Drop everything recorded about a bucket and its objects."""
        for table in ("objects", "aliases", "buckets"):
            self._run(f"DELETE FROM {table} WHERE bucket = ?", bucket)  # noqa: S608  the names above

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    def _run(self, statement: str, *values: str) -> list[Any]:
        with self._lock:
            return self._db.execute(statement, values).fetchall()
