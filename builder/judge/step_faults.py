"""The verdicts on a failed step before the notebook: the set-up script, or the requirements."""

from __future__ import annotations

from collections.abc import Mapping

from builder.errors import ExitCode

# Exit code, message if the runner gives none, and advice, by the runner's reason.
STEP_FAULTS: Mapping[str, tuple[ExitCode, str, str]] = {
    "setup_failed": (
        ExitCode.NOTEBOOK_FAILED,
        "the set-up script failed",
        "Correct the script that NB_SETUP names. The log has its whole output.",
    ),
    "setup_timeout": (
        ExitCode.TIME_LIMIT,
        "the set-up script reached its limit",
        "Make the script shorter, or raise NB_SETUP_TIMEOUT.",
    ),
    "requirements_unresolvable": (
        ExitCode.NOTEBOOK_FAILED,
        "the requirements cannot be installed",
        "Correct the requirements file. The log has the resolver's whole answer.",
    ),
    "requirements_timeout": (
        ExitCode.TIME_LIMIT,
        "installing the requirements reached its limit",
        "Ask for less, or raise NB_REQUIREMENTS_TIMEOUT.",
    ),
    "index_refused": (
        ExitCode.PROJECT_SETUP,
        "the package index refuses the VM",
        "Check NB_INDEX_URL. In Artifact Registry, the VM's account needs roles/artifactregistry.reader.",
    ),
    "index_untrusted": (
        ExitCode.PROJECT_SETUP,
        "the VM does not trust the package index's certificate",
        "Set NB_CA_BUNDLE to the certificates of the index, or of the proxy before it: a file in the workspace, or a gs:// object.",
    ),
    "ca_bundle_unusable": (
        ExitCode.PROJECT_SETUP,
        "the certificates that NB_CA_BUNDLE names cannot be used",
        "The file must exist, in PEM form. The VM's account reads a gs:// object, and needs storage.objects.get on it (docs/packages.md).",
    ),
    "index_unreachable": (
        ExitCode.ENVIRONMENT_FAILED,
        "the package index cannot be reached from the VM",
        "A VM without an external address needs an index in Artifact Registry (NB_INDEX_URL) or Cloud NAT (docs/packages.md).",
    ),
}
