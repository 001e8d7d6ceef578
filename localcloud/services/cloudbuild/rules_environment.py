"""The rules of a list of "KEY=VALUE", of one step or of all steps. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from localcloud.services.cloudbuild.problem import Path, Problem
from localcloud.services.cloudbuild.rules_substitutions import has_reference


def env_problems(path: Path, start: str, entries: Sequence[tuple[int, str]]) -> Iterator[Problem]:
    """Yield the faults of the entries, each with its index; `start` begins the sentence."""
    seen: set[str] = set()
    for number, entry in entries:
        key, equals, _ = entry.partition("=")
        if not equals or not key:
            words = f'the Env entry "{entry}" must be of the form "KEY=VALUE"'
            yield Problem((*path, number), start + words)
        elif not has_reference(key):
            if key in seen:
                words = f'the Env entry "{entry}" gives "{key}" a second time; each KEY stands once in a list'
                yield Problem((*path, number), start + words)
            seen.add(key)


def env_keys(entries: Sequence[tuple[int, str]]) -> set[str]:
    """Return the keys of the entries."""
    return {entry.partition("=")[0] for _, entry in entries}
