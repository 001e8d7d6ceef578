"""Readable names of jobs, from the notebook's path and the job's values in the matrix. Pure.

A name depends on its own job alone, except that equal names get a hash.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

_MAX_LENGTH = 100
_MAX_NAME = 30  # of a parameter in a folder's name
_SPELT = {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"}


def job_slugs(paths: Sequence[str], points: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """Return a unique name for each job, from its notebook's path and its values in the matrix.

    `etl/daily load.ipynb` becomes `etl-daily-load`, and with a matrix `etl-daily-load-days-7`. Only a name that is too
    long or not unique gets a hash. `points` may be left out if no notebook has a matrix.
    """
    jobs = list(zip(paths, points or [{} for _ in paths], strict=True))
    slugs = [_slug(path, point) for path, point in jobs]
    taken = Counter(slugs)
    return [
        f"{slug}-{_hash(path, point)}" if taken[slug] > 1 else slug
        for slug, (path, point) in zip(slugs, jobs, strict=True)
    ]


def values_slug(values: Mapping[str, Any]) -> str:
    """Return the name of a folder for these values, such as `city=paris,days=7-1a2b3c4d`. It has no slash.

    Only equal values have the same name. It has an equals sign, so it is no job's name.
    """
    readable = ",".join(
        f"{_plain(name)[:_MAX_NAME]}={_plain(_spelt(values[name]))}" for name in sorted(values)
    )
    return f"{readable[:_MAX_LENGTH]}-{_hash('', values)}"


def _slug(path: str, point: Mapping[str, Any]) -> str:
    # Sorted by name: the order of a matrix's lines changes no job's name.
    chosen = [part for name in sorted(point) for part in (name, _spelt(point[name]))]
    slug = "-".join(filter(None, (_plain(part) for part in (path.removesuffix(".ipynb"), *chosen))))
    if len(slug) > _MAX_LENGTH:
        slug = f"{slug[:_MAX_LENGTH].strip('-')}-{_hash(path, point)}"
    return slug or "notebook"


def _spelt(value: object) -> str:
    """Return a value as text of a name."""
    if isinstance(value, str):
        return value or "empty"
    text = json.dumps(value, ensure_ascii=False)
    return re.sub(r"(?<![\w.])-(?=[0-9])", "minus ", text)


def _plain(text: str) -> str:
    for letter, spelt in _SPELT.items():
        text = text.replace(letter, spelt)
    ascii_ = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9_]+", "-", ascii_).strip("-")


def _hash(path: str, point: Mapping[str, Any]) -> str:
    told = path if not point else f"{path}\n{json.dumps(point, sort_keys=True)}"
    return hashlib.sha256(told.encode()).hexdigest()[:8]
