"""Identity and permissions: access tokens that belong to accounts, and the check of each call against their roles."""

from localcloud.iam.iam import Iam
from localcloud.iam.policies import by_id
from localcloud.iam.policy import (
    ACCOUNTS,
    DEFAULT_ACCOUNT,
    EVERYONE,
    GRANTS,
    PROJECT,
    PROJECT_NUMBER,
    SCHEDULER_AGENT,
    Grant,
    email,
)
from localcloud.iam.roles import ROLES
from localcloud.iam.testing import tested

__all__ = [
    "ACCOUNTS",
    "DEFAULT_ACCOUNT",
    "EVERYONE",
    "GRANTS",
    "PROJECT",
    "PROJECT_NUMBER",
    "ROLES",
    "SCHEDULER_AGENT",
    "Grant",
    "Iam",
    "by_id",
    "email",
    "tested",
]
