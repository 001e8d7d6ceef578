"""Green or not: the one pure function that judges an attempt. Silence is red; green needs every proof."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from builder.errors import ExitCode
from builder.judge.cell_failure import failure_at, find_failure
from builder.judge.evidence import Evidence, Fault
from builder.judge.executed import read_executed, slots
from builder.judge.execution import (
    AGAIN,
    CORRECT_CELL,
    KEEP_HANDS_OFF,
    LOOK,
    check_cells,
    environments_fault,
    notebooks_fault,
    place,
)
from builder.judge.plain_text import one_line
from builder.judge.secret_faults import check_secrets, judge_secret_fault
from builder.judge.step_faults import STEP_FAULTS
from builder.model import CellFailure, Expectation, Listed, Notebook, Verdict
from builder.plan.globs import matches
from builder.plan.notebooks import UnreadableNotebook, is_executed

_KERNEL_DIED = 138  # papermill's exit code for nbclient's DeadKernelError


@dataclass(frozen=True)
class Expected:
    """What the builder staged and asked for, which the evidence must match. Times are seconds.

    `name` is the notebook's name without folder and ending; `generations` has the keys job, workspace, parameters;
    `secrets` are names in Secret Manager by variable, and `service_account` is the VM's.
    """

    run: str
    job: str
    attempt: int
    nonce: str
    job_sha256: str
    workspace_sha256: str
    parameters_sha256: str
    generations: Mapping[str, int]
    notebook: Notebook
    parameters: Mapping[str, Any]
    secrets: Mapping[str, str]
    service_account: str
    expect: tuple[Expectation, ...]
    name: str
    machine_type: str
    timeout: int
    cell_timeout: int | None

    @property
    def executed_name(self) -> str:
        """The executed notebook's name below the attempt's prefix."""
        return f"{self.name}.ipynb"


def judge(
    expected: Expected, evidence: Evidence, executed: bytes | None, listing: Mapping[str, Listed]
) -> Verdict:
    """The verdict on one attempt.

    `executed` are the executed notebook's bytes, downloaded with their checksum verified; `listing` are the objects
    that are in Cloud Storage below the attempt's prefix, by relative name. Never raises on what a VM may leave there.
    """
    return (
        _check_origin(expected, evidence)
        or _check_inputs(expected, evidence)
        or _check_fault(expected, evidence, executed)
        or check_secrets(expected.secrets, evidence.secrets)
        or _check_execution(expected, evidence, executed)
        or _check_objects(evidence, listing)
        or _check_skipped(evidence)
        or _check_expectations(expected, evidence)
        or _green(expected, evidence)
    )


def _check_origin(expected: Expected, evidence: Evidence) -> Verdict | None:
    for field in ("run", "job", "attempt", "nonce"):
        wanted, got = getattr(expected, field), getattr(evidence, field)
        if wanted != got:
            what = f"evidence.json is of {field} {one_line(str(got))!r}, not of this attempt's {wanted!r}"
            return environments_fault("foreign_evidence", what)
    return None


def _check_inputs(expected: Expected, evidence: Evidence) -> Verdict | None:
    difference = next(_input_differences(expected, evidence), None)
    if difference is None:
        return None
    message = f"the VM worked on another input than was staged ({difference})"
    return environments_fault("input_mismatch", message)


def _input_differences(expected: Expected, evidence: Evidence) -> Iterator[str]:
    """Each input that is not the staged one. One that the VM never saw counts, unless it says what went wrong."""
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
    notebook = inputs.notebook_sha256
    if notebook != expected.notebook.sha256 and (notebook or evidence.fault is None):
        yield f"notebook: sha256 {notebook}, staged was {expected.notebook.sha256}"


def _check_fault(expected: Expected, evidence: Evidence, executed: bytes | None) -> Verdict | None:
    """What the runner says went wrong; then, that papermill ended at all."""
    if evidence.fault is not None:
        return _judge_fault(expected, evidence, evidence.fault, executed)
    if evidence.papermill is None:
        return environments_fault("not_started", "the VM ended without having started papermill")
    if evidence.papermill.exit_code == 0:
        return None
    return _judge_exit(expected, evidence, evidence.papermill.exit_code, executed)


def _judge_exit(expected: Expected, evidence: Evidence, code: int, executed: bytes | None) -> Verdict:
    if code == _KERNEL_DIED:
        return _judge_fault(expected, evidence, Fault("kernel_died", "", None), executed)
    failure = _failure_in(expected, executed)
    if failure is None:
        message = f"papermill ended with exit code {code}, and no cell shows an error"
        return notebooks_fault("notebook_failed", message, LOOK)
    message = f"{place(failure.cell, failure.cells)} failed: {failure.error}"
    return notebooks_fault("cell_failed", message, CORRECT_CELL, failure)


def _judge_fault(expected: Expected, evidence: Evidence, fault: Fault, executed: bytes | None) -> Verdict:
    """The runner's own words, where it has any, with the exit code and advice that go with its reason."""
    said = one_line(fault.message)
    secret = judge_secret_fault(
        fault.reason, said, expected.secrets, expected.service_account, evidence.secrets
    )
    if secret is not None:
        return secret
    failure = _failure_in(expected, executed) or failure_at(
        expected.notebook, fault.cell, said or fault.reason
    )
    where = f" in {place(failure.cell, failure.cells)}" if failure else ""
    known = _known_faults(expected, evidence, where).get(fault.reason)
    reason = fault.reason if fault.reason.isidentifier() else "runner"
    exit_code, message, advice = known or (
        ExitCode.ENVIRONMENT_FAILED,
        f"the run broke off on the VM ({reason}){where}",
        AGAIN,
    )
    return Verdict(exit_code, reason, said or message, advice, failure)


def _known_faults(
    expected: Expected, evidence: Evidence, where: str
) -> Mapping[str, tuple[ExitCode, str, str]]:
    """Exit code, message and advice for the faults that a fresh VM would not mend."""
    disk = evidence.disk_free_bytes
    memory = evidence.peak_memory_bytes
    return {
        "cell_timeout": (
            ExitCode.TIME_LIMIT,
            f"a cell ran longer than its limit of {expected.cell_timeout} s{where}",
            "Make the cell shorter, or raise NB_CELL_TIMEOUT.",
        ),
        "notebook_timeout": (
            ExitCode.TIME_LIMIT,
            f"the notebook ran longer than its limit of {expected.timeout} s{where}",
            "Make the notebook shorter, or raise NB_TIMEOUT.",
        ),
        "kernel_died": (
            ExitCode.NOTEBOOK_FAILED,
            f"the kernel died{where}"
            + ("" if memory is None else f", after {_size(memory)} of memory in use"),
            f"If memory ran out, take a larger machine: NB_MACHINE_TYPE is {expected.machine_type}.",
        ),
        "kernel_not_found": (
            ExitCode.NOTEBOOK_FAILED,
            f"the kernel {expected.notebook.kernel!r} is not on the VM",
            "Name a kernel that the image has, in the notebook or in NB_KERNEL.",
        ),
        "forbidden": (
            ExitCode.PROJECT_SETUP,
            "the VM's account may not read what was staged for it",
            "Grant NB_VM_SERVICE_ACCOUNT its roles on kits/ and staging/ (docs/accounts.md).",
        ),
        "disk_full": (
            ExitCode.NOTEBOOK_FAILED,
            f"the VM's disk is full{where}" + ("" if disk is None else f", with {_size(disk)} left"),
            "Write less, or raise NB_BOOT_DISK_GB.",
        ),
        **STEP_FAULTS,
        "notebook_unreadable": (
            ExitCode.NOTEBOOK_FAILED,
            "papermill could not read the notebook",
            "Open it in Jupyter and save it again.",
        ),
    }


def _failure_in(expected: Expected, executed: bytes | None) -> CellFailure | None:
    try:
        after = read_executed(executed or b"")
    except UnreadableNotebook:
        return None
    return find_failure(
        expected.notebook, after, slots(expected.notebook, injected=bool(expected.parameters))
    )


def _check_execution(expected: Expected, evidence: Evidence, executed: bytes | None) -> Verdict | None:
    name = expected.executed_name
    size = next((item.size for item in evidence.objects if item.name == name), None)
    if evidence.executed_notebook != name or size is None or executed is None:
        message = f"the VM says all went well but left no {name}"
        return environments_fault("executed_notebook_missing", message)
    if len(executed) != size:
        message = f"{name} has {len(executed)} bytes; the VM wrote {size}"
        return environments_fault("executed_notebook_differs", message)
    try:
        after = read_executed(executed)
        return check_cells(expected.notebook, expected.parameters, after)
    except (UnreadableNotebook, RecursionError) as error:
        message = f"{name} as executed is not valid: {one_line(str(error))}"
        return notebooks_fault("executed_notebook_invalid", message, KEEP_HANDS_OFF)


def _check_objects(evidence: Evidence, listing: Mapping[str, Listed]) -> Verdict | None:
    for item in evidence.objects:
        found = listing.get(item.name)
        if found is None:
            message = f"{one_line(item.name)} was uploaded but is not in Cloud Storage"
            return environments_fault("object_missing", message)
        for field in ("size", "crc32c", "generation"):
            wanted, got = getattr(item, field), getattr(found, field)
            if wanted != got:
                message = f"{one_line(item.name)} in Cloud Storage has {field} {got}; the VM wrote {wanted}"
                return environments_fault("object_differs", message)
    listed = {item.name for item in evidence.objects}
    stray = next(
        (name for name in sorted(listing) if name.startswith("outputs/") and name not in listed), None
    )
    if stray is not None:
        message = f"{one_line(stray)} is in Cloud Storage but not among what the VM says it wrote"
        return environments_fault("object_unlisted", message)
    return None


def _check_skipped(evidence: Evidence) -> Verdict | None:
    """What the notebook left in outputs/ and the VM could not upload would silently be missing."""
    if not evidence.skipped:
        return None
    first, more = evidence.skipped[0], len(evidence.skipped) - 1
    message = f"{one_line(first.path)} was not uploaded: {one_line(first.why)}"
    if more:
        message += f" (and {more} more)"
    advice = "Leave nothing in outputs/ but files with plain names, and links to such files; put all else elsewhere."
    return notebooks_fault("output_not_uploaded", message, advice)


def _check_expectations(expected: Expected, evidence: Evidence) -> Verdict | None:
    for wanted in expected.expect:
        found = [item for item in evidence.objects if matches(wanted.glob, item.name)]
        if not found:
            message = f"no output matches NB_EXPECT's {wanted.glob!r}"
            return notebooks_fault(
                "output_missing", message, "Write the file below outputs/, or correct NB_EXPECT."
            )
        small = next((item for item in found if item.size < wanted.minimum_bytes), None)
        if small is not None:
            message = f"{one_line(small.name)} has {small.size} bytes; NB_EXPECT wants {wanted.minimum_bytes} or more"
            return notebooks_fault(
                "output_too_small", message, "See what the notebook writes there, or correct NB_EXPECT."
            )
    return None


def _green(expected: Expected, evidence: Evidence) -> Verdict:
    executed = sum(is_executed(cell) for cell in expected.notebook.code_cells)
    message = f"all {executed} code cells ran, and {len(evidence.objects)} objects are in Cloud Storage"
    return Verdict(ExitCode.GREEN, "green", message)


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
