"""Tests the explanation of a call that Google refused: exit code, reason, and advice."""

from __future__ import annotations

import pytest

from builder.act.failover import Scope
from builder.act.refusals import Refusal, stopped
from builder.errors import ExitCode
from builder.ports import CallFailed
from builder.refusals import call_error

OBJECT = "gs://b/ci/a.json"
BUCKET_MISSING = "The specified bucket does not exist."


@pytest.mark.parametrize(
    ("code", "status", "message", "ending"),
    [
        ("SERVICE_DISABLED", 403, "It is disabled.", (4, "api_disabled")),
        ("accessNotConfigured", 403, "It is disabled.", (4, "api_disabled")),
        ("forbidden", 403, "No storage.objects.get access.", (4, "permission_denied")),
        ("authError", 401, "Invalid Credentials", (4, "permission_denied")),
        ("rateLimitExceeded", 403, "Too many requests.", (6, "api_unavailable")),
        ("notFound", 404, BUCKET_MISSING, (4, "bucket_missing")),
        ("notFound", 404, "The topic was not found.", (4, "not_found")),
        ("notFound", 404, "No such object: b/ci/a.json", (6, "api_unavailable")),
        ("backendError", 503, "Try later.", (6, "api_unavailable")),
        ("invalid", 400, "Bucket is a requester pays bucket but no user project provided.", (4, "refused")),
        ("conditionNotMet", 412, "The bucket needs a customer-managed key.", (4, "refused")),
    ],
    ids=[
        *("API disabled", "API disabled, old code", "no permission", "no credentials", "rate limit"),
        *("no bucket", "no topic", "no object", "unavailable", "requester pays", "policy about keys"),
    ],
)
def test_a_refused_call_ends_a_run_as_set_up_or_as_environment(
    code: str, status: int, message: str, ending: tuple[int, str]
) -> None:
    transient = code in {"rateLimitExceeded", "backendError"}
    failure = CallFailed(
        call="storage.objects.get",
        resource=OBJECT,
        code=code,
        message=message,
        http_status=status,
        transient=transient,
    )
    error = call_error(failure)
    assert (error.exit_code, error.reason) == (ExitCode(ending[0]), ending[1])
    assert "storage.objects.get" in error.message
    if error.reason == "api_disabled":
        assert error.advice == "gcloud services enable storage.googleapis.com"
    if message == BUCKET_MISSING:
        assert error.message == "storage.objects.get: there is no bucket b."
        assert "gcloud storage buckets create gs://b --location=REGION" in error.advice


def test_a_missing_account_of_the_vm_is_created_with_a_command() -> None:
    account = "notebook-vm@my-project.iam.gserviceaccount.com"
    message = f"The resource '{account}' of type 'serviceAccount' was not found."
    error = stopped(Refusal("us-central1-a", "EXTERNAL_RESOURCE_NOT_FOUND", message, Scope.SETUP))
    assert error.exit_code == ExitCode.PROJECT_SETUP
    assert error.advice.endswith("gcloud iam service-accounts create notebook-vm --project=my-project")


def test_a_network_that_the_account_may_not_use_is_not_to_be_created() -> None:
    message = "Required 'compute.networks.use' permission for 'projects/p/global/networks/default'"
    error = stopped(Refusal("us-central1-a", "forbidden", message, Scope.SETUP))
    assert error.advice.startswith("Give the build's service account its roles")
