"""The rules of options, time limits and the account. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from localcloud.services.cloudbuild.names import MAX_TIMEOUT
from localcloud.services.cloudbuild.problem import Json, Problem, part, text, texts
from localcloud.services.cloudbuild.rules_durations import fault
from localcloud.services.cloudbuild.rules_environment import env_problems
from localcloud.services.cloudbuild.rules_substitutions import has_reference

_ACCOUNT = re.compile(r"projects/[^/]+/serviceAccounts/([^/@]+@[^/@]+|[0-9]+)")
_LEGACY = re.compile(r"projects/[^/]+/serviceAccounts/[0-9]+@cloudbuild\.gserviceaccount\.com")


def problems(build: Json) -> Iterator[Problem]:
    """Yield the faults of the build outside its steps, secrets, substitutions and results."""
    options = part(build, "options")
    for name, spelled in (("timeout", "timeout"), ("queueTtl", "queue_ttl")):
        value = text(build, name)
        if value and (wrong := fault(value, MAX_TIMEOUT)):
            yield Problem((name,), f"invalid value for 'build.{spelled}': {wrong}")
    yield from _account(build, options)
    yield from env_problems(("options", "env"), "invalid .options.env field: ", texts(options, "env"))


def _account(build: Json, options: Json) -> Iterator[Problem]:
    account = text(build, "serviceAccount")
    if not account:
        return
    start = "invalid value for 'build.service_account': "
    if not has_reference(account) and not _ACCOUNT.fullmatch(account):
        words = f'"{account}" must be of the form projects/PROJECT/serviceAccounts/ACCOUNT'
        yield Problem(("serviceAccount",), start + words)
    elif _LEGACY.fullmatch(account):
        words = f'"{account}" is the legacy Cloud Build service account, which cannot be specified; leave the field out'
        yield Problem(("serviceAccount",), start + words)
    elsewhere = text(options, "logging") in {"CLOUD_LOGGING_ONLY", "STACKDRIVER_ONLY", "NONE"}
    own_bucket = options.get("defaultLogsBucketBehavior") == "REGIONAL_USER_OWNED_BUCKET"
    if not build.get("logsBucket") and not elsewhere and not own_bucket:
        words = (
            "if 'build.service_account' is specified, the build must either (a) specify 'build.logs_bucket', "
            "(b) use the REGIONAL_USER_OWNED_BUCKET build.options.default_logs_bucket_behavior option, or "
            "(c) use either CLOUD_LOGGING_ONLY / NONE logging options"
        )
        yield Problem(("serviceAccount",), words)
