"""Rows about APIs, accounts, permissions and the bucket. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from builder.check import answers as ask
from builder.check import gcloud
from builder.check.answers import Answers
from builder.check.permissions import ACT_AS, OBJECTS, ROLE, project_permissions
from builder.check.questions import regions_of
from builder.check.refusal import is_disabled, said
from builder.check.row import Row, fail, ok, unknown
from builder.errors import ExitCode
from builder.plan.make import Plan
from builder.ports import BucketSettings, CallFailed, ServiceAccount

_NOT_FOUND = 404
_UNAUTHENTICATED = 401
# APIs that a run needs, and those that only the preflight asks.
_APIS = {"compute": True, "storage": True, "cloudresourcemanager": False, "iam": False}


def access_rows(plan: Plan, project: str, answers: Answers) -> Iterator[Row]:
    """All rows about who may do what, in reading order."""
    account = caller_of(answers)
    yield _caller(account)
    for service, needed in _APIS.items():
        yield _api(service, project, answers, needed=needed)
    yield _project(plan, project, account, answers)
    yield from _bucket(plan, project, account, answers)
    for target in dict.fromkeys(job.vm.service_account for job in plan.jobs):
        yield from _vm_account(plan, project, target, account, answers)


def caller_of(answers: Answers) -> str:
    """The account that asks; "" where the credentials do not tell."""
    return answers.value(str, ask.CALLER) or ""


def _caller(account: str) -> Row:
    if account:
        return ok("account", account, "the preflight runs as this account, and tells of no other")
    return unknown("account", "the credentials in use", "they do not tell their account", "gcloud auth list")


def _api(service: str, project: str, answers: Answers, *, needed: bool) -> Row:
    where = f"{service}.googleapis.com"
    failures = [answer for answer in answers.of_service(service) if isinstance(answer, CallFailed)]
    disabled = next((failure for failure in failures if is_disabled(failure)), None)
    lost = next((failure for failure in failures if failure.transient), None)
    stranger = next((failure for failure in failures if failure.http_status == _UNAUTHENTICATED), None)
    if disabled is not None:
        mend = gcloud.enable(service, project)
        if needed:
            return fail("API", where, "is not enabled", mend)
        return unknown("API", where, "is not enabled; a run does not need it, this preflight does", mend)
    if lost is not None:
        return fail(
            "API",
            where,
            f"did not answer {lost.call}: {said(lost)}",
            "run again; if it persists, look at Google Cloud's status page",
            ExitCode.ENVIRONMENT_FAILED,
        )
    if stranger is not None:
        return fail("API", where, said(stranger), "gcloud auth application-default login")
    return ok("API", where, "enabled, answers")


def _project(plan: Plan, project: str, account: str, answers: Answers) -> Row:
    wanted = project_permissions(plan)
    where = f"projects/{project}"
    held: frozenset[str] | CallFailed = answers.of(frozenset, ask.PROJECT_PERMISSIONS, *wanted)
    if isinstance(held, CallFailed):
        return unknown("permissions", where, said(held), gcloud.show_roles(project, account))
    missing = [permission for permission in wanted if permission not in held]
    if not missing:
        return ok("permissions", where, f"all {len(wanted)} that docs/accounts.md lists")
    mend = (
        gcloud.grant_role(project, account)
        if set(missing) >= set(ROLE)
        else gcloud.extend_role(project, missing)
    )
    return fail("permissions", where, f"missing: {', '.join(missing)}", mend)


def _bucket(plan: Plan, project: str, account: str, answers: Answers) -> Iterator[Row]:
    bucket = plan.location.bucket
    where = f"gs://{bucket}"
    settings = answers.of(BucketSettings, ask.BUCKET)
    held: frozenset[str] | CallFailed = answers.of(frozenset, ask.BUCKET_PERMISSIONS, *OBJECTS)
    gone = next(
        (
            item
            for item in (settings, held)
            if isinstance(item, CallFailed) and item.http_status == _NOT_FOUND
        ),
        None,
    )
    if gone is not None:
        region = regions_of(plan.jobs[0])[0]
        yield fail("bucket", where, said(gone), gcloud.create_bucket(bucket, project, region))
        return
    if isinstance(settings, CallFailed):
        mend = gcloud.grant_bucket(bucket, account, "roles/storage.bucketViewer")
        yield unknown("bucket", where, said(settings), mend)
    else:
        yield ok("bucket", where, f"exists, in {settings.location}")
        yield _uniform(bucket, settings)
    if isinstance(held, CallFailed):
        yield unknown("permissions", where, said(held), gcloud.show_bucket_roles(bucket, account))
    elif missing := [permission for permission in OBJECTS if permission not in held]:
        mend = gcloud.grant_bucket(bucket, account, "roles/storage.objectUser")
        yield fail("permissions", where, f"missing: {', '.join(missing)}", mend)
    else:
        yield ok("permissions", where, "objects can be created, read, listed and deleted")


def _uniform(bucket: str, settings: BucketSettings) -> Row:
    what, where = "uniform access", f"gs://{bucket}"
    if settings.uniform_access:
        return ok(what, where, "on: the conditions of the VM's roles hold")
    return fail(
        what,
        where,
        "off: roles with conditions, such as the VM's account has, are refused",
        f"gcloud storage buckets update {where} --uniform-bucket-level-access",
    )


def _vm_account(plan: Plan, project: str, target: str, account: str, answers: Answers) -> Iterator[Row]:
    found = answers.of(ServiceAccount, ask.ACCOUNT, target)
    held: frozenset[str] | CallFailed = answers.of(frozenset, ask.ACCOUNT_PERMISSIONS, target, ACT_AS)
    yield _exists(project, target, found)
    if isinstance(held, CallFailed):
        mend = f"gcloud iam service-accounts get-iam-policy {target}"
        yield unknown("act as", target, said(held), mend)
    elif ACT_AS in held:
        yield ok("act as", target, f"{ACT_AS} is granted")
    else:
        yield fail("act as", target, f"missing: {ACT_AS}", gcloud.act_as(target, account))
    bucket = plan.location.bucket
    yield unknown(
        "VM's rights",
        target,
        f"what it may do in gs://{bucket} cannot be told as another account: kits/ to read, staging/ to write",
        gcloud.show_bucket_roles(bucket, target),
    )


def _exists(project: str, target: str, found: ServiceAccount | CallFailed) -> Row:
    what, show = "VM's account", f"gcloud iam service-accounts describe {target}"
    if isinstance(found, ServiceAccount):
        if found.disabled:
            return fail(what, target, "is disabled", f"gcloud iam service-accounts enable {target}")
        return ok(what, target, "exists")
    if found.http_status == _NOT_FOUND:
        name = target.partition("@")[0]
        return fail(
            what, target, said(found), f"gcloud iam service-accounts create {name} --project={project}"
        )
    return unknown(what, target, said(found), show)
