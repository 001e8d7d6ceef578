"""What may pass is raised, so that Pub/Sub delivers the event again; who has to act is told what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from localcloud.cloud import FIRST_BUCKET
from localcloud.iam import GRANTS, Grant, email
from tests.function.world import ADDRESS, FUNCTION, LIVE, World, new_id, served, without

CREATE = "cloudbuild.projects.locations.builds.create"
LIST = "cloudbuild.projects.locations.builds.list"
READ = "storage.objects.get"
SECRET = "canary-4d20"


@pytest.mark.parametrize("method", [READ, LIST, CREATE], ids=["read", "list", "create"])
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_fault_is_delivered_again(world: World, method: str, status: int) -> None:
    world.fault(method, "error", status=status)
    event_id = new_id()
    told = world.deliver(event_id=event_id)
    assert told.status == 500
    assert told.line["severity"] == "WARNING"
    assert f"was answered {status}" in told.line["message"]
    assert world.deliver(event_id=event_id).line["message"].startswith("submitted build ")
    assert len(world.builds()) == 1


@pytest.mark.parametrize("method", [READ, LIST, CREATE], ids=["read", "list", "create"])
def test_a_lost_request_is_delivered_again(world: World, method: str) -> None:
    world.fault(method, "drop_before")
    event_id = new_id()
    told = world.deliver(event_id=event_id)
    assert told.status == 500
    assert told.line["severity"] == "WARNING"
    assert "gave no answer" in told.line["message"]
    assert world.deliver(event_id=event_id).line["message"].startswith("submitted build ")
    assert len(world.builds()) == 1


@pytest.mark.parametrize("action", ["drop_after", "error_after"])
def test_after_a_lost_reply_the_build_is_found_by_its_tag(world: World, action: str) -> None:
    world.fault(CREATE, action, **({"status": 503} if action == "error_after" else {}))
    event_id = new_id()
    assert world.deliver(event_id=event_id).status == 500
    (build,) = world.builds()
    told = world.deliver(event_id=event_id)
    assert told.acknowledged
    assert told.line["message"] == f"duplicate of build {build['id']}"
    assert len(world.builds()) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "not valid JSON", id="empty"),
        pytest.param(b"[]", "expected an object", id="a list"),
        pytest.param(b'{"schema": 2}', "its schema is 2, and 1 was expected", id="other schema"),
        pytest.param(b'{"schema": 1, "live": {}}', "KeyError: 'build'", id="no build"),
    ],
)
def test_a_document_that_cannot_be_read_waits_for_a_deploy(world: World, content: bytes, words: str) -> None:
    world.write(content)
    event_id = new_id()
    told = world.deliver(event_id=event_id)
    assert told.status == 500
    assert told.line["severity"] == "ERROR"
    assert f"{ADDRESS} cannot be read" in told.line["message"]
    assert words in told.line["message"]
    world.make_live()
    assert world.deliver(event_id=event_id).line["severity"] == "INFO"


def test_a_build_that_is_refused_is_an_error_without_what_was_asked_for(world: World) -> None:
    source = {"storageSource": {"bucket": FIRST_BUCKET, "object": "ci/live/gone.tar.gz", "generation": "1"}}
    world.make_live({"day": "string"}, build={"source": source})
    told = world.deliver(json.dumps({"parameters": {"day": SECRET}}))
    assert told.acknowledged  # the same build would be refused for hours, an error each time
    assert told.line["severity"] == "ERROR"
    assert (
        "No build was submitted: Cloud Build takes none such (could not resolve source"
        in told.line["message"]
    )
    assert "Deploy again, then publish the message again." in told.line["message"]
    assert SECRET not in world.function.log()


def test_a_state_in_which_no_build_is_taken_is_delivered_again(world: World) -> None:
    limit = "failed precondition: due to quota restrictions, cannot run builds in this region. Please contact support"
    world.fault(CREATE, "error", status=400, reason="failedPrecondition", message=limit)
    event_id = new_id()
    told = world.deliver(event_id=event_id)
    assert told.status == 500
    assert told.line["severity"] == "ERROR"
    assert limit in told.line["message"]
    assert world.deliver(event_id=event_id).line["message"].startswith("submitted build ")
    assert len(world.builds()) == 1


def test_words_that_repeat_the_event_are_left_out(world: World) -> None:
    live = world.make_live({"day": "string"})
    step = live.build["steps"][0]
    world.make_live(
        {"day": "string"}, build={"steps": [{**step, "env": ["NB_EVENT=0"]}]}
    )  # a second one is refused
    told = world.deliver(json.dumps({"parameters": {"day": SECRET}}))
    assert told.acknowledged
    assert "its words repeat the event's message" in told.line["message"]
    assert SECRET not in world.function.log()


@pytest.mark.parametrize(
    ("role", "permission", "command"),
    [
        pytest.param(
            "projects/local-project/roles/notebookFunction",
            "cloudbuild.builds.list on project local-project",
            (
                f"gcloud projects add-iam-policy-binding local-project --member=serviceAccount:{FUNCTION} "
                "--role=projects/local-project/roles/notebookFunction"
            ),
            id="list builds",
        ),
        pytest.param(
            "roles/iam.serviceAccountUser",
            f"iam.serviceAccounts.actAs on service account {email('builder')}",
            (
                f"gcloud iam service-accounts add-iam-policy-binding {email('builder')} "
                f"--member=serviceAccount:{FUNCTION} --role=roles/iam.serviceAccountUser"
            ),
            id="act as the builder",
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
    with served(tmp_path, without(role)) as world:
        world.make_live()
        told = world.deliver()
        assert told.status == 500  # granted in the next hours, the event is not lost
        assert told.line["severity"] == "ERROR"
        assert f"{FUNCTION} lacks {permission}" in told.line["message"]
        assert f"Grant it: {command} (" in told.line["message"]
        assert world.builds() == []
        late = world.deliver(age=6 * 3600 + 5)
        assert late.acknowledged
        assert late.line["severity"] == "ERROR"
        assert "over 6 hours ago. " in late.line["message"]
        asked = "actAs" not in permission  # a build of so late an event is not even tried
        assert (f"{FUNCTION} lacks {permission}" in late.line["message"]) is asked


def test_an_archive_that_the_build_s_account_may_not_read_waits_for_the_grant(tmp_path: Path) -> None:
    kept = [grant for grant in GRANTS if not (grant.account == "builder" and "storage" in grant.role)]
    with served(tmp_path, kept) as world:
        world.make_live()
        told = world.deliver()
        assert told.status == 500
        assert told.line["severity"] == "ERROR"
        assert f"{email('builder')} lacks storage.objects.get on gs://{FIRST_BUCKET}" in told.line["message"]
        grant = f"add-iam-policy-binding gs://{FIRST_BUCKET} --member=serviceAccount:{email('builder')} --role=roles/storage.objectUser"
        assert grant in told.line["message"]
        assert world.builds() == []


def test_an_api_that_is_not_enabled_is_told_so(world: World) -> None:
    info = {"reason": "SERVICE_DISABLED", "metadata": {"service": "cloudbuild.googleapis.com"}}
    world.fault(LIST, "error", status=403, message="Cloud Build API has not been used", details=[info])
    told = world.deliver()
    assert told.status == 500
    assert "gcloud services enable cloudbuild.googleapis.com" in told.line["message"]
    assert "lacks" not in told.line["message"]


def test_a_quota_of_the_minute_is_no_missing_role(world: World) -> None:
    info = {"reason": "RATE_LIMIT_EXCEEDED", "metadata": {"service": "cloudbuild.googleapis.com"}}
    world.fault(LIST, "error", status=403, message="Quota exceeded, per minute", details=[info])
    told = world.deliver()
    assert told.status == 500
    assert told.line["severity"] == "WARNING"
    assert "Grant it" not in told.line["message"]


def test_creating_builds_needs_more_than_listing_them(world: World) -> None:
    world.fault(CREATE, "error", status=403, message="The caller does not have permission")
    assert f"{FUNCTION} lacks cloudbuild.builds.create on project" in world.deliver().line["message"]


def test_before_the_first_deploy_is_done_an_event_waits(tmp_path: Path) -> None:
    """With the right to list objects, Cloud Storage says 404 for what is not there."""
    may_list = Grant("function", "roles/storage.objectViewer", "projects/_/buckets/*")
    with served(tmp_path, [*GRANTS, may_list]) as world:
        event_id = new_id()
        early = world.deliver(event_id=event_id, age=60)
        assert early.status == 500
        assert early.line["severity"] == "WARNING"
        assert f"There is no {ADDRESS} yet" in early.line["message"]
        late = world.deliver(age=601)
        assert late.acknowledged
        assert late.line["severity"] == "ERROR"
        assert "nothing is deployed" in late.line["message"]
        world.make_live()
        assert world.deliver(event_id=event_id, age=60).line["severity"] == "INFO"
        world.bucket.blob(LIVE).delete()
        assert world.deliver(age=3600).acknowledged


def test_without_that_right_it_says_403_and_so_do_we(tmp_path: Path) -> None:
    with served(tmp_path) as world:
        told = world.deliver(age=3600)
        assert told.status == 500
        assert "or there is no such object, and nothing is deployed" in told.line["message"]
        assert world.deliver(age=6 * 3600 + 5).acknowledged
