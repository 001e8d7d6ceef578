"""Judges an attempt in one pure function. Silence is red; green needs every proof."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from builder.errors import ExitCode
from builder.globs import matches
from builder.judge.advice import advice_for, installing_cell
from builder.judge.cell_checks import (
    CORRECT_CELL,
    NO_OVERWRITE,
    READ_LOG,
    SHOW_LESS,
    START_AGAIN,
    check_cells,
    environments_fault,
    notebooks_fault,
    place,
)
from builder.judge.cell_failure import failure_at, find_failure
from builder.judge.executed_notebook import MAX_EXECUTED_BYTES, expected_cells, read_executed
from builder.judge.expected import Expected
from builder.judge.known_faults import known_faults
from builder.judge.missing_module import missing_module_advice
from builder.judge.objects import check_objects, check_skipped
from builder.judge.secret_faults import check_secrets, judge_secret_fault
from builder.judge.silent_failures import let_pass, silent_failure
from builder.model import CellFailure, Listed, Verdict
from builder.plain_text import one_line
from builder.plan.notebooks import UnreadableNotebook, is_executed
from builder.vm.protocol import DEAD_KERNEL, Evidence, FaultReport

MAX_NAMED = 10


def judge(
    expected: Expected, evidence: Evidence, executed: bytes | None, listing: Mapping[str, Listed]
) -> Verdict:
    """Return the verdict on one attempt. Raises nothing for any content that a VM wrote.

    `executed` has the executed notebook's bytes, whose checksum was verified. `listing` has the objects below the
    attempt's prefix in Cloud Storage, by relative name.
    """
    return _with_advice(expected, evidence, _judge(expected, evidence, executed, listing))


def _with_advice(expected: Expected, evidence: Evidence, verdict: Verdict) -> Verdict:
    """Return the verdict, with better advice if the cell's error belongs to a common family."""
    if verdict.reason not in {"cell_failed", "silent_failure"} or verdict.failure is None:
        return verdict
    packages = evidence.packages
    advice = missing_module_advice(
        verdict.failure,
        own=expected.modules,
        staged=expected.staged,
        installed=(*packages.image, *packages.overlay) if packages else (),
        pip_cell=installing_cell(verdict.failure, expected.notebook.code_cells),
    )
    advice = advice or advice_for(verdict.failure, expected)
    return verdict if advice is None else replace(verdict, advice=advice)


def _judge(
    expected: Expected, evidence: Evidence, executed: bytes | None, listing: Mapping[str, Listed]
) -> Verdict:
    return (
        _check_origin(expected, evidence)
        or _check_inputs(expected, evidence)
        or _check_fault(expected, evidence, executed)
        or check_secrets(expected.job.options.secrets, evidence.secrets)
        or _check_execution(expected, evidence, executed)
        or silent_failure(expected.notebook, expected.fail_on, evidence.notices)
        or check_objects(evidence, listing)
        or check_skipped(evidence)
        or _check_expectations(expected, evidence)
        or _green(expected, evidence)
    )


def _check_origin(expected: Expected, evidence: Evidence) -> Verdict | None:
    attempt = expected.attempt
    origin = {"run": attempt.run, "job": attempt.job, "attempt": attempt.number, "nonce": attempt.nonce}
    for name, wanted in origin.items():
        got = getattr(evidence, name)
        if wanted != got:
            what = f"evidence.json is of {name} {one_line(str(got))!r}, not of this attempt's {wanted!r}"
            return environments_fault("foreign_evidence", what)
    return None


def _check_inputs(expected: Expected, evidence: Evidence) -> Verdict | None:
    difference = next(_input_differences(expected, evidence), None)
    if difference is None:
        return None
    message = f"the VM's input differs from the staged one ({difference})"
    return environments_fault("input_mismatch", message)


def _input_differences(expected: Expected, evidence: Evidence) -> Iterator[str]:
    """Yield each input that differs from the staged one.

    An input that was never read differs too, unless there is a fault.
    """
    inputs = evidence.inputs
    pairs = (
        ("job", inputs.job, expected.job_sha256),
        ("workspace", inputs.workspace, expected.workspace_sha256),
        ("parameters", inputs.parameters, expected.parameters_sha256),
    )
    for name, got, sha256 in pairs:
        generation = expected.generations.get(name)
        if got is None:
            if evidence.fault is None:
                yield f"{name}: never read"
        elif got.sha256 != sha256:
            yield f"{name}: sha256 {got.sha256}, staged was {sha256}"
        elif got.generation != generation:
            yield f"{name}: generation {got.generation}, staged was {generation}"
    notebook = inputs.notebook.sha256 if inputs.notebook else None
    if notebook != expected.notebook.sha256 and (notebook or evidence.fault is None):
        yield f"notebook: sha256 {notebook}, staged was {expected.notebook.sha256}"


def _check_fault(expected: Expected, evidence: Evidence, executed: bytes | None) -> Verdict | None:
    """Return the verdict on the runner's fault, or on papermill's exit code."""
    if evidence.fault is not None:
        return _judge_fault(expected, evidence, evidence.fault, executed)
    if evidence.papermill is None:
        return environments_fault("not_started", "the VM ended before it started papermill")
    if evidence.papermill.exit_code == 0:
        return None
    return _judge_exit(expected, evidence, evidence.papermill.exit_code, executed)


def _judge_exit(expected: Expected, evidence: Evidence, code: int, executed: bytes | None) -> Verdict:
    if code == DEAD_KERNEL:
        return _judge_fault(expected, evidence, FaultReport("kernel_died", "", None), executed)
    failure = _failure_in(expected, executed)
    if failure is None and len(executed or b"") > MAX_EXECUTED_BYTES:
        message = (
            f"papermill ended with exit code {code}; the executed notebook has more than the {MAX_EXECUTED_BYTES} bytes that "
            "are read, so the log alone names the cell"
        )
        return notebooks_fault("notebook_failed", message, SHOW_LESS)
    if failure is None:
        message = f"papermill ended with exit code {code}, and no cell shows an error"
        return notebooks_fault("notebook_failed", message, READ_LOG)
    message = f"{failure.place} failed: {failure.error}"
    # A failure that Jupyter let pass before is the cause more often than not: a variable is missing.
    return silent_failure(
        expected.notebook, expected.fail_on, evidence.notices, until=failure.cell
    ) or notebooks_fault("cell_failed", message, CORRECT_CELL, failure)


def _judge_fault(
    expected: Expected, evidence: Evidence, fault: FaultReport, executed: bytes | None
) -> Verdict:
    """Return the verdict with the runner's message, and the exit code and advice for its reason."""
    said, options = one_line(fault.message), expected.job.options
    secret = judge_secret_fault(
        fault.reason, said, options.secrets, options.vm_service_account, evidence.secrets
    )
    if secret is not None:
        return secret
    failure = _failure_in(expected, executed) or failure_at(
        expected.notebook, fault.cell, said or fault.reason
    )
    where = f" in {place(failure.cell, failure.cells)}" if failure else ""
    known = known_faults(expected, evidence, where).get(fault.reason)
    reason = fault.reason if fault.reason.isidentifier() else "runner"
    exit_code, message, advice = known or (
        ExitCode.ENVIRONMENT_FAILED,
        f"the run ended on the VM ({reason}){where}",
        START_AGAIN,
    )
    return Verdict(exit_code, reason, said or message, advice, failure)


def _failure_in(expected: Expected, executed: bytes | None) -> CellFailure | None:
    try:
        after = read_executed(executed or b"")
    except UnreadableNotebook:
        return None
    cells = expected_cells(expected.notebook, injected=bool(expected.job.parameters))
    return find_failure(expected.notebook, after, cells)


def _check_execution(expected: Expected, evidence: Evidence, executed: bytes | None) -> Verdict | None:
    name = expected.executed_name
    size = next((item.size for item in evidence.objects if item.name == name), None)
    if evidence.executed_notebook != name or size is None or executed is None:
        message = f"the evidence reports success, but there is no {name}"
        return environments_fault("executed_notebook_missing", message)
    if size > MAX_EXECUTED_BYTES:
        message = f"{name} as executed has {size} bytes, more than the {MAX_EXECUTED_BYTES} that are read"
        return notebooks_fault("executed_notebook_invalid", message, SHOW_LESS)
    if len(executed) != size:
        message = f"{name} has {len(executed)} bytes; the VM wrote {size}"
        return environments_fault("executed_notebook_differs", message)
    try:
        after = read_executed(executed)
        return check_cells(expected.notebook, expected.job.parameters, after)
    except (UnreadableNotebook, RecursionError) as error:
        message = f"{name} as executed is not valid: {one_line(str(error))}"
        return notebooks_fault("executed_notebook_invalid", message, NO_OVERWRITE)


def _check_expectations(expected: Expected, evidence: Evidence) -> Verdict | None:
    for wanted in expected.job.options.expect:
        found = [item for item in evidence.objects if matches(wanted.glob, item.name)]
        if not found:
            message = f"no output matches NB_EXPECT's {wanted.glob!r}; {_written(evidence)}"
            return notebooks_fault(
                "output_missing", message, "Write the file below outputs/, or correct NB_EXPECT."
            )
        small = next((item for item in found if item.size < wanted.minimum_bytes), None)
        if small is not None:
            message = f"{one_line(small.name)} has {small.size} bytes; NB_EXPECT wants {wanted.minimum_bytes} or more"
            return notebooks_fault(
                "output_too_small", message, "Check what the notebook writes there, or correct NB_EXPECT."
            )
    return None


def _written(evidence: Evidence) -> str:
    """Return in words what the notebook wrote below outputs/."""
    names = sorted(item.name for item in evidence.objects if item.name.startswith("outputs/"))
    if not names:
        return "the notebook wrote nothing below outputs/"
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"the notebook wrote {', '.join(map(one_line, names[:MAX_NAMED]))}{more}"


def _green(expected: Expected, evidence: Evidence) -> Verdict:
    executed = sum(is_executed(cell) for cell in expected.notebook.code_cells)
    cells = "the only code cell" if executed == 1 else f"all {executed} code cells"
    count = len(evidence.objects)
    objects = "1 object is" if count == 1 else f"{count} objects are"
    message = f"{cells} ran, and {objects} in Cloud Storage"
    return Verdict(
        ExitCode.GREEN,
        "green",
        message + let_pass(expected.fail_on, evidence.notices, len(expected.notebook.code_cells)),
    )
