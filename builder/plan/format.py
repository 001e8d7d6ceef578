"""Numbers in words: a duration, and how many notebooks and jobs there are."""

from __future__ import annotations

from collections.abc import Sequence

_MINUTE = 60
_HOUR = 3600


def duration(seconds: float) -> str:
    """Return the duration in words, such as 12.8 s, 4 min 10 s, or 3 h 36 min."""
    if round(seconds, 1) < _MINUTE:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    hours, rest = divmod(round(seconds), _HOUR)
    minutes, left = divmod(rest, _MINUTE)
    parts = [(hours, "h"), (minutes, "min"), (0 if hours else left, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def counted(paths: Sequence[str]) -> str:
    """Return the number of notebooks, and of jobs if a matrix makes more, from the path of each job's notebook."""
    notebooks = len(set(paths))
    told = f"{notebooks} notebook{'s' if notebooks != 1 else ''}"
    return told if notebooks == len(paths) else f"{len(paths)} jobs of {told}"


def green_count(paths: Sequence[str], green: int) -> str:
    """Return how many are green: notebooks, or jobs if a matrix makes more. `paths` has each job's notebook."""
    units = "notebooks" if len(set(paths)) == len(paths) else "jobs"
    return f"{green} of {len(paths)} {units} green"
