"""Reads a notebook's bytes, and finds all mistakes in them. Pure."""

from __future__ import annotations

import codecs
import difflib
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from builder.errors import Problem
from builder.model import CodeCell, JsonObject, Notebook
from builder.plan.notebook_schema import schema_fault
from builder.plan.papermill_parameters import assigned_names, declared_parameters, reads_parameters
from builder.plan.staged_form import staged_form
from builder.strict_json import is_deeper
from builder.vm.notebook_shape import normalize

MAX_NOTEBOOK_BYTES = 100 * 2**20

# Tags with a meaning for papermill (the first two) and nbclient.
PARAMETERS_TAG = "parameters"
INJECTED_TAG = "injected-parameters"
RAISES_TAG = "raises-exception"
SKIP_TAG = "skip-execution"

_FORMAT = 4
_MAX_DEPTH = 200  # levels of objects and lists; a chart's output has about twenty
_TOO_DEEP = "not a notebook: its JSON is nested too deeply"
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


class UnreadableNotebook(Exception):
    """The bytes are no notebook that can be read; the message says why."""


def read_notebook(path: str, content: bytes, *, kernel: str | None = None) -> Notebook | list[Problem]:
    """Return the notebook in these bytes, or its problems. `path` is repo-relative and only names it.

    `kernel`, from an option, replaces the notebook's own. Reads at most `MAX_NOTEBOOK_BYTES`.
    """
    try:
        data = _parse(content, MAX_NOTEBOOK_BYTES)
        assumed = normalize(data)
        _check_format(data)
    except UnreadableNotebook as error:
        return [Problem(path, "", str(error))]
    cells = code_cells_of(data)
    own_kernel = _text(data, "kernelspec", "name")
    problems = [
        *_kernel_problems(path, kernel or own_kernel),
        *_cell_problems(path, cells),
    ]
    if problems:
        return problems
    language = _language(data, kernel or own_kernel)
    return Notebook(
        path=path,
        sha256=hashlib.sha256(staged_form(content)).hexdigest(),
        language=language,
        kernel=kernel or own_kernel,
        code_cells=cells,
        declared_parameters=_declared(data["cells"], language, kernel or own_kernel),
        parameters_at=_first_tagged(data["cells"], PARAMETERS_TAG),
        injected_at=_first_tagged(data["cells"], INJECTED_TAG),
        code_sha256=_code_sha256(data),
        assumed=assumed,
    )


def _code_sha256(data: JsonObject) -> str:
    """Return the hash of a normalized notebook without its Markdown cells. Ids do not count: some count the cells."""
    cells = [
        {key: value for key, value in cell.items() if key != "id"}
        for cell in data["cells"]
        if cell["cell_type"] != "markdown"
    ]
    return hashlib.sha256(json.dumps({**data, "cells": cells}, sort_keys=True).encode()).hexdigest()


def load_notebook(content: bytes, *, limit: int = MAX_NOTEBOOK_BYTES) -> JsonObject:
    """Return the JSON of the valid notebook in these bytes. Raises UnreadableNotebook, also beyond `limit` bytes."""
    data = _parse(content, limit)
    _check_format(data)
    return data


def _check_format(data: JsonObject) -> None:
    version = data.get("nbformat")
    if type(version) is not int:
        raise UnreadableNotebook("has no whole number under nbformat; expected a Jupyter notebook")
    if version != _FORMAT:
        how = (
            "; convert it: jupyter nbconvert --to notebook --inplace <notebook>" if version < _FORMAT else ""
        )
        raise UnreadableNotebook(f"is in notebook format {version}, and only format {_FORMAT} is read{how}")
    fault = schema_fault(data)
    if fault is not None:
        raise UnreadableNotebook(f"not a valid notebook: {fault}")


def joined(text: str | list[str]) -> str:
    """Return a multi-line string of the notebook format, which may be a list of lines, as one string."""
    return text if isinstance(text, str) else "".join(text)


def is_blank(cell: CodeCell) -> bool:
    """True for a cell of white space only. Jupyter's tools never execute one."""
    return not cell.source.strip()


def is_executed(cell: CodeCell) -> bool:
    """True for a cell that nbclient sends to the kernel: neither blank nor tagged `skip-execution`."""
    return not is_blank(cell) and SKIP_TAG not in cell.tags


def code_cells_of(notebook: JsonObject) -> tuple[CodeCell, ...]:
    """Return the code cells of a valid notebook, in order."""
    return tuple(
        CodeCell(position, joined(cell["source"]), _tags(cell))
        for position, cell in enumerate(notebook["cells"])
        if cell["cell_type"] == "code"
    )


def check_parameters(
    notebook: Notebook, given: Mapping[str, Any], *, variable: str = "NB_PARAMETERS"
) -> list[Problem]:
    """Return the problems in parameters for this notebook: undeclared names, and values that JSON cannot hold.

    A notebook declares the names that papermill infers from the first cell tagged `parameters`, and those that its
    lines assign. Every name passes if papermill does not know the notebook's language.
    """
    problems = [
        Problem(
            variable, name, f"is {value!r}; JSON has no infinity and no NaN, so give a finite number or text"
        )
        for name, value in given.items()
        if not _is_finite(value)
    ]
    declared = notebook.declared_parameters
    if declared is None:
        return problems
    unknown = [name for name in given if name not in declared]
    return [*problems, *(_unknown_parameter(notebook, variable, name, declared) for name in unknown)]


def _parse(content: bytes, limit: int) -> JsonObject:
    _check_bytes(content, limit)
    try:
        data = json.loads(content.decode("utf-8"), parse_constant=_no_constant)
        if _SURROGATE_ESCAPE.search(content):
            json.dumps(data, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise UnreadableNotebook(_why_no_json(error)) from error
    if not isinstance(data, dict):
        raise UnreadableNotebook("holds no JSON object; expected a Jupyter notebook")
    if is_deeper(data, _MAX_DEPTH):
        raise UnreadableNotebook(_TOO_DEEP)
    return data


def _why_no_json(error: Exception) -> str:
    match error:
        case UnicodeDecodeError():
            return f"not UTF-8 (byte {error.start}); expected a Jupyter notebook"
        case UnicodeEncodeError():
            return r"holds half of a surrogate pair (\ud800 to \udfff), which no file can hold"
        case json.JSONDecodeError():
            return f"not valid JSON at line {error.lineno}, column {error.colno}: {error.msg}"
        case RecursionError():
            return _TOO_DEEP
    return f"not valid JSON: {str(error).partition(';')[0]}"


def _check_bytes(content: bytes, limit: int) -> None:
    if len(content) > limit:
        raise UnreadableNotebook(
            f"has {len(content)} bytes, more than the {limit} that are read; clear its outputs"
        )
    if not content.strip():
        raise UnreadableNotebook("the file is empty; expected a Jupyter notebook")
    if content.startswith(codecs.BOM_UTF8):
        raise UnreadableNotebook("the file begins with a byte order mark; save it as UTF-8 without one")


def _no_constant(name: str) -> None:
    message = f"{name} is no JSON number"
    raise ValueError(message)


def _kernel_problems(path: str, kernel: str) -> Iterable[Problem]:
    if not kernel:
        yield Problem(
            path,
            "",
            "names no kernel (metadata.kernelspec.name); save it in Jupyter with a kernel, or set NB_KERNEL",
        )


def _cell_problems(path: str, cells: tuple[CodeCell, ...]) -> Iterable[Problem]:
    if not any(is_executed(cell) for cell in cells):
        yield Problem(path, "", "has no code cell that would be executed, so nothing would be tested")


def _tags(cell: JsonObject) -> frozenset[str]:
    return frozenset(cell["metadata"].get("tags", ()))


def _text(data: JsonObject, *keys: str) -> str:
    value: Any = data["metadata"]
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


def _language(data: JsonObject, kernel: str) -> str:
    named = _text(data, "language_info", "name") or _text(data, "kernelspec", "language")
    return named.lower() or ("python" if kernel.lower().startswith("python") else "")


def _first_tagged(raw_cells: list[JsonObject], tag: str) -> int | None:
    """Return the position of the first cell with the tag, of any type, which is the one that papermill uses."""
    return next((number for number, cell in enumerate(raw_cells) if tag in _tags(cell)), None)


def _declared(raw_cells: list[JsonObject], language: str, kernel: str) -> frozenset[str] | None:
    tagged = _first_tagged(raw_cells, PARAMETERS_TAG)
    if tagged is None:
        return frozenset()
    if not reads_parameters(language, kernel):
        return None
    source = joined(raw_cells[tagged]["source"])
    return declared_parameters(source) | assigned_names(source)


def _unknown_parameter(notebook: Notebook, variable: str, name: str, declared: frozenset[str]) -> Problem:
    path, at = notebook.path, notebook.parameters_at
    tagged = next((cell for cell in notebook.code_cells if cell.position == at), None)
    if at is None:
        return Problem(variable, name, f"{path} has no code cell tagged {PARAMETERS_TAG} that declares it")
    if tagged is None:
        return Problem(
            variable,
            name,
            f"{path} does not declare it: cells[{at}], the first one tagged {PARAMETERS_TAG}, is no code cell; tag that instead",
        )
    if _is_assigned(name, tagged.source):
        return Problem(
            variable,
            name,
            f"papermill does not see it declared in {path}: the line must be `{name} = value` and hold no other `=`; "
            f"for a value that has one, write `{name} = (`, the value on the next line, and `)`",
        )
    if not declared:
        return Problem(variable, name, f"the cell tagged {PARAMETERS_TAG} in {path} declares nothing")
    near = difflib.get_close_matches(name, sorted(declared), n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return Problem(
        variable, name, f"not a parameter of {path}{hint}; it declares {', '.join(sorted(declared))}"
    )


def _is_assigned(name: str, source: str) -> bool:
    """True if a line has the name and an `=` after it."""
    word = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
    found = ((line, word.search(line)) for line in source.split("\n"))
    return any(match is not None and "=" in line[match.end() :] for line, match in found)


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(_is_finite(item) for item in value.values())
    return all(_is_finite(item) for item in value) if isinstance(value, list | tuple) else True
