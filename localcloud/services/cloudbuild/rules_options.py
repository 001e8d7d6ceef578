"""The rules of options, time limits, the account and the place of logs. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from localcloud.services.cloudbuild.names import MAX_DISK_GB, MAX_TIMEOUT
from localcloud.services.cloudbuild.problem import Json, Problem, part, text, texts
from localcloud.services.cloudbuild.rules_durations import fault
from localcloud.services.cloudbuild.rules_environment import env_problems
from localcloud.services.cloudbuild.rules_substitutions import has_reference

_ACCOUNT = re.compile(r"projects/[^/]+/serviceAccounts/([^/@]+@[^/@]+|[0-9]+)")
_LEGACY = re.compile(r"projects/[^/]+/serviceAccounts/[0-9]+@cloudbuild\.gserviceaccount\.com")
_BUCKET = re.compile(r"(gs://)?[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/.*)?")


def problems(build: Json) -> Iterator[Problem]:
    """Yield the faults of the build outside its steps, secrets, substitutions and results."""
    options = part(build, "options")
    for name, spelled in (("timeout", "timeout"), ("queueTtl", "queue_ttl")):
        value = text(build, name)
        if value and (wrong := fault(value, MAX_TIMEOUT)):
            yield Problem((name,), f"invalid value for 'build.{spelled}': {wrong}")
    yield from _account(build, options)
    bucket = text(build, "logsBucket")
    if bucket and not has_reference(bucket) and not _BUCKET.fullmatch(bucket):
        words = f'invalid logs bucket "{bucket}": it must be of the form gs://BUCKET or gs://BUCKET/FOLDER'
        yield Problem(("logsBucket",), words)
    yield from env_problems(("options", "env"), "invalid .options.env field: ", texts(options, "env"))
    yield from _disk(options)


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


def _disk(options: Json) -> Iterator[Problem]:
    size = options.get("diskSizeGb", 0)
    if (
        isinstance(size, int | str)
        and re.fullmatch(r"-?[0-9]{1,18}", str(size))
        and not 0 <= int(size) <= MAX_DISK_GB
    ):
        words = f"value must be 0 to {MAX_DISK_GB} GB, not {size}"
        yield Problem(("options", "diskSizeGb"), f"invalid value for 'build.options.disk_size_gb': {words}")
