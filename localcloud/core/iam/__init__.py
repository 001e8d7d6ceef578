"""Identity and permissions: tokens that belong to accounts, and the check of each call against roles and policies."""

from localcloud.core.iam.iam import Iam
from localcloud.core.iam.predefined import ROLES
from localcloud.core.iam.profile import EVERY_BUCKET, Grant, Profile
from localcloud.core.iam.project import (
    EVENTARC_AGENT,
    EVERYONE,
    FUNCTIONS_AGENT,
    PROJECT,
    PROJECT_NUMBER,
    SCHEDULER_AGENT,
    account_name,
    by_id,
    email,
)

__all__ = [
    "EVENTARC_AGENT",
    "EVERYONE",
    "EVERY_BUCKET",
    "FUNCTIONS_AGENT",
    "PROJECT",
    "PROJECT_NUMBER",
    "ROLES",
    "SCHEDULER_AGENT",
    "Grant",
    "Iam",
    "Profile",
    "account_name",
    "by_id",
    "email",
]
