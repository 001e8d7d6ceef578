"""Reads the state of a VM's boot from the lines of its serial port. Pure.

Only lines with MARK count: the startup script, the bootstrap and the runner print them.
"""

from __future__ import annotations

from collections.abc import Sequence

from builder.act.vm import Vm
from builder.errors import BuilderError, EnvironmentFailed, ProjectSetup, TimeLimit
from builder.judge.cell_checks import START_AGAIN
from builder.judge.known_faults import OVERRUN_ADVICE
from builder.model import region_of
from builder.plan.subnetworks import allow_private_access, subnetwork_of

MARK = "notebook-builder: "
_FAILED = f"{MARK}failed: "
_RUN_LIMIT = "run_limit:"
_KIT_FETCHED = f"{MARK}boot: kit fetched"
# How the bootstrap and the runner report a call that Google refused to the VM's account.
_REFUSALS = ("HTTP 401", "HTTP 403", "Unauthorized: 401", "Forbidden: 403")
# Faults of the image's Python, which every VM of the image has, with their advice.
_NO_PYTHON = {
    "no_python": "Choose another NB_IMAGE_FAMILY, such as the default (docs/packages.md), or put one of these versions into an "
    "image of your own.",
    "no_kit": "Run the published image of notebook-builder, which has a kit for each of them; a checkout builds them with "
    "`python -m builder.kit.build build/kit cp311 cp312 cp313 cp314 cp315 uv`.",
}


def boot_error(vm: Vm, project: str, lines: Sequence[str]) -> BuilderError | None:
    """Return the error of a VM that reports a failed boot; None without such a report."""
    failed = next((number for number, line in enumerate(lines) if _FAILED in line), None)
    if failed is None:
        return None
    said = lines[failed].partition(_FAILED)[2]
    reason = said.partition(":")[0]
    # The runner reports a refusal before it ends; the bootstrap then reports the exit status only. Later lines are
    # about the VM's end.
    refused = refusal(lines[:failed] if reason == "runner" else [said])
    if refused is not None:
        return permission_denied(vm, refused)
    if reason in _NO_PYTHON:
        return ProjectSetup(
            f"The image of VM {vm.name} has no Python that can run notebooks: {said}",
            reason=reason,
            advice=_NO_PYTHON[reason],
        )
    if reason == "unreachable" and _lacks_private_access(vm, said):
        return no_private_access(vm, project, f"VM {vm.name} cannot reach Cloud Storage: {said}")
    return EnvironmentFailed(
        f"VM {vm.name} could not start its runner: {said}", reason="boot_failed", advice=START_AGAIN
    )


def overrun(vm: Vm, lines: Sequence[str]) -> TimeLimit | None:
    """Return the error of a VM whose watchdog had to kill the runner, which left no evidence; None without a report."""
    if not any(f"{_FAILED}{_RUN_LIMIT}" in line for line in lines):
        return None
    return TimeLimit(
        f"VM {vm.name} reached its limit before it had stored its results.",
        reason="run_timeout",
        advice=OVERRUN_ADVICE,
    )


def refusal(lines: Sequence[str]) -> str | None:
    """Return the last line about a call that Google refused to the VM's account, without its mark; None without one.

    A kit that is not uploaded yet is refused too. Such lines do not count once the kit is fetched.
    """
    fetched = next((number for number in reversed(range(len(lines))) if _KIT_FETCHED in lines[number]), -1)
    found = (line for line in reversed(lines[fetched + 1 :]) if any(words in line for words in _REFUSALS))
    return next((line.partition(MARK)[2] or line for line in found), None)


def permission_denied(vm: Vm, said: str) -> ProjectSetup:
    """Return the error of a VM whose account lacks a role."""
    return ProjectSetup(
        f"The account of VM {vm.name} lacks a permission on the bucket: {said}",
        reason="vm_permission_denied",
        advice="Grant NB_VM_SERVICE_ACCOUNT its roles on kits/ and staging/ (docs/accounts.md); a new grant takes "
        "some minutes to take effect.",
    )


def _lacks_private_access(vm: Vm, said: str) -> bool:
    """Return True if connections to Google's own addresses time out.

    A DNS failure or a closed port has another cause.
    """
    times_out = any(words in said for words in ("timed out", "Network is unreachable", "No route to host"))
    return times_out and ".googleapis.com:" in said and vm.spec is not None and not vm.spec.external_ip


def no_private_access(vm: Vm, project: str, said: str) -> ProjectSetup:
    """Return the error of a VM that reaches no API, because its subnetwork has no Private Google Access."""
    assert vm.spec is not None  # noqa: S101 - for the type checker
    command = allow_private_access(subnetwork_of(vm.spec, project, region_of(vm.zone)))
    return ProjectSetup(
        f"{said} The VM has no external address, and it reached no Google API.",
        reason="no_private_google_access",
        advice=f"Switch Private Google Access on for its subnetwork: {command}\nIf it is on, look at the routes and the "
        "egress rules of the network's firewall; `check` shows what it finds.",
    )
