"""The parameters that papermill finds in the tagged cell of a notebook. Pure.

papermill 2.7 (translators.py, `PythonTranslator.inspect`) reads lines, not Python. A definition begins at a line with
one `=` and ends before the next such line; a line with two is skipped. The builder has no papermill, so this module
does the same, and a test compares both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# A name, with or without a type, before the first `=`.
_DEFINITION = re.compile(r"(\w+)\s*(?::\s*[\"']?\w[\w\[\],\s]*(?:[\"']\s*)?)?=")
# What a line without indentation assigns: names, with or without a type.
_ASSIGNMENT = re.compile(r"(\w++(?:\s*+,\s*+\w++)*+)\s*+(?::(?!=)[^=]*+)?=(?!=)")
# The languages and kernels whose cells papermill reads this way.
_PYTHON_LANGUAGES = frozenset({"python", "ipython"})
_PYTHON_KERNELS = frozenset({"pysparkkernel"})

# papermill writes a text for these as one that the language searches for expressions, without escaping `$`.
_EVALUATING = frozenset({"julia", "powershell", ".net-powershell", "pwsh"})


def declared_parameters(source: str) -> frozenset[str]:
    """Return the names that papermill infers from a cell's Python source."""
    matches = (_DEFINITION.match(definition) for definition in _definitions(source))
    return frozenset(match[1] for match in matches if match)


def assigned_names(source: str) -> frozenset[str]:
    """Return the names that lines without indentation assign, also where papermill infers none (`x = 1  # >= 1`).

    papermill assigns a given parameter after the tagged cell, also one that it does not infer.
    """
    matches = (_ASSIGNMENT.match(line) for line in source.splitlines())
    names = (name.strip() for match in matches if match for name in match[1].split(","))
    return frozenset(name for name in names if name.isidentifier())


def reads_parameters(language: str, kernel: str) -> bool:
    """True if papermill finds the parameters of notebooks in this language or for this kernel."""
    return language in _PYTHON_LANGUAGES or kernel in _PYTHON_KERNELS


def evaluates_texts(language: str, kernel: str) -> bool:
    """True if a parameter's text with `$(…)` runs as code in a notebook in this language or for this kernel."""
    named = {language.lower(), kernel.lower(), kernel.lower().partition("-")[0]}
    return bool(named & _EVALUATING)


def _definitions(source: str) -> Iterator[str]:
    """Yield the source in pieces that begin at a line with one `=`, without comments except in the last line."""
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
