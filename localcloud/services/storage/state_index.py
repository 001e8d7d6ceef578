"""The store's index of its files: one row per version of an object and one per bucket, in a SQLite file.

A row describes the file with its modification time, and no other. The store adds the row of a new version before it
moves the file into place, so the move alone replaces the old version by the new one. After a SIGKILL at any point, each
object is its old or its new version, whole. SQLite's log survives a SIGKILL.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.core.service import Json

# No method here changes an object in place, so every version keeps its first metageneration.
METAGENERATION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS versions (
  bucket TEXT, name TEXT, generation INTEGER, file TEXT NOT NULL, mtime INTEGER NOT NULL, fields TEXT NOT NULL,
  PRIMARY KEY (bucket, name, generation)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS buckets (bucket TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
"""
# Follows every name of at most 1,024 bytes that begins with the text before it.
_LAST = "\U0010ffff" * 256


@dataclass(frozen=True)
class Version:
    """A version of an object.

    `file` is its path below the bucket's folder, and `mtime` that file's modification time in nanoseconds. `fields` are
    those of the resource that do not follow from the rest.
    """

    bucket: str
    name: str
    generation: int
    file: str
    mtime: int
    fields: Json


class Index:
    """The rows. Safe to use from several threads. Raises ValueError for a damaged file."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            # Rows survive the end of the process, but not a power cut.
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise ValueError(f"{path} is damaged ({error}); choose another --state") from error

    def close(self) -> None:
        """Close the database. A later call raises an error of sqlite3."""
        with self._lock:
            self._db.close()

    def last_generation(self) -> int:
        """Return the highest generation of all objects, 0 without any."""
        return int(self._run("SELECT coalesce(max(generation), 0) FROM versions")[0][0])

    def versions(self, bucket: str, name: str) -> list[Version]:
        """Return the rows of one object, the newest first."""
        return self._versions("bucket = ? AND name = ?", bucket, name)

    def below(self, bucket: str, prefix: str) -> list[Version]:
        """Return the rows of all objects whose names begin with `prefix`: by name, the newest first."""
        return self._versions("bucket = ? AND name BETWEEN ? AND ?", bucket, prefix, prefix + _LAST)

    def add(self, version: Version) -> None:
        """Add a version."""
        row = (version.bucket, version.name, version.generation, version.file, version.mtime)
        self._run("INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?)", *row, json.dumps(version.fields))

    def drop_older(self, version: Version) -> None:
        """Drop the other versions of an object."""
        statement = "DELETE FROM versions WHERE bucket = ? AND name = ? AND generation <> ?"
        self._run(statement, version.bucket, version.name, version.generation)

    def drop(self, bucket: str, name: str) -> None:
        """Drop all versions of an object."""
        self._run("DELETE FROM versions WHERE bucket = ? AND name = ?", bucket, name)

    def bucket(self, bucket: str) -> Json | None:
        """Return the record of a bucket."""
        rows = self._run("SELECT record FROM buckets WHERE bucket = ?", bucket)
        return json.loads(rows[0][0]) if rows else None

    def set_bucket(self, bucket: str, record: Json) -> None:
        """Add or replace the record of a bucket."""
        self._run("REPLACE INTO buckets VALUES (?, ?)", bucket, json.dumps(record))

    def drop_bucket(self, bucket: str) -> None:
        """Drop the record of a bucket and the rows of its objects."""
        self._run("DELETE FROM versions WHERE bucket = ?", bucket)
        self._run("DELETE FROM buckets WHERE bucket = ?", bucket)

    def _versions(self, condition: str, *values: str) -> list[Version]:
        rows = self._run(
            f"SELECT * FROM versions WHERE {condition} ORDER BY name, generation DESC",  # noqa: S608  our conditions
            *values,
        )
        return [
            Version(place, name, generation, file, mtime, json.loads(fields))
            for place, name, generation, file, mtime, fields in rows
        ]

    def _run(self, statement: str, *values: str | int) -> list[Any]:
        with self._lock:
            return self._db.execute(statement, values).fetchall()
