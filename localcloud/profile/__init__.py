"""The project of localcloud: accounts, roles, grants, the first bucket, and the image for this checkout.

Everything here belongs to this repository. `core`, `engines` and `services` know nothing of it.
"""

from localcloud.core.enabled import ENABLED_BY_DEFAULT
from localcloud.core.iam import PROJECT, PROJECT_NUMBER, Profile
from localcloud.profile.accounts import ACCOUNTS, CUSTOM_ROLES, DEFAULT_ACCOUNT, GRANTS, PREFIX, PUBLIC
from localcloud.profile.image import OWN_IMAGE
from localcloud.profile.table import DEPLOYING, table

FIRST_BUCKET = "local-project-notebooks"
DEFAULT_COMPUTE_ACCOUNT = f"{PROJECT_NUMBER}-compute@developer.gserviceaccount.com"
PROFILE = Profile(
    ACCOUNTS,
    DEFAULT_ACCOUNT,
    GRANTS,
    CUSTOM_ROLES,
    user=DEFAULT_ACCOUNT,
    buckets=(FIRST_BUCKET,),
    services=ENABLED_BY_DEFAULT | {name for part, name in table().apis if part in DEPLOYING},
    repositories={
        f"projects/{PROJECT}/locations/us-central1/repositories/{each.name}": each.format.upper()
        for each in table().repositories
        if each.part in DEPLOYING
    },
    any_repository=True,
    networks=("default", "custom"),
    private_google_access=True,
    prefixes=(PREFIX,),
)

# A new project: Google's defaults, Compute Engine's default account, and the limits that users of new projects report
# (a free trial has less). Public images and data are for everyone.
EMPTY = Profile(
    (DEFAULT_COMPUTE_ACCOUNT,),
    DEFAULT_COMPUTE_ACCOUNT,
    PUBLIC,
    services=ENABLED_BY_DEFAULT,
    quotas={
        "CPUS": 24,
        "CPUS_ALL_REGIONS": 32,
        "INSTANCES": 24,
        "SSD_TOTAL_GB": 500,
        "DISKS_TOTAL_GB": 4096,
        "IN_USE_ADDRESSES": 8,
        "A2_CPUS": 0,
        "C3_CPUS": 8,
        "GPUS_ALL_REGIONS": 0,
    },
    name="empty",
)
PROJECTS = {profile.name: profile for profile in (PROFILE, EMPTY)}
"""Profiles by the name that `--project` takes."""

__all__ = [
    "ACCOUNTS",
    "CUSTOM_ROLES",
    "DEFAULT_ACCOUNT",
    "EMPTY",
    "FIRST_BUCKET",
    "GRANTS",
    "OWN_IMAGE",
    "PROFILE",
    "PROJECTS",
]
