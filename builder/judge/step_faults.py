"""Whose fault it is when a step before the notebook fails: the set-up script, or the requirements. One part of the verdict."""

from __future__ import annotations

from collections.abc import Mapping

from builder.errors import ExitCode

# Exit code, message where the runner has no words of its own, and advice; by the runner's reason.
STEP_FAULTS: Mapping[str, tuple[ExitCode, str, str]] = {
    "setup_failed": (
        ExitCode.NOTEBOOK_FAILED,
        "the set-up script failed",
        "Correct the script that NB_SETUP names; the log has its whole output.",
    ),
    "setup_timeout": (
        ExitCode.TIME_LIMIT,
        "the set-up script reached its limit",
        "Make the script shorter, or raise NB_SETUP_TIMEOUT.",
    ),
    "requirements_unresolvable": (
        ExitCode.NOTEBOOK_FAILED,
        "the requirements cannot be installed",
        "Correct the requirements file; the log has the resolver's whole answer.",
    ),
    "requirements_timeout": (
        ExitCode.TIME_LIMIT,
        "installing the requirements reached its limit",
        "Ask for less, or raise NB_REQUIREMENTS_TIMEOUT.",
    ),
    "index_refused": (
        ExitCode.PROJECT_SETUP,
        "the package index refuses the VM",
        "See that NB_INDEX_URL is right; in Artifact Registry the VM's account needs roles/artifactregistry.reader.",
    ),
    "index_unreachable": (
        ExitCode.ENVIRONMENT_FAILED,
        "the package index cannot be reached from the VM",
        "See that the VM has a way to the index: a private VM needs Cloud NAT, or an index in Artifact Registry.",
    ),
}
