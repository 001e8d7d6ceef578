"""Failures of the function: Pub/Sub delivers the event again, and the log says who has to do what."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from localcloud.core.iam import EVERY_BUCKET, Grant, email
from localcloud.profile import FIRST_BUCKET, GRANTS
from tests.function.function_fixture import (
    ADDRESS,
    FUNCTION,
    LIVE,
    FunctionFixture,
    new_id,
    serve_function,
    without,
)

CREATE = "cloudbuild.projects.locations.builds.create"
LIST = "cloudbuild.projects.locations.builds.list"
READ = "storage.objects.get"
SECRET = "canary-4d20"


@pytest.mark.parametrize("method", [READ, LIST, CREATE], ids=["read", "list", "create"])
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_transient_fault_is_delivered_again(
    function_fixture: FunctionFixture, method: str, status: int
) -> None:
    function_fixture.fault(method, "error", status=status)
    event_id = new_id()
    delivery = function_fixture.deliver(event_id=event_id)
    assert delivery.status == 500
    assert delivery.line["severity"] == "WARNING"
    assert f"returned {status}: " in delivery.line["message"]
    assert function_fixture.deliver(event_id=event_id).line["message"].startswith("submitted build ")
    assert len(function_fixture.builds()) == 1


def test_an_old_event_that_gets_no_answer_is_an_error(function_fixture: FunctionFixture) -> None:
    """The alert of docs/deploy.md counts errors. Without an answer there is no time but the machine's own."""
    moved = function_fixture.cloud.clock.now() - time.time()  # by other tests
    function_fixture.fault(READ, "drop_before")
    assert function_fixture.deliver(age=moved + 6.5 * 3600).status == 500
    function_fixture.fault(READ, "drop_before")
    delivery = function_fixture.deliver(age=moved + 7.5 * 3600)
    assert delivery.acknowledged
    assert delivery.line["severity"] == "ERROR"
    assert "over 6 hours ago. storage gave no answer" in delivery.line["message"]


@pytest.mark.parametrize("method", [READ, LIST, CREATE], ids=["read", "list", "create"])
def test_a_lost_request_is_delivered_again(function_fixture: FunctionFixture, method: str) -> None:
    function_fixture.fault(method, "drop_before")
    event_id = new_id()
    delivery = function_fixture.deliver(event_id=event_id)
    assert delivery.status == 500
    assert delivery.line["severity"] == "WARNING"
    assert "gave no answer" in delivery.line["message"]
    assert function_fixture.deliver(event_id=event_id).line["message"].startswith("submitted build ")
    assert len(function_fixture.builds()) == 1


@pytest.mark.parametrize("action", ["drop_after", "error_after"])
def test_after_a_lost_reply_the_build_is_found_by_its_tag(
    function_fixture: FunctionFixture, action: str
) -> None:
    function_fixture.fault(CREATE, action, **({"status": 503} if action == "error_after" else {}))
    event_id = new_id()
    assert function_fixture.deliver(event_id=event_id).status == 500
    (build,) = function_fixture.builds()
    delivery = function_fixture.deliver(event_id=event_id)
    assert delivery.acknowledged
    assert delivery.line["message"] == f"duplicate of build {build['id']}"
    assert len(function_fixture.builds()) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "not valid JSON", id="empty"),
        pytest.param(b"[]", "expected an object", id="a list"),
        pytest.param(b'{"schema": 2}', "its schema is 2, and 1 was expected", id="other schema"),
        pytest.param(b'{"schema": 1, "live": {}}', "KeyError: 'build'", id="no build"),
    ],
)
def test_a_document_that_cannot_be_read_waits_for_a_deploy(
    function_fixture: FunctionFixture, content: bytes, words: str
) -> None:
    function_fixture.write(content)
    event_id = new_id()
    delivery = function_fixture.deliver(event_id=event_id)
    assert delivery.status == 500
    assert delivery.line["severity"] == "ERROR"
    assert f"{ADDRESS} cannot be read" in delivery.line["message"]
    assert words in delivery.line["message"]
    function_fixture.make_live()
    assert function_fixture.deliver(event_id=event_id).line["severity"] == "INFO"


def test_a_refused_build_is_an_error_that_does_not_repeat_the_message(
    function_fixture: FunctionFixture,
) -> None:
    source = {"storageSource": {"bucket": FIRST_BUCKET, "object": "ci/live/gone.tar.gz", "generation": "1"}}
    function_fixture.make_live({"day": "string"}, build={"source": source})
    delivery = function_fixture.deliver(json.dumps({"parameters": {"day": SECRET}}))
    assert delivery.acknowledged  # the same build would be refused for hours, an error each time
    assert delivery.line["severity"] == "ERROR"
    assert (
        "No build was submitted: Cloud Build refused it (could not resolve source" in delivery.line["message"]
    )
    assert "Deploy again, then publish the message again." in delivery.line["message"]
    assert SECRET not in function_fixture.function.log()


def test_a_state_in_which_no_build_is_taken_is_delivered_again(function_fixture: FunctionFixture) -> None:
    limit = "failed precondition: due to quota restrictions, cannot run builds in this region. Please contact support"
    function_fixture.fault(CREATE, "error", status=400, reason="failedPrecondition", message=limit)
    event_id = new_id()
    delivery = function_fixture.deliver(event_id=event_id)
    assert delivery.status == 500
    assert delivery.line["severity"] == "ERROR"
    assert limit in delivery.line["message"]
    assert function_fixture.deliver(event_id=event_id).line["message"].startswith("submitted build ")
    assert len(function_fixture.builds()) == 1


def test_words_that_repeat_the_event_are_left_out(function_fixture: FunctionFixture) -> None:
    live = function_fixture.make_live({"day": "string"})
    step = live.build["steps"][0]
    function_fixture.make_live(
        {"day": "string"}, build={"steps": [{**step, "env": ["NB_EVENT=0"]}]}
    )  # a second one is refused
    delivery = function_fixture.deliver(json.dumps({"parameters": {"day": SECRET}}))
    assert delivery.acknowledged
    assert "the API's message repeats the event" in delivery.line["message"]
    assert SECRET not in function_fixture.function.log()


@pytest.mark.always(1)
@pytest.mark.parametrize(
    ("role", "permission", "command"),
    [
        pytest.param(
            "projects/local-project/roles/notebookFunction",
            "cloudbuild.builds.list on project local-project",
            (
                f"gcloud projects add-iam-policy-binding local-project --member=serviceAccount:{FUNCTION} "
                "--role=projects/local-project/roles/notebookFunction --condition=None"
            ),
            id="list builds",
        ),
        pytest.param(
            "roles/iam.serviceAccountUser",
            f"iam.serviceAccounts.actAs on service account {email('notebook-scheduler')}",
            (
                f"gcloud iam service-accounts add-iam-policy-binding {email('notebook-scheduler')} "
                f"--member=serviceAccount:{FUNCTION} --role=roles/iam.serviceAccountUser --condition=None"
            ),
            id="act as the scheduler",
        ),
        pytest.param(
            "projects/local-project/roles/notebookFunctionReader",
            f"storage.objects.get on {ADDRESS}",
            (
                f"gcloud storage buckets add-iam-policy-binding gs://{FIRST_BUCKET} "
                f"--member=serviceAccount:{FUNCTION} --role=roles/storage.objectViewer "
                f'--condition="title=live,expression=resource.name.startsWith('
                f"'projects/_/buckets/{FIRST_BUCKET}/objects/ci/live/notebooks/')\""
            ),
            id="read live.json",
        ),
    ],
)
def test_without_a_role_the_grant_is_named(tmp_path: Path, role: str, permission: str, command: str) -> None:
    with serve_function(tmp_path, without(role)) as function_fixture:
        function_fixture.make_live()
        delivery = function_fixture.deliver()
        assert delivery.status == 500  # granted in the next hours, the event is not lost
        assert delivery.line["severity"] == "ERROR"
        assert f"{FUNCTION} lacks {permission}" in delivery.line["message"]
        assert f"Grant it: {command} (" in delivery.line["message"]
        assert function_fixture.builds() == []
        late = function_fixture.deliver(age=6 * 3600 + 5)
        assert late.acknowledged
        assert late.line["severity"] == "ERROR"
        assert "over 6 hours ago. " in late.line["message"]
        asked = "actAs" not in permission  # a build of so late an event is not even tried
        assert (f"{FUNCTION} lacks {permission}" in late.line["message"]) is asked


def test_an_archive_that_the_build_s_account_may_not_read_waits_for_the_grant(tmp_path: Path) -> None:
    kept = [
        grant for grant in GRANTS if not (grant.account == "notebook-scheduler" and "storage" in grant.role)
    ]
    with serve_function(tmp_path, kept) as function_fixture:
        function_fixture.make_live()
        delivery = function_fixture.deliver()
        assert delivery.status == 500
        assert delivery.line["severity"] == "ERROR"
        assert (
            f"{email('notebook-scheduler')} lacks storage.objects.get on gs://{FIRST_BUCKET}"
            in delivery.line["message"]
        )
        grant = f"add-iam-policy-binding gs://{FIRST_BUCKET} --member=serviceAccount:{email('notebook-scheduler')} --role=roles/storage.objectViewer --condition=None"
        assert grant in delivery.line["message"]
        assert function_fixture.builds() == []


def test_an_api_that_is_not_enabled_is_named(function_fixture: FunctionFixture) -> None:
    info = {"reason": "SERVICE_DISABLED", "metadata": {"service": "cloudbuild.googleapis.com"}}
    function_fixture.fault(
        LIST, "error", status=403, message="Cloud Build API has not been used", details=[info]
    )
    delivery = function_fixture.deliver()
    assert delivery.status == 500
    assert "gcloud services enable cloudbuild.googleapis.com" in delivery.line["message"]
    assert "lacks" not in delivery.line["message"]


def test_a_quota_of_the_minute_is_no_missing_role(function_fixture: FunctionFixture) -> None:
    info = {"reason": "RATE_LIMIT_EXCEEDED", "metadata": {"service": "cloudbuild.googleapis.com"}}
    function_fixture.fault(LIST, "error", status=403, message="Quota exceeded, per minute", details=[info])
    delivery = function_fixture.deliver()
    assert delivery.status == 500
    assert delivery.line["severity"] == "WARNING"
    assert "Grant it" not in delivery.line["message"]


def test_creating_builds_needs_more_than_listing_them(function_fixture: FunctionFixture) -> None:
    function_fixture.fault(CREATE, "error", status=403, message="The caller does not have permission")
    assert (
        f"{FUNCTION} lacks cloudbuild.builds.create on project" in function_fixture.deliver().line["message"]
    )


def test_before_the_first_deploy_is_done_an_event_waits(tmp_path: Path) -> None:
    """With the permission to list objects, Cloud Storage answers 404 for a missing object."""
    may_list = Grant("notebook-function", "roles/storage.objectViewer", EVERY_BUCKET)
    with serve_function(tmp_path, [*GRANTS, may_list]) as function_fixture:
        event_id = new_id()
        early = function_fixture.deliver(event_id=event_id, age=60)
        assert early.status == 500
        assert early.line["severity"] == "WARNING"
        assert f"There is no {ADDRESS} yet" in early.line["message"]
        late = function_fixture.deliver(age=601)
        assert late.acknowledged
        assert late.line["severity"] == "ERROR"
        assert "nothing is deployed" in late.line["message"]
        function_fixture.make_live()
        assert function_fixture.deliver(event_id=event_id, age=60).line["severity"] == "INFO"
        function_fixture.bucket.blob(LIVE).delete()
        assert function_fixture.deliver(age=3600).acknowledged


def test_without_that_right_it_says_403_and_so_do_we(tmp_path: Path) -> None:
    with serve_function(tmp_path) as function_fixture:
        delivery = function_fixture.deliver(age=3600)
        assert delivery.status == 500
        assert "or there is no such object, and nothing is deployed" in delivery.line["message"]
        assert function_fixture.deliver(age=6 * 3600 + 5).acknowledged
