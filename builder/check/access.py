"""Rows about APIs, accounts, permissions and the bucket. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http import HTTPStatus

from builder import gcloud
from builder.check.answers import Answer, Answers, known, regions_of
from builder.check.permissions import (
    ACT_AS,
    OBJECTS,
    PROOFS,
    ROLE,
    ROLE_ID,
    project_permissions,
    written_folders,
)
from builder.check.refusal import words_of
from builder.check.row import Row, fail, ok, unknown
from builder.check_ports import BucketSettings
from builder.errors import ExitCode
from builder.plan.build_plan import Plan
from builder.ports import CallFailed
from builder.refusals import is_api_disabled, is_denied

API = "API"
# The APIs, and whether a run needs them; the preflight needs all.
_APIS = {"compute": True, "storage": True, "cloudresourcemanager": False, "iam": False}


def access_rows(plan: Plan, project: str, answers: Answers) -> Iterator[Row]:
    """All rows about access, in the order in which they are printed."""
    account = known(answers.caller) or ""
    yield _caller(account)
    for service, needed in _APIS.items():
        yield _api(service, project, answers, needed=needed)
    yield _project(plan, project, account, answers)
    yield from _bucket(plan, project, account, answers)
    for target in dict.fromkeys(job.options.vm_service_account for job in plan.jobs):
        yield from _vm_account(plan, project, target, account, answers)


def _caller(account: str) -> Row:
    if account:
        return ok(
            "account",
            account,
            "`check` runs as this account, and checks the permissions of this account only",
        )
    return unknown("account", "the credentials in use", "they do not name their account", "gcloud auth list")


def _api(service: str, project: str, answers: Answers, *, needed: bool) -> Row:
    where = f"{service}.googleapis.com"
    failures = list(answers.failures(service))
    disabled = next((failure for failure in failures if is_api_disabled(failure)), None)
    lost = next((failure for failure in failures if failure.transient), None)
    stranger = next((failure for failure in failures if failure.http_status == HTTPStatus.UNAUTHORIZED), None)
    if disabled is not None:
        fix = gcloud.enable(service, project)
        if needed:
            return fail(API, where, "is not enabled", fix)
        return unknown(API, where, "is not enabled; only `check` needs it", fix)
    if lost is not None:
        return fail(
            API,
            where,
            f"did not answer {lost.call}: {words_of(lost)}",
            "run again; if it persists, look at Google Cloud's status page",
            ExitCode.ENVIRONMENT_FAILED,
        )
    if stranger is not None:
        return fail(API, where, words_of(stranger), "gcloud auth application-default login")
    return ok(API, where, "enabled, answers")


def _project(plan: Plan, project: str, account: str, answers: Answers) -> Row:
    wanted = project_permissions(plan)
    where = f"projects/{project}"
    held = answers.project_permissions
    if isinstance(held, CallFailed):
        return unknown("permissions", where, words_of(held), gcloud.show_roles(project, account))
    missing = [permission for permission in wanted if permission not in held]
    if not missing:
        return ok("permissions", where, f"all {len(wanted)} that docs/accounts.md lists")
    fix = (
        gcloud.grant_builder(project, gcloud.member(account))
        if set(missing) >= set(ROLE)
        else gcloud.extend_role(project, ROLE_ID, missing)
    )
    return fail("permissions", where, f"missing: {', '.join(missing)}", fix)


def _bucket(plan: Plan, project: str, account: str, answers: Answers) -> Iterator[Row]:
    bucket = plan.location.bucket
    where = f"gs://{bucket}"
    settings, held = answers.bucket, answers.bucket_permissions
    gone = next(
        (
            item
            for item in (settings, held)
            if isinstance(item, CallFailed) and item.http_status == HTTPStatus.NOT_FOUND
        ),
        None,
    )
    if gone is not None:
        region = regions_of(plan.jobs[0])[0]
        yield fail("bucket", where, words_of(gone), gcloud.create_bucket(bucket, project, region))
        return
    if isinstance(settings, CallFailed):
        fix = gcloud.grant_on_bucket(bucket, gcloud.member(account), "roles/storage.bucketViewer")
        yield unknown("bucket", where, words_of(settings), fix)
    else:
        yield ok("bucket", where, f"exists, in {settings.location}")
        yield _uniform(bucket, settings)
    if isinstance(held, CallFailed):
        yield unknown("permissions", where, words_of(held), gcloud.show_bucket_roles(bucket))
    elif missing := [permission for permission in OBJECTS if permission not in held]:
        fix = _grant_on_objects(plan, project, account)
        yield fail("permissions", where, f"missing: {', '.join(missing)}", fix)
    else:
        yield ok("permissions", where, "objects can be created, read, listed and deleted")
        yield from _folders(plan, project, account, answers)


def _folders(plan: Plan, project: str, account: str, answers: Answers) -> Iterator[Row]:
    """The rows about the conditions of the account's roles, which hold below some folders of the bucket only."""
    what, where, fix = "folders", plan.location.url(), _grant_on_objects(plan, project, account)
    failed = {folder: answer for folder, answer in answers.folders.items() if isinstance(answer, CallFailed)}
    refused = {folder for folder, failure in failed.items() if is_denied(failure)}
    denied = [folder for folder in written_folders(plan) if folder in refused]
    lost = [failure for folder, failure in failed.items() if folder not in refused]
    if denied:
        yield fail(what, where, f"missing: storage.objects.create below {_listed(denied)}", fix)
    elif lost:
        yield unknown(what, where, words_of(lost[0]))
    else:
        found = f"objects can be created below {_listed(written_folders(plan))}"
        proofs = f", not below {PROOFS}/: a run leaves no proofs" if PROOFS in failed else ""
        yield ok(what, where, found + proofs)


def _listed(folders: Iterable[str]) -> str:
    return ", ".join(f"{folder}/" for folder in folders)


def _grant_on_objects(plan: Plan, project: str, account: str) -> str:
    bucket, prefix, region = plan.location.bucket, plan.location.prefix, regions_of(plan.jobs[0])[0]
    if not prefix:
        return gcloud.grant_on_bucket(bucket, gcloud.member(account), "roles/storage.objectUser")
    return gcloud.set_up_prefix(project, region, bucket, prefix, schedule=gcloud.needs_schedule(account))


def _uniform(bucket: str, settings: BucketSettings) -> Row:
    what, where = "uniform access", f"gs://{bucket}"
    if settings.uniform_access:
        return ok(what, where, "on: the conditions of the VM's roles apply")
    return fail(
        what,
        where,
        "off: roles with conditions, such as those of the VM's account, are refused",
        f"gcloud storage buckets update {where} --uniform-bucket-level-access",
    )


def _vm_account(plan: Plan, project: str, target: str, account: str, answers: Answers) -> Iterator[Row]:
    held = answers.account_permissions[target]
    yield _exists(project, target, answers.accounts[target])
    if isinstance(held, CallFailed):
        fix = f"gcloud iam service-accounts get-iam-policy {target}"
        yield unknown("act as", target, words_of(held), fix)
    elif ACT_AS in held:
        yield ok("act as", target, f"{ACT_AS} is granted")
    else:
        yield fail(
            "act as", target, f"missing: {ACT_AS}", gcloud.grant_act_as(target, gcloud.member(account))
        )
    bucket = plan.location.bucket
    yield unknown(
        "VM's rights",
        target,
        f"not checked, as only this account can ask: it needs to read kits/ and write staging/ in gs://{bucket}",
        gcloud.show_bucket_roles(bucket),
    )


def _exists(project: str, target: str, found: Answer[bool]) -> Row:
    what, show = "VM's account", f"gcloud iam service-accounts describe {target}"
    if found is True:
        return fail(what, target, "is disabled", f"gcloud iam service-accounts enable {target}")
    if found is False:
        return ok(what, target, "exists")
    if found.http_status == HTTPStatus.NOT_FOUND:
        name = target.partition("@")[0]
        return fail(what, target, words_of(found), gcloud.create_account(name, project))
    return unknown(what, target, words_of(found), show)
