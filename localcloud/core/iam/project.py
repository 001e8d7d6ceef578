"""The project and the names of its accounts and resources."""

from __future__ import annotations

PROJECT = "local-project"
PROJECT_NUMBER = "123456789012"

EVERYONE = "allAuthenticatedUsers"

# The account that Cloud Scheduler publishes as. It is Google's own, and no process has its token.
SCHEDULER_AGENT = f"service-{PROJECT_NUMBER}@gcp-sa-cloudscheduler.iam.gserviceaccount.com"
# The account of Google's that Eventarc makes triggers as. A project that has never used Eventarc may lack its role.
EVENTARC_AGENT = f"service-{PROJECT_NUMBER}@gcp-sa-eventarc.iam.gserviceaccount.com"
# The account of Google's that Cloud Functions makes functions as, of which the same is true.
FUNCTIONS_AGENT = f"service-{PROJECT_NUMBER}@gcf-admin-robot.iam.gserviceaccount.com"


def email(account: str) -> str:
    """Return the address of one of the project's service accounts by its short name; an address stays as it is."""
    return account if "@" in account else f"{account}@{PROJECT}.iam.gserviceaccount.com"


def is_agent(address: str) -> bool:
    """True for the address of an account that Google makes for the project, by the project's number in it."""
    name, _, domain = address.partition("@")
    return domain.endswith("gserviceaccount.com") and PROJECT_NUMBER in name.split("-")


def account_name(account: str) -> str:
    """Return the resource name of one of the project's service accounts, by its short name or address."""
    return f"projects/{PROJECT}/serviceAccounts/{email(account)}"


def by_id(resource: str) -> str:
    """Return a resource's name with the project's id where it has the project's number."""
    head, number, rest = resource.partition(f"projects/{PROJECT_NUMBER}")
    return f"projects/{PROJECT}{rest}" if number and not head and rest[:1] in {"", "/"} else resource
