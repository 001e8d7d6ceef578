"""Which parameters a notebook declares, by papermill's own reading of the tagged cell. Pure.

papermill reads lines, not Python (2.7, translators.py, `PythonTranslator.inspect`): a definition begins at a line that has one `=`
and ends before the next such line; one that has two is passed over. The builder has no papermill, so this says the
same in fewer words; a test holds the two against each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# A name, perhaps with a type, before the first `=`.
_DEFINITION = re.compile(r"(\w+)\s*(?::\s*[\"']?\w[\w\[\],\s]*(?:[\"']\s*)?)?=")
# The kernels and languages whose cells papermill reads that way.
_PYTHON_LANGUAGES = frozenset({"python", "ipython"})
_PYTHON_KERNELS = frozenset({"pysparkkernel"})


def declared_parameters(source: str) -> frozenset[str]:
    """The names that papermill infers from a cell's Python source."""
    matches = (_DEFINITION.match(definition) for definition in _definitions(source))
    return frozenset(match[1] for match in matches if match)


def reads_parameters(language: str, kernel: str) -> bool:
    """Whether papermill can tell what a notebook of this language, or for this kernel, declares."""
    return language in _PYTHON_LANGUAGES or kernel in _PYTHON_KERNELS


def _definitions(source: str) -> Iterator[str]:
    """The source in pieces, each of which begins at a line with one `=`, without comments in all but its last line."""
    lines: list[str] = []
    for line in source.splitlines():
        if not line.strip() or line.strip().startswith("#"):
            continue
        equals = line.count("=")
        if equals:
            yield _flat(lines)
            lines = []
        if equals <= 1:
            lines.append(line)
    yield _flat(lines)


def _flat(lines: list[str]) -> str:
    return "".join(
        [*(line.partition("#")[0].strip() for line in lines[:-1]), *(line.strip() for line in lines[-1:])]
    )
