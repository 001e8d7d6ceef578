r"""The advice for common errors of cells, as one table. Pure.

To add a family, add a row: what the error says, and what to do. `{account}` is the VM's account, `{machine}` its type.
Missing modules are in missing_module.py, since their advice depends on the repository.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from posixpath import basename

from builder.judge.expected import Expected
from builder.model import CellFailure, CodeCell

_ADVICE: tuple[tuple[str, str], ...] = (
    (
        r"^!(?>.*?\b(?:pip3?|conda|mamba|uv)\b)(?>.*? install\b).* ended with exit code ",
        (
            "List the packages in NB_REQUIREMENTS, which the VM installs before the kernel starts. A VM without an external address "
            "reaches no package index by itself (docs/packages.md)."
        ),
    ),
    (
        (
            r"Cannot load backend '|Failed to import any of the following Qt binding|not a recognised GUI loop or backend"
            r"|No module named '(?:ipympl|tkinter)|no display name and no \$DISPLAY|is not a valid value for backend"
        ),
        "The VM has no display, and the HTML pages have no running kernel. Use %matplotlib inline, or do not select a backend.",
    ),
    (
        r"^TerminatedWorkerError\b|^BrokenProcessPool\b",
        (
            "A worker process ended, most often because memory ran out: each worker has its own copy of the data. Use fewer (n_jobs, "
            "max_workers), or a larger machine: NB_MACHINE_TYPE is {machine}."
        ),
    ),
    (
        r"PicklingError: |\b[Cc]annot pickle |Can't pickle |Can't get attribute '\w+' on <module '__(?:mp_)?main__'",
        (
            "Worker processes get functions and arguments by pickle. Put the function into a module beside the notebook, and pass "
            "plain data: no locks, files, or clients."
        ),
    ),
    (
        r"CUDA out of memory|CUDA error: out of memory|CUDNN_STATUS_ALLOC_FAILED|ResourceExhaustedError: .*OOM",
        "The GPU's memory ran out. Use smaller batches, or a GPU with more memory (NB_ACCELERATOR, NB_MACHINE_TYPE).",
    ),
    (
        r"^(?:\w+\.)*_?\w*MemoryError\b|Cannot allocate memory",
        "Memory ran out. Use less, or take a larger machine: NB_MACHINE_TYPE is {machine}.",
    ),
    (
        r"bigquery\.jobs\.create|bigquery\.readsessions\.create",
        "Grant {account} roles/bigquery.jobUser and roles/bigquery.readSessionUser on the project that runs the query.",
    ),
    (
        r"403 .*(?:bigquery\.(?:tables|datasets)\.|BigQuery: Permission denied|Access Denied: (?:Table|Dataset)|to query table)",
        "Grant {account} roles/bigquery.dataViewer on the dataset (dataEditor to write).",
    ),
    (
        r"(?:403 .*|does not have )storage\.buckets\.get\b",
        "Use bucket(), which reads nothing, instead of get_bucket(), or grant {account} roles/storage.bucketViewer.",
    ),
    (
        r"(?:403 .*|does not have )storage\.objects\.(?:create|update|delete)\b",
        "Grant {account} roles/storage.objectUser on the bucket.",
    ),
    (
        r"403 .*storage\.(?:objects|buckets)\.|does not have storage\.\w+\.\w+ access",
        "Grant {account} roles/storage.objectViewer on the bucket (objectUser to write).",
    ),
    (
        r"\b429 |TooManyRequests|ResourceExhausted|[Qq]uota ?[Ee]xceeded|rateLimitExceeded|[Ee]xceeded .*(?:quota|rate limit)",
        (
            "A quota or rate limit of the service is used up. Ask for less at once (NB_CONCURRENCY), or raise the quota of the "
            "project."
        ),
    ),
    (
        r"(?:PermissionDenied|Forbidden): 403\b",
        "The notebook runs as {account}. Grant this account the role that the message names.",
    ),
)
_MISSING_FILE = re.compile(
    r"^FileNotFoundError: .*?(?:No such file or directory:? ?)?'(?P<path>[^']{1,300})'"
)
# What commonly follows if a kernel has imported one version of a package, and pip has installed another.
_OTHER_VERSION = re.compile(
    r"ImportError: cannot import name |AttributeError: (?:partially initialized )?module '|ValueError: numpy\.\w+ size changed"
    r"|(?:\w+\.)*(?:VersionConflict|ContextualVersionConflict)\b"
)
_INSTALLS = re.compile(r"^[ \t]*+[!%](?>.*?\b(?:pip3?|conda|mamba|uv)\b).* install\b", re.MULTILINE)
_SCRIPT = re.compile(r"\s*%%(?:bash|sh|script)\b")


def advice_for(failure: CellFailure, expected: Expected) -> str | None:
    """Return the advice for a failed cell; None if its error belongs to no family."""
    if _has_windows_line_ends(failure, expected):
        return "The cell has Windows line ends (CRLF), which the shell takes as part of each line. Save the notebook with LF."
    if installed := _installed_too_late(failure, expected):
        return installed
    missing = _MISSING_FILE.match(failure.error)
    if missing is not None:
        return _missing_file(missing["path"], expected)
    found = (advice for pattern, advice in _ADVICE if re.search(pattern, failure.error))
    advice = next(found, None)
    vm = expected.job.options
    return advice and advice.format(account=vm.vm_service_account, machine=vm.machine_type)


def installing_cell(failure: CellFailure, cells: Sequence[CodeCell]) -> int | None:
    """Return the number of the last cell, up to the failed one, that installs packages; None if there is none."""
    upto = range(min(failure.cell, len(cells)), 0, -1)
    return next((number for number in upto if _INSTALLS.search(cells[number - 1].source)), None)


def _installed_too_late(failure: CellFailure, expected: Expected) -> str | None:
    """Return the advice if a cell installs packages, and the kernel kept an older version that it had imported."""
    if not _OTHER_VERSION.match(failure.error):
        return None
    cell = installing_cell(failure, expected.notebook.code_cells)
    if cell is None:
        return None
    return (
        f"Cell {cell} installs packages while the kernel runs, and the kernel keeps what it has imported. List them in "
        "NB_REQUIREMENTS, which the VM installs before the kernel starts."
    )


def _has_windows_line_ends(failure: CellFailure, expected: Expected) -> bool:
    cells = expected.notebook.code_cells
    source = cells[failure.cell - 1].source if 0 < failure.cell <= len(cells) else ""
    return bool(_SCRIPT.match(source)) and "\r\n" in source


def _missing_file(path: str, expected: Expected) -> str:
    """Return where the file is, if one of this name is staged, else how a file gets to the VM."""
    if "\\" in path:
        return f"'{path}' has a backslash: paths on Linux have /. If it ends with \\r, save the file that has it with LF."
    name = basename(path.rstrip("/"))
    staged = sorted(other for other in expected.staged if basename(other) == name)
    if staged:
        return f"{staged[0]} is staged. Paths count from the notebook's folder, {_folder(expected)}, in which it runs."
    return (
        f"The VM has only staged files: the notebook's folder as git tracks it, and NB_INCLUDE. If {name} lies elsewhere in the "
        "repository, add it to NB_INCLUDE. If git ignores it, fetch it from Cloud Storage."
    )


def _folder(expected: Expected) -> str:
    folder = expected.notebook.path.rpartition("/")[0]
    return f"{folder}/" if folder else "the repository's root"
