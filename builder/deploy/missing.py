"""Finds the bucket, APIs, and accounts that a new project lacks for `deploy`, each with the command that adds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus

from builder import gcloud
from builder.deploy.context import DeploymentContext
from builder.ports import CallFailed
from builder.refusals import is_api_disabled, is_denied, is_missing_bucket, service_of


def missing(context: DeploymentContext, first: CallFailed) -> Iterator[tuple[str, str]]:
    """Yield what is missing, with the command that adds it. Asks each API once; other failures say nothing.

    `first`: the failure that ended the deployment. If it is about an object, the grants of the prefix are missing.
    """
    project, bucket, region = context.project, context.store.bucket, context.deployment.region
    prefix = context.options.gcs_location.prefix
    if prefix and is_denied(first) and first.call.startswith("storage.objects."):
        command = gcloud.set_up_prefix(project, region, bucket, prefix, schedule=True)
        yield f"{first.resource}: {first.call} was refused", command
    for ask in _questions(context):
        failure = _failure(ask)
        if failure is not None and is_api_disabled(failure):
            service = service_of(failure)
            yield f"{service}.googleapis.com: is not enabled", gcloud.enable(service, project)
        elif failure is not None and is_missing_bucket(failure):
            yield f"gs://{bucket}: does not exist", gcloud.create_bucket(bucket, project, region)
    accounts = context.accounts
    for account in (accounts.function, accounts.function_build, accounts.trigger):
        failure = _failure(partial(context.clients.project.service_account_disabled, account))
        if failure is not None and failure.http_status == HTTPStatus.NOT_FOUND:
            yield f"{account}: does not exist", gcloud.create_account(account.partition("@")[0], project)


def _questions(context: DeploymentContext) -> Iterator[Callable[[], object]]:
    """Yield one cheap question to each API that `deploy` calls."""
    clients, names = context.clients, context.names(context.location)
    yield partial(context.store.stat, context.live)
    yield partial(clients.topics.get, names.topic_path)
    yield partial(clients.functions.get, names.function_path)
    yield partial(clients.services.policy, names.service_path)
    yield partial(clients.schedules.get, names.job_path)
    yield partial(clients.builds.newest, ["none"], names.region)
    yield partial(clients.project.service_account_disabled, context.accounts.function)


def _failure(ask: Callable[[], object]) -> CallFailed | None:
    try:
        ask()
    except CallFailed as failure:
        return failure
    return None
