"""Reads a notebook's bytes and says what deciding needs of them, or every mistake found. Pure."""

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
from builder.plan.declared import declared_parameters, reads_parameters
from builder.plan.notebook_schema import schema_fault
from builder.stored_json import is_deeper

MAX_NOTEBOOK_BYTES = 100 * 2**20

# Tags that Jupyter's tools act on: papermill's two, then nbclient's two.
PARAMETERS_TAG = "parameters"
INJECTED_TAG = "injected-parameters"
RAISES_TAG = "raises-exception"
SKIP_TAG = "skip-execution"

_FORMAT = 4
_DEEPEST = 200  # levels of objects and lists; a chart's output has some twenty
_TOO_DEEP = "not a notebook: its JSON is nested too deeply"
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


class UnreadableNotebook(Exception):
    """Why these bytes are no notebook that can be looked into any further."""


def read_notebook(path: str, content: bytes, *, kernel: str | None = None) -> Notebook | list[Problem]:
    """The notebook of these bytes, or what is wrong with it. `path` is repo-relative and only names it.

    `kernel` is what an option gives; it goes before the notebook's own. Takes at most `MAX_NOTEBOOK_BYTES`.
    """
    try:
        data = load_notebook(content)
    except UnreadableNotebook as error:
        return [Problem(path, "", str(error))]
    cells = code_cells_of(data)
    own_kernel = _text(data, "kernelspec", "name")
    problems = [
        *_kernel_problems(path, kernel or own_kernel),
        *_cell_problems(path, data["cells"], cells),
    ]
    if problems:
        return problems
    language = _language(data, kernel or own_kernel)
    return Notebook(
        path=path,
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
        language=language,
        kernel=kernel or own_kernel,
        code_cells=cells,
        declared_parameters=_declared(data["cells"], language, kernel or own_kernel),
        parameters_at=_first_tagged(data["cells"], PARAMETERS_TAG),
        injected_at=_first_tagged(data["cells"], INJECTED_TAG),
    )


def load_notebook(content: bytes, *, limit: int = MAX_NOTEBOOK_BYTES) -> JsonObject:
    """The valid notebook of format 4 in these bytes, of which at most `limit` are read, as JSON.

    Raises:
        UnreadableNotebook: it is none; the text says why.
    """
    data = _parse(content, limit)
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
    return data


def joined(text: str | list[str]) -> str:
    """A multi-line string of the notebook format, which may stand as a list of lines, as one string."""
    return text if isinstance(text, str) else "".join(text)


def is_blank(cell: CodeCell) -> bool:
    """True for a cell of white space only. Jupyter's tools never execute one."""
    return not cell.source.strip()


def is_executed(cell: CodeCell) -> bool:
    """True for a cell that nbclient sends to the kernel: neither blank nor tagged `skip-execution`."""
    return not is_blank(cell) and SKIP_TAG not in cell.tags


def code_cells_of(notebook: JsonObject) -> tuple[CodeCell, ...]:
    """The code cells of a notebook that is known to be valid, in order."""
    return tuple(
        CodeCell(position, joined(cell["source"]), _tags(cell))
        for position, cell in enumerate(notebook["cells"])
        if cell["cell_type"] == "code"
    )


def check_parameters(
    notebook: Notebook, given: Mapping[str, Any], *, variable: str = "NB_PARAMETERS"
) -> list[Problem]:
    """The mistakes in parameters given for this notebook: names it does not declare, values JSON cannot hold.

    What it declares is what papermill infers from the first cell tagged `parameters`. Where the declared names cannot be told (another language than Python), any name passes.
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
    if is_deeper(data, _DEEPEST):
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


def _cell_problems(path: str, raw_cells: list[JsonObject], cells: tuple[CodeCell, ...]) -> Iterable[Problem]:
    if not any(is_executed(cell) for cell in cells):
        yield Problem(path, "", "has no code cell that would be executed, so nothing would be tested")
    seen: dict[str, int] = {}
    for number, cell in enumerate(raw_cells):
        if "id" in cell and seen.setdefault(cell["id"], number) != number:
            yield Problem(
                path,
                "",
                f"cells[{seen[cell['id']]}] and cells[{number}] share the id {cell['id']!r}; "
                "open and save it in Jupyter, which gives each cell its own",
            )


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
    """Where papermill finds the tag: in the first cell that has it, of whatever type."""
    return next((number for number, cell in enumerate(raw_cells) if tag in _tags(cell)), None)


def _declared(raw_cells: list[JsonObject], language: str, kernel: str) -> frozenset[str] | None:
    tagged = _first_tagged(raw_cells, PARAMETERS_TAG)
    if tagged is None:
        return frozenset()
    return (
        declared_parameters(joined(raw_cells[tagged]["source"]))
        if reads_parameters(language, kernel)
        else None
    )


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
