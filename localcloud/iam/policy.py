"""Who may do what: accounts and their grants, as data; the grants are those that our documentation tells users to make."""

from __future__ import annotations

from dataclasses import dataclass

PROJECT = "local-project"
PROJECT_NUMBER = "123456789012"

EVERYONE = "allAuthenticatedUsers"


def email(account: str) -> str:
    """Return the address of one of the project's service accounts, by its short name; an address stays as it is."""
    return account if "@" in account else f"{account}@{PROJECT}.iam.gserviceaccount.com"


# As whom Cloud Scheduler publishes: an account of Google's, which nobody has a token of.
SCHEDULER_AGENT = f"service-{PROJECT_NUMBER}@gcp-sa-cloudscheduler.iam.gserviceaccount.com"

ACCOUNTS = ("builder", "deployer", "vm", "function", "function-build", "trigger")

# Who `exec` and `serve` are, and builds that name no account (on Google those run as Compute Engine's default account).
DEFAULT_ACCOUNT = "deployer"


@dataclass(frozen=True)
class Grant:
    """A role for an account (short name, address, or EVERYONE) on the resources that `on` matches.

    In `on`, `*` stands for one path segment and `**` for any number of them, none included.
    """

    account: str
    role: str
    on: str


# What every Google project can read without a grant of its own.
_PUBLIC_DATA = "projects/bigquery-public-data/datasets/**"
_PUBLIC_IMAGE_PROJECTS = ("deeplearning-platform-release", "debian-cloud", "ubuntu-os-cloud")


def _custom(role: str) -> str:
    return f"projects/{PROJECT}/roles/{role}"


def _account(name: str) -> str:
    return f"projects/{PROJECT}/serviceAccounts/{email(name)}"


GRANTS = (
    *(
        Grant(EVERYONE, "roles/compute.imageUser", f"projects/{name}{below}")
        for name in _PUBLIC_IMAGE_PROJECTS
        for below in ("", "/**")
    ),
    Grant(EVERYONE, "roles/bigquery.dataViewer", _PUBLIC_DATA),
    Grant("vm", "roles/bigquery.jobUser", f"projects/{PROJECT}"),
    # The two that builds run as.
    *(
        Grant(account, role, on)
        for account in ("builder", "deployer")
        for role, on in (
            (_custom("notebookBuilder"), f"projects/{PROJECT}"),
            (_custom("notebookBuilder"), f"projects/{PROJECT}/**"),
            (_custom("notebookBuildReader"), f"projects/{PROJECT}"),
            ("roles/storage.objectUser", "projects/_/buckets/**"),
            ("roles/storage.bucketViewer", "projects/_/buckets/*"),
            ("roles/artifactregistry.reader", f"projects/{PROJECT}/locations/*/repositories/**"),
            ("roles/iam.serviceAccountUser", _account("vm")),
        )
    ),
    Grant("vm", _custom("notebookVmReader"), "projects/_/buckets/*/objects/**/kits/**"),
    Grant("vm", _custom("notebookVmReader"), "projects/_/buckets/*/objects/**/staging/**"),
    Grant("vm", _custom("notebookVmWriter"), "projects/_/buckets/*/objects/**/staging/**"),
    Grant("deployer", _custom("notebookDeployer"), f"projects/{PROJECT}"),
    Grant("deployer", _custom("notebookDeployer"), f"projects/{PROJECT}/**"),
    *(
        Grant("deployer", "roles/iam.serviceAccountUser", _account(name))
        for name in ("function", "function-build", "trigger")
    ),
    # Who submits builds on a schedule, of what is live; they run as the builder.
    Grant("function", _custom("notebookFunction"), f"projects/{PROJECT}"),
    Grant("function", "roles/iam.serviceAccountUser", _account("builder")),
    Grant("function", _custom("notebookFunctionReader"), "projects/_/buckets/*/objects/**/live/**"),
    *(
        Grant("function-build", "roles/cloudbuild.builds.builder", on)
        for on in (f"projects/{PROJECT}", f"projects/{PROJECT}/**", "projects/_/buckets/**")
    ),
    Grant(SCHEDULER_AGENT, "roles/cloudscheduler.serviceAgent", f"projects/{PROJECT}/**"),
)
