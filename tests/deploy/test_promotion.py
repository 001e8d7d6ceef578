"""`deploy` as a whole, through Google's clients: its writes, and repeated and competing deployments."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace

import pytest
import requests

from builder.deploy.promotion import PromotionRequest, promote
from builder.deploy.status import status_lines
from builder.deploy.withdrawal import roll_back, undeploy
from builder.errors import ExitCode, InputRefused, ProjectSetup
from builder.model import GcsLocation
from localcloud.core.iam import PROJECT, email
from tests.deploy.cloud_fixture import source
from tests.deploy.deployment_fixture import BUCKET, IMAGE, KIT, DeploymentFixture, Killed, changed, dying
from tests.owner import signed
from tests.patience import PATIENCE

# By method id: what a converged deployment may call.
READING = (".get", ".list", ".getIamPolicy", "storage.objects.get", "tags.get")


def written(before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
    """The methods called in between, without reads."""
    called = [name for name, count in after.items() if count > before.get(name, 0)]
    return [name for name in called if not name.endswith(READING)]


def test_a_first_deployment_puts_everything_there(deployment_fixture: DeploymentFixture) -> None:
    assert changed(deployment_fixture.deploy())
    live = deployment_fixture.live()
    assert live is not None
    one = live["live"]
    assert one["builder"]["kit"] == KIT
    assert "@sha256:" in one["builder"]["image"]
    assert one["builder"]["image"] == one["build"]["steps"][0]["name"]
    (job,) = one["notebooks"][0]["jobs"]
    assert (job["image"], job["packages"], job["run"]) == (IMAGE, ["pandas==2.3.0"], "run-1")
    assert one["notebooks"][0]["parameters"] == {"day": "string"}
    assert one["schedule"]["parameters"] == {"demo.ipynb": {"day": "{today-1d}"}}
    state = deployment_fixture.state()
    assert state["functions"] == [("nightly", "ACTIVE")]
    assert state["jobs"] == [("nightly", "0 6 * * 1", "ENABLED")]
    assert state["topics"] == ["news"]
    assert state["policy"] == ["serviceAccount:notebook-trigger@local-project.iam.gserviceaccount.com"]
    assert [name.rpartition("/")[2] for name in state["objects"][1:]] == ["live.json", "locations.json"]


def test_a_second_deployment_only_reads_and_says_so(deployment_fixture: DeploymentFixture) -> None:
    deployment_fixture.deploy()
    request = deployment_fixture.request()
    before, state = dict(deployment_fixture.cloud_fixture.calls()), deployment_fixture.state()
    message = promote(request, deployment_fixture.context())
    after = dict(deployment_fixture.cloud_fixture.calls())
    assert message == "nothing changed: nightly runs exactly this already."
    assert written(before, after) == []
    assert deployment_fixture.state() == state


def test_another_run_that_proved_the_same_changes_nothing(deployment_fixture: DeploymentFixture) -> None:
    deployment_fixture.deploy()
    generation = deployment_fixture.context().current()[1]
    request = deployment_fixture.request()
    deployment_fixture.prove(request, "run-2")
    assert not changed(promote(request, deployment_fixture.context()))
    assert deployment_fixture.context().current()[1] == generation


def test_an_unproven_plan_does_not_go_live_and_the_live_one_stays(
    deployment_fixture: DeploymentFixture,
) -> None:
    deployment_fixture.deploy()
    state = deployment_fixture.state()
    deployment_fixture.write("day = '2018-04-02'")
    with pytest.raises(
        InputRefused,
        match=r"demo\.ipynb: no green run had exactly these inputs: notebook, files \(none beside it\)",
    ) as caught:
        promote(deployment_fixture.request(), deployment_fixture.context())
    assert caught.value.exit_code == ExitCode.BAD_INPUT
    assert deployment_fixture.state() == state


def test_other_bytes_are_a_promotion_and_can_be_rolled_back(deployment_fixture: DeploymentFixture) -> None:
    deployment_fixture.deploy()
    first = deployment_fixture.state()["live"]
    deployment_fixture.write("day = '2018-04-02'")
    deployment_fixture.options["NB_SCHEDULE"] = "0 7 * * 1"
    assert changed(deployment_fixture.deploy())
    assert deployment_fixture.state()["live"]["archive"]["sha256"] != first["archive"]["sha256"]
    assert deployment_fixture.state()["jobs"] == [("nightly", "0 7 * * 1", "ENABLED")]
    assert changed(roll_back(deployment_fixture.context()))
    assert {**deployment_fixture.state()["live"], "earlier": 0} == first
    assert deployment_fixture.state()["jobs"] == [("nightly", "0 6 * * 1", "ENABLED")]
    assert any(
        line.startswith("leaving archive") and "; going back to" in line
        for line in deployment_fixture.cloud_fixture.logged
    )
    with pytest.raises(InputRefused, match="nothing was live before this"):
        roll_back(deployment_fixture.context())


def test_a_rollback_needs_the_earlier_archive(deployment_fixture: DeploymentFixture) -> None:
    deployment_fixture.deploy()
    archive = deployment_fixture.state()["live"]["archive"]["object"]
    deployment_fixture.write("day = '2018-04-02'")
    deployment_fixture.deploy()
    state = deployment_fixture.state()
    deployment_fixture.store().delete(archive)
    with pytest.raises(InputRefused, match=r"does not exist any more at generation"):
        roll_back(deployment_fixture.context())
    assert deployment_fixture.state()["live"] == state["live"]


def test_a_rollback_needs_the_earlier_image(deployment_fixture: DeploymentFixture) -> None:
    deployment_fixture.deploy()
    deployment_fixture.write("day = '2018-04-02'")
    deployment_fixture.deploy()
    state = deployment_fixture.state()
    cloud_fixture = deployment_fixture.cloud_fixture
    versions = "artifactregistry.projects.locations.repositories.packages.versions.get"
    cloud_fixture.fault(versions, "error", status=404, times=2)
    with pytest.raises(InputRefused, match=r"There is no image .*@sha256:.* any more"):
        roll_back(deployment_fixture.context())
    assert deployment_fixture.state()["live"] == state["live"]
    missing = "differs: the builder's image is missing, so scheduled builds fail; run `deploy` again"
    assert missing in status_lines(deployment_fixture.context())


def test_status_says_that_an_archive_was_replaced(deployment_fixture: DeploymentFixture) -> None:
    deployment_fixture.deploy()
    archive = deployment_fixture.state()["live"]["archive"]["object"]
    deployment_fixture.store().replace(archive, b"another", content_type="application/gzip")
    assert any(
        "the archive is missing or was replaced" in line
        for line in status_lines(deployment_fixture.context())
    )


def test_a_function_that_runs_the_same_notebook_is_named(deployment_fixture: DeploymentFixture) -> None:
    """Such as the one before a change of its name, which goes on running the earlier bytes."""
    logged = deployment_fixture.cloud_fixture.logged
    deployment_fixture.deploy()
    assert not any("is live too" in line for line in logged)
    deployment_fixture.options |= {"NB_FUNCTION": "weekly", "NB_TOPIC": "other"}
    deployment_fixture.deploy()
    assert (
        "warning: function nightly is live too, and runs demo.ipynb; to remove it: deploy --undeploy --function nightly "
        "--region us-central1"
    ) in logged


def test_a_build_whose_steps_run_another_image_is_warned(deployment_fixture: DeploymentFixture) -> None:
    deployment_fixture.options |= {"BUILD_ID": deployment_fixture.build(), "LOCATION": "us-central1"}
    deployment_fixture.deploy()
    (warning,) = [
        line for line in deployment_fixture.cloud_fixture.logged if line.startswith("warning: no step")
    ]
    assert "notebook-builder/notebook-builder:0.1, which scheduled builds will run" in warning


def test_an_older_build_that_comes_late_changes_nothing(deployment_fixture: DeploymentFixture) -> None:
    clients = deployment_fixture.cloud_fixture.clients()
    older = deployment_fixture.build()
    deployment_fixture.cloud_fixture.cloud.clock.advance(60)
    newer = deployment_fixture.build()
    assert clients.builds.get(older, "us-central1") is not None
    deployment_fixture.options |= {"BUILD_ID": newer, "LOCATION": "us-central1"}
    deployment_fixture.deploy()
    state = deployment_fixture.state()
    deployment_fixture.write("day = '2018-04-02'")
    deployment_fixture.options["BUILD_ID"] = older
    message = deployment_fixture.deploy()
    assert not changed(message)
    assert f"build {newer}" in message
    assert "is newer than this build" in message
    assert deployment_fixture.state() == state


def test_another_repo_with_the_same_function_is_refused_and_touches_nothing(
    deployment_fixture: DeploymentFixture,
) -> None:
    deployment_fixture.deploy()
    state = deployment_fixture.state()
    other = DeploymentFixture(
        deployment_fixture.cloud_fixture,
        deployment_fixture.folder / "other",
        {"NB_GCS_LOCATION": "gs://local-project-notebooks/ci/other"},
    )
    request = other.request()
    other.prove(request, "run-2", location=GcsLocation(BUCKET, "ci/other"))
    mine = "belongs to another deployment, gs://local-project-notebooks/ci/live/nightly/live.json"
    with pytest.raises(ProjectSetup, match=mine):
        promote(request, other.context())
    undeploy(other.context())
    assert {**deployment_fixture.state(), "objects": []} == {**state, "objects": []}


def test_foreign_resources_are_shown_as_foreign_and_stay(deployment_fixture: DeploymentFixture) -> None:
    request = deployment_fixture.request()
    deployment_fixture.prove(request)
    deployment_fixture.clients.topics.create("projects/local-project/topics/news", {"team": "data"})
    wanted = deployment_fixture.cloud_fixture.desired().job
    assert wanted is not None
    job = replace(wanted, description="somebody's")
    deployment_fixture.clients.schedules.create(
        "projects/local-project/locations/us-central1/jobs/nightly", job
    )
    with pytest.raises(ProjectSetup, match=r"was not made by this deployment\. It stays as it is\."):
        promote(request, deployment_fixture.context())
    reported = list(status_lines(deployment_fixture.context()))
    assert "topic: there, not made by this deployment" in reported
    assert any(
        line.startswith("schedule: ENABLED") and line.endswith(", not made by this deployment")
        for line in reported
    )
    assert undeploy(deployment_fixture.context()) == "nothing changed: nightly is not deployed."
    state = deployment_fixture.state()
    assert (state["topics"], [name for name, *_ in state["jobs"]]) == (["news"], ["nightly"])


def beside(deployment_fixture: DeploymentFixture) -> tuple[DeploymentFixture, PromotionRequest]:
    """Another function on the same topic, and its proven request."""
    other = DeploymentFixture(
        deployment_fixture.cloud_fixture, deployment_fixture.folder / "other", {"NB_FUNCTION": "hourly"}
    )
    request = other.request()
    other.prove(request, "run-2")
    return other, request


@pytest.mark.exhaustive
def test_a_topic_with_the_subscription_of_another_function_stays(
    deployment_fixture: DeploymentFixture,
) -> None:
    deployment_fixture.deploy()
    other, request = beside(deployment_fixture)
    promote(request, other.context())
    undeploy(deployment_fixture.context())
    found = deployment_fixture.cloud_fixture.cloud.inventory()
    assert [one["name"] for one in found["functions"]] == ["hourly"]
    assert [one["name"] for one in found["pubsub.topics"]] == ["news"]
    assert any(
        "topic news has other subscriptions and stays" in line
        for line in deployment_fixture.cloud_fixture.logged
    )


def test_a_build_that_does_not_tell_its_id_is_warned(deployment_fixture: DeploymentFixture) -> None:
    deployment_fixture.deploy()
    assert not any("warning" in line for line in deployment_fixture.cloud_fixture.logged)
    deployment_fixture.options["BUILDER_OUTPUT"] = "/builder/outputs"
    deployment_fixture.deploy()
    assert any(
        line.startswith("warning: BUILD_ID is not set in this build")
        for line in deployment_fixture.cloud_fixture.logged
    )


@pytest.mark.exhaustive
def test_deployments_that_share_a_deleted_topic_are_all_repaired(
    deployment_fixture: DeploymentFixture,
) -> None:
    deployment_fixture.deploy()
    other, request = beside(deployment_fixture)
    promote(request, other.context())
    deployment_fixture.clients.topics.delete("projects/local-project/topics/news")
    deployment_fixture.deploy()
    assert any(
        "delete function hourly, which has no subscription" in line for line in status_lines(other.context())
    )
    assert changed(promote(request, other.context()))
    assert not any("`deploy` would" in line for line in status_lines(other.context()))
    assert not changed(promote(request, other.context()))
    assert not changed(deployment_fixture.deploy())


def test_going_back_keeps_the_accounts_that_were_deployed(deployment_fixture: DeploymentFixture) -> None:
    deployment_fixture.options["NB_TRIGGER_SERVICE_ACCOUNT"] = email("notebook-function")
    deployment_fixture.deploy()
    deployment_fixture.write("day = '2018-04-02'")
    deployment_fixture.deploy()
    del deployment_fixture.options["NB_TRIGGER_SERVICE_ACCOUNT"]
    deployment_fixture.request()
    assert not any(line.startswith("`deploy` would") for line in status_lines(deployment_fixture.context()))
    assert changed(roll_back(deployment_fixture.context()))
    function = deployment_fixture.clients.functions.get(
        "projects/local-project/locations/us-central1/functions/nightly"
    )
    assert function is not None
    assert function.config.trigger_account == email("notebook-function")
    assert deployment_fixture.invokers() == [f"serviceAccount:{email('notebook-function')}"]


def test_a_deployment_of_another_project_stays(deployment_fixture: DeploymentFixture) -> None:
    deployment_fixture.deploy()
    document = deployment_fixture.live()
    assert document is not None
    document["live"]["location"]["project"] = "old-project"
    moved = json.dumps(document).encode()
    deployment_fixture.store().replace("ci/live/nightly/live.json", moved, content_type="application/json")
    before = dict(deployment_fixture.cloud_fixture.calls())
    request = deployment_fixture.request()
    reported = "describes a deployment in project old-project. A second one in local-project"
    with pytest.raises(ProjectSetup, match=reported):
        promote(request, deployment_fixture.context())
    with pytest.raises(ProjectSetup, match=reported):
        undeploy(deployment_fixture.context())
    assert written(before, dict(deployment_fixture.cloud_fixture.calls())) == []


def test_an_unreadable_live_document_can_be_undeployed(deployment_fixture: DeploymentFixture) -> None:
    deployment_fixture.deploy()
    deployment_fixture.store().replace(
        "ci/live/nightly/live.json", b'{"schema": 7}', content_type="application/json"
    )
    with pytest.raises(ProjectSetup, match="cannot be read: its schema is 7"):
        promote(deployment_fixture.request(), deployment_fixture.context())
    assert changed(undeploy(deployment_fixture.context()))
    state = deployment_fixture.state()
    assert (state["live"], state["functions"], state["jobs"], state["topics"]) == (None, [], [], [])


def test_locations_of_another_version_are_reported_and_recorded_again(
    deployment_fixture: DeploymentFixture,
) -> None:
    deployment_fixture.deploy()
    name = "ci/live/nightly/locations.json"
    deployment_fixture.store().replace(name, b'{"schema": 7}', content_type="application/json")
    promote(deployment_fixture.request(), deployment_fixture.context())
    assert any(
        f"warning: gs://{BUCKET}/{name} cannot be read (its schema is 7, and 1 was expected)" in line
        for line in deployment_fixture.cloud_fixture.logged
    )
    assert deployment_fixture.context().locations.known() == {deployment_fixture.context().location}


def test_another_region_takes_all_of_it_along(deployment_fixture: DeploymentFixture) -> None:
    deployment_fixture.deploy()
    deployment_fixture.options["NB_REGION"] = "europe-west1"
    cloud = deployment_fixture.cloud_fixture.cloud
    job = f"{cloud.url}/v1/projects/{PROJECT}/locations/us-central1/jobs/nightly"
    assert requests.post(f"{job}:pause", headers=signed(cloud.iam), timeout=PATIENCE).ok
    assert changed(deployment_fixture.deploy())
    lost = "schedule nightly deleted, which is paused; a schedule that replaces it starts enabled"
    assert lost in deployment_fixture.cloud_fixture.logged
    found = deployment_fixture.cloud_fixture.cloud.inventory()
    assert [one["location"] for one in found["functions"]] == ["europe-west1"]
    assert [one["location"] for one in found["scheduler.jobs"]] == ["europe-west1"]
    assert changed(roll_back(deployment_fixture.context()))
    found = deployment_fixture.cloud_fixture.cloud.inventory()
    assert [one["location"] for one in found["functions"]] == ["us-central1"]
    assert [one["location"] for one in found["scheduler.jobs"]] == ["us-central1"]


def test_another_topic_leaves_the_old_one_nowhere(deployment_fixture: DeploymentFixture) -> None:
    deployment_fixture.deploy()
    deployment_fixture.options["NB_TOPIC"] = "other"
    assert changed(deployment_fixture.deploy())
    found = deployment_fixture.cloud_fixture.cloud.inventory()
    assert [one["name"] for one in found["pubsub.topics"]] == ["other"]
    assert [one["name"] for one in found["functions"]] == ["nightly"]


@pytest.mark.exhaustive
def test_a_move_to_another_topic_that_fails_says_that_nothing_runs(
    deployment_fixture: DeploymentFixture,
) -> None:
    deployment_fixture.deploy()
    deployment_fixture.options["NB_TOPIC"] = "other"
    deployment_fixture.cloud_fixture.fault(
        "cloudfunctions.projects.locations.functions.create",
        "operation_error",
        code="INVALID_ARGUMENT",
        message="boom",
    )
    with pytest.raises(
        ProjectSetup, match=r"boom.*The function is gone: nothing runs before a deploy succeeds\."
    ):
        deployment_fixture.deploy()
    live_json = {"name": "*live.json"}
    deployment_fixture.cloud_fixture.fault(
        "storage.objects.insert", "error", status=403, message="no", match=live_json, skip=1
    )
    reported = r"Not done: live\.json, schedule\. The schedule still publishes to news, and the function receives from other now"
    with pytest.raises(ProjectSetup, match=reported):
        deployment_fixture.deploy()
    assert changed(deployment_fixture.deploy())
    assert deployment_fixture.state()["topics"] == ["other"]
    deployment_fixture.cloud_fixture.fault(
        "storage.objects.insert", "error", status=403, message="no", match=live_json
    )
    reported = r"still publishes to other, and the function receives from news now: nothing runs before a deploy succeeds\."
    with pytest.raises(ProjectSetup, match=reported):
        roll_back(deployment_fixture.context())
    assert changed(roll_back(deployment_fixture.context()))
    assert deployment_fixture.state()["topics"] == ["news"]


@pytest.mark.exhaustive
def test_a_first_deployment_that_died_in_another_region_is_cleared_away(
    deployment_fixture: DeploymentFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = deployment_fixture.request()
    deployment_fixture.prove(request)
    with dying(monkeypatch, 6), pytest.raises(Killed):
        promote(request, deployment_fixture.context())
    assert deployment_fixture.state()["functions"] != []
    assert deployment_fixture.live() is None
    deployment_fixture.options["NB_REGION"] = "europe-west1"
    promote(deployment_fixture.request(), deployment_fixture.context())
    found = deployment_fixture.cloud_fixture.cloud.inventory()
    assert [one["location"] for one in found["functions"]] == ["europe-west1"]


def test_undeploying_leaves_archives_and_results(deployment_fixture: DeploymentFixture) -> None:
    deployment_fixture.deploy()
    assert changed(undeploy(deployment_fixture.context()))
    state = deployment_fixture.state()
    assert (state["live"], state["functions"], state["jobs"], state["topics"]) == (None, [], [], [])
    assert len(state["objects"]) == 1
    assert not changed(undeploy(deployment_fixture.context()))


def test_status_shows_the_live_version_and_the_differences(deployment_fixture: DeploymentFixture) -> None:
    deployment_fixture.request()
    assert list(status_lines(deployment_fixture.context())) == [
        "gs://local-project-notebooks/ci/live/nightly/live.json does not exist, so nothing is live",
        "topic: missing",
        "function: missing",
        "schedule: none",
        "last build: none (tag nb-live-nightly)",
    ]
    deployment_fixture.deploy()
    before = dict(deployment_fixture.cloud_fixture.calls())
    reported = "\n".join(status_lines(deployment_fixture.context()))
    assert written(before, dict(deployment_fixture.cloud_fixture.calls())) == []
    assert "demo: green in run run-1" in reported
    assert "function: ACTIVE" in reported
    assert "schedule: ENABLED, 0 6 * * 1 (Etc/UTC), never published yet" in reported
    assert re.search(r"^next run: 20\d\d-\d\d-\d\d 06:00 \(Etc/UTC\)$", reported, re.MULTILINE)
    assert "match what is live" in reported
    deployment_fixture.cloud_fixture.clients().schedules.delete(
        "projects/local-project/locations/us-central1/jobs/nightly"
    )
    assert "`deploy` would create schedule nightly" in "\n".join(status_lines(deployment_fixture.context()))


def test_a_function_that_does_not_build_leaves_the_live_version(
    deployment_fixture: DeploymentFixture,
) -> None:
    deployment_fixture.deploy()
    state = deployment_fixture.state()
    deployment_fixture.write("day = '2018-04-02'")
    deployment_fixture.zip = source("this is no Python(\n", version=2)
    with pytest.raises(ProjectSetup, match="could not be deployed"):
        deployment_fixture.deploy()
    assert deployment_fixture.state()["live"] == state["live"]
    deployment_fixture.zip = source(version=3)
    assert changed(deployment_fixture.deploy())
    assert deployment_fixture.state()["functions"] == [("nightly", "ACTIVE")]
