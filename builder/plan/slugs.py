"""Readable names for jobs, from the notebook's path and the job's place in the matrix. Pure.

A name depends on nothing but its own job, except for the hash that it gets where two would be the same.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

_LONGEST = 100
_SPELT = {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"}


def job_slugs(paths: Sequence[str], points: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """A name for each job: its notebook's path and the parameters that the matrix chose for it, unique among them.

    `etl/daily load.ipynb` is `etl-daily-load`, and with a matrix `etl-daily-load-days-7`. A hash is added only where two
    jobs would get the same name, or a name would be too long. `points` may be left out where no notebook has a matrix.
    """
    jobs = list(zip(paths, points or [{} for _ in paths], strict=True))
    slugs = [_slug(path, point) for path, point in jobs]
    taken = Counter(slugs)
    return [
        f"{slug}-{_hash(path, point)}" if taken[slug] > 1 else slug
        for slug, (path, point) in zip(slugs, jobs, strict=True)
    ]


def _slug(path: str, point: Mapping[str, Any]) -> str:
    # In the order of names: to turn two lines of a matrix around changes no job.
    chosen = [part for name in sorted(point) for part in (name, _spelt(point[name]))]
    slug = "-".join(filter(None, (_plain(part) for part in (path.removesuffix(".ipynb"), *chosen))))
    if len(slug) > _LONGEST:
        slug = f"{slug[:_LONGEST].strip('-')}-{_hash(path, point)}"
    return slug or "notebook"


def _spelt(value: object) -> str:
    """A value in letters and digits, as far as they tell it."""
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
