"""The names and limits of Cloud Build: substitutions it knows itself, statuses, image names.

Figures are those of the page "Build configuration file schema" and of the descriptions in the discovery document; where
both are silent, those of Google's own local builder (cloud-build-local, validate.go).
"""

from __future__ import annotations

import re

MAX_ARGS = 100
MAX_ARG_LENGTH = 10_000
MAX_TAGS = 64
MAX_SUBSTITUTIONS = 200
MAX_VALUE_LENGTH = 4000
MAX_SECRETS = 100
MAX_TIMEOUT = 24 * 3600
DEFAULT_TIMEOUT = 3600

START = "-"
"""The entry of `waitFor` in a step that waits for no other."""

FINISHED = frozenset({"SUCCESS", "FAILURE", "INTERNAL_ERROR", "TIMEOUT", "CANCELLED", "EXPIRED"})
"""The statuses that a build or step does not leave again."""

USER_KEY = re.compile(r"_[A-Z0-9_]+")
"""The form of a substitution's key that a user may choose."""

FIXED_KEYS = frozenset({"PROJECT_ID", "PROJECT_NUMBER", "LOCATION", "BUILD_ID"})
"""Substitutions that every build has, and that nobody can set."""

ACCOUNT_KEYS = frozenset({"SERVICE_ACCOUNT", "SERVICE_ACCOUNT_EMAIL"})

TRIGGER_KEYS = frozenset(
    {
        "COMMIT_SHA",
        "SHORT_SHA",
        "REVISION_ID",
        "BRANCH_NAME",
        "TAG_NAME",
        "REF_NAME",
        "REPO_NAME",
        "REPO_FULL_NAME",
        "TRIGGER_NAME",
        "TRIGGER_BUILD_CONFIG_PATH",
    }
)
"""Substitutions that a trigger sets; a build submitted by hand may set them, and else they are empty."""

EMPTY_KEYS = frozenset({"COMMIT_SHA", "SHORT_SHA", "BRANCH_NAME", "TAG_NAME", "REPO_NAME", "REPO_FULL_NAME"})
"""Those of a trigger's that are there, and empty, in a build that no trigger started."""

BUILTIN_KEYS = FIXED_KEYS | ACCOUNT_KEYS | TRIGGER_KEYS
