"""What Cloud Build refuses in options, time limits, the account and where logs go. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from localcloud.cloudbuild.durations import fault
from localcloud.cloudbuild.environment import env_problems
from localcloud.cloudbuild.names import MAX_DISK_GB, MAX_TIMEOUT
from localcloud.cloudbuild.problem import Json, Problem, part, text, texts
from localcloud.cloudbuild.substitutions import has_reference

_ACCOUNT = re.compile(r"projects/[^/]+/serviceAccounts/([^/@]+@[^/@]+|[0-9]+)")
_LEGACY = re.compile(r"projects/[^/]+/serviceAccounts/[0-9]+@cloudbuild\.gserviceaccount\.com")
_POOL = re.compile(r"projects/[^/]+/locations/[^/]+/workerPools/[^/]+")
_BUCKET = re.compile(r"(gs://)?[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/.*)?")
_TOPIC = re.compile(r"projects/[^/]+/topics/[^/]+")


def problems(build: Json) -> Iterator[Problem]:
    """Yield what is wrong with the build outside its steps, secrets, substitutions and results."""
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
    yield from _machine(options)
    topic = text(options, "pubsubTopic")
    if topic and not _TOPIC.fullmatch(topic):
        words = f'"{topic}" must be of the form projects/PROJECT/topics/TOPIC'
        yield Problem(("options", "pubsubTopic"), f"invalid value for 'build.options.pubsub_topic': {words}")


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


def _machine(options: Json) -> Iterator[Problem]:
    pool, old = text(part(options, "pool"), "name"), text(options, "workerPool")
    if pool and old and pool != old:
        words = "specify only one of 'build.options.pool.name' and the deprecated 'build.options.worker_pool'"
        yield Problem(("options", "workerPool"), f"invalid value for 'build.options': {words}")
    if pool and not has_reference(pool) and not _POOL.fullmatch(pool):
        words = f'"{pool}" must be of the form projects/PROJECT/locations/LOCATION/workerPools/POOL'
        yield Problem(("options", "pool", "name"), f"invalid value for 'build.options.pool.name': {words}")
    if (pool or old) and options.get("machineType", "UNSPECIFIED") != "UNSPECIFIED":
        words = "a private pool has its own machine type; leave out either this or the pool"
        yield Problem(("options", "machineType"), f"invalid value for 'build.options.machine_type': {words}")
    size = options.get("diskSizeGb", 0)
    if (
        isinstance(size, int | str)
        and re.fullmatch(r"-?[0-9]{1,18}", str(size))
        and not 0 <= int(size) <= MAX_DISK_GB
    ):
        words = f"value must be 0 to {MAX_DISK_GB} GB, not {size}"
        yield Problem(("options", "diskSizeGb"), f"invalid value for 'build.options.disk_size_gb': {words}")
