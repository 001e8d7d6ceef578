"""`deploy` as a whole, through Google's clients: what is written, when nothing is, who wins, and what a crash leaves."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from builder.deploy.promotion import Request, promote
from builder.deploy.status import status_lines
from builder.deploy.withdrawal import roll_back, undeploy
from builder.errors import ExitCode, InputRefused, ProjectSetup
from builder.model import GcsLocation
from localcloud.iam import email
from tests.deploy.place import opened, source
from tests.deploy.shop import BUCKET, IMAGE, KIT, Killed, Shop, dying

SAMPLED = 0.3  # of the writes are also ones before which the process dies
# By method id: what a converged deployment may call.
READING = (".get", ".list", ".getIamPolicy", "storage.objects.get", "tags.get")


def written(before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
    """The methods called in between that are no reads."""
    called = [name for name, count in after.items() if count > before.get(name, 0)]
    return [name for name in called if not name.endswith(READING)]


def test_a_first_deployment_puts_everything_there(shop: Shop) -> None:
    assert shop.deploy().changed
    live = shop.live()
    assert live is not None
    one = live["live"]
    assert one["builder"]["kit"] == KIT
    assert "@sha256:" in one["builder"]["image"]
    assert one["builder"]["image"] == one["build"]["steps"][0]["name"]
    (job,) = one["notebooks"][0]["jobs"]
    assert (job["image"], job["packages"], job["run"]) == (IMAGE, ["pandas==2.3.0"], "run-1")
    assert one["notebooks"][0]["parameters"] == {"day": "string"}
    assert one["schedule"]["parameters"] == {"demo.ipynb": {"day": "{today-1d}"}}
    state = shop.state()
    assert state["functions"] == [("nightly", "ACTIVE")]
    assert state["jobs"] == [("nightly", "0 6 * * 1", "ENABLED")]
    assert state["topics"] == ["news"]
    assert state["policy"] == ["serviceAccount:trigger@local-project.iam.gserviceaccount.com"]
    assert [name.rpartition("/")[2] for name in state["objects"][1:]] == ["live.json", "places.json"]


def test_a_second_deployment_only_reads_and_says_so(shop: Shop) -> None:
    shop.deploy()
    request = shop.request()
    before, state = dict(shop.place.calls()), shop.state()
    outcome = promote(request, shop.target())
    after = dict(shop.place.calls())
    assert (outcome.changed, outcome.message) == (
        False,
        "nothing changed: nightly runs exactly this already.",
    )
    assert written(before, after) == []
    assert shop.state() == state


def test_another_run_that_proved_the_same_changes_nothing(shop: Shop) -> None:
    shop.deploy()
    generation = shop.target().standing()[1]
    request = shop.request()
    shop.prove(request, "run-2")
    assert not promote(request, shop.target()).changed
    assert shop.target().standing()[1] == generation


def test_what_was_not_proven_does_not_go_live_and_what_is_live_stays(shop: Shop) -> None:
    shop.deploy()
    state = shop.state()
    shop.write("day = '2018-04-02'")
    with pytest.raises(
        InputRefused,
        match=r"demo\.ipynb: no run was green for exactly this: the notebook, its files \(none beside it\)",
    ) as caught:
        promote(shop.request(), shop.target())
    assert caught.value.exit_code == ExitCode.BAD_INPUT
    assert shop.state() == state


def test_other_bytes_are_a_promotion_and_can_be_rolled_back(shop: Shop) -> None:
    shop.deploy()
    first = shop.state()["live"]
    shop.write("day = '2018-04-02'")
    shop.options["NB_SCHEDULE"] = "0 7 * * 1"
    assert shop.deploy().changed
    assert shop.state()["live"]["archive"]["sha256"] != first["archive"]["sha256"]
    assert shop.state()["jobs"] == [("nightly", "0 7 * * 1", "ENABLED")]
    assert roll_back(shop.target()).changed
    assert {**shop.state()["live"], "earlier": 0} == first
    assert shop.state()["jobs"] == [("nightly", "0 6 * * 1", "ENABLED")]
    assert any(line.startswith("leaving archive") and "; going back to" in line for line in shop.place.said)
    with pytest.raises(InputRefused, match="nothing was live before this"):
        roll_back(shop.target())


def test_what_was_live_before_must_still_be_there(shop: Shop) -> None:
    shop.deploy()
    archive = shop.state()["live"]["archive"]["object"]
    shop.write("day = '2018-04-02'")
    shop.deploy()
    state = shop.state()
    shop.store().delete(archive)
    with pytest.raises(InputRefused, match=r"is not there any more at generation"):
        roll_back(shop.target())
    assert shop.state()["live"] == state["live"]


def test_an_older_build_that_comes_late_changes_nothing(shop: Shop) -> None:
    doors = shop.place.doors()
    older = shop.build()
    shop.place.cloud.clock.advance(60)
    newer = shop.build()
    assert doors.builds.get(older, "us-central1") is not None
    shop.options |= {"BUILD_ID": newer, "LOCATION": "us-central1"}
    shop.deploy()
    state = shop.state()
    shop.write("day = '2018-04-02'")
    shop.options["BUILD_ID"] = older
    outcome = shop.deploy()
    assert not outcome.changed
    assert f"build {newer}" in outcome.message
    assert "is newer than this build" in outcome.message
    assert shop.state() == state


def test_another_repo_with_the_same_function_is_refused_and_touches_nothing(shop: Shop) -> None:
    shop.deploy()
    state = shop.state()
    other = Shop(
        shop.place, shop.folder / "other", {"NB_GCS_LOCATION": "gs://local-project-notebooks/ci/other"}
    )
    request = other.request()
    other.prove(request, "run-2", location=GcsLocation(BUCKET, "ci/other"))
    mine = "belongs to another deployment, gs://local-project-notebooks/ci/live/nightly/live.json"
    with pytest.raises(ProjectSetup, match=mine):
        promote(request, other.target())
    undeploy(other.target())
    assert {**shop.state(), "objects": []} == {**state, "objects": []}


def test_what_somebody_else_made_is_shown_as_theirs_and_stays(shop: Shop) -> None:
    request = shop.request()
    shop.prove(request)
    shop.doors.topics.create("projects/local-project/topics/news", {"team": "data"})
    wanted = shop.place.desired().job
    assert wanted is not None
    job = replace(wanted, description="somebody's")
    shop.doors.schedules.create("projects/local-project/locations/us-central1/jobs/nightly", job)
    with pytest.raises(ProjectSetup, match="was not made by this deployment, and is left as it is"):
        promote(request, shop.target())
    told = list(status_lines(shop.target()))
    assert "topic: there, not made by this deployment" in told
    assert any(
        line.startswith("schedule: ENABLED") and line.endswith(", not made by this deployment")
        for line in told
    )
    assert undeploy(shop.target()).message == "nothing changed: nightly is not deployed."
    state = shop.state()
    assert (state["topics"], [name for name, *_ in state["jobs"]]) == (["news"], ["nightly"])


def beside(shop: Shop) -> tuple[Shop, Request]:
    """Another function on the same topic, and what is to go live by it."""
    other = Shop(shop.place, shop.folder / "other", {"NB_FUNCTION": "hourly"})
    request = other.request()
    other.prove(request, "run-2")
    return other, request


def test_a_topic_that_another_function_hears_stays(shop: Shop) -> None:
    shop.deploy()
    other, request = beside(shop)
    promote(request, other.target())
    undeploy(shop.target())
    found = shop.place.cloud.inventory()
    assert [one["name"] for one in found["functions"]] == ["hourly"]
    assert [one["name"] for one in found["pubsub.topics"]] == ["news"]
    assert any("topic news is heard by others, and stays" in line for line in shop.place.said)


def test_a_build_that_does_not_tell_its_id_is_warned(shop: Shop) -> None:
    shop.deploy()
    assert not any("warning" in line for line in shop.place.said)
    shop.options["BUILDER_OUTPUT"] = "/builder/outputs"
    shop.deploy()
    assert any(line.startswith("warning: BUILD_ID is not set in this build") for line in shop.place.said)


def test_who_shares_a_topic_that_was_deleted_is_repaired_as_well(shop: Shop) -> None:
    shop.deploy()
    other, request = beside(shop)
    promote(request, other.target())
    shop.doors.topics.delete("projects/local-project/topics/news")
    shop.deploy()
    assert any("hourly hears nothing" in line for line in status_lines(other.target()))
    assert promote(request, other.target()).changed
    assert not any("hears nothing" in line for line in status_lines(other.target()))
    assert not promote(request, other.target()).changed
    assert not shop.deploy().changed


def test_going_back_keeps_the_accounts_that_were_deployed(shop: Shop) -> None:
    shop.options["NB_TRIGGER_SERVICE_ACCOUNT"] = email("function")
    shop.deploy()
    shop.write("day = '2018-04-02'")
    shop.deploy()
    del shop.options["NB_TRIGGER_SERVICE_ACCOUNT"]
    shop.request()
    assert not any(line.startswith("differs") for line in status_lines(shop.target()))
    assert roll_back(shop.target()).changed
    function = shop.doors.functions.get("projects/local-project/locations/us-central1/functions/nightly")
    assert function is not None
    assert function.config.trigger_account == email("function")
    assert shop.invokers() == [f"serviceAccount:{email('function')}"]


def test_what_is_live_in_another_project_is_left_there(shop: Shop) -> None:
    shop.deploy()
    document = shop.live()
    assert document is not None
    document["live"]["place"]["project"] = "old-project"
    moved = json.dumps(document).encode()
    shop.store().replace("ci/live/nightly/live.json", moved, content_type="application/json")
    before = dict(shop.place.calls())
    request = shop.request()
    told = "is deployed in project old-project, and this is local-project"
    with pytest.raises(ProjectSetup, match=told):
        promote(request, shop.target())
    with pytest.raises(ProjectSetup, match=told):
        undeploy(shop.target())
    assert written(before, dict(shop.place.calls())) == []


def test_what_cannot_be_read_can_be_undeployed(shop: Shop) -> None:
    shop.deploy()
    shop.store().replace("ci/live/nightly/live.json", b'{"schema": 7}', content_type="application/json")
    with pytest.raises(ProjectSetup, match="cannot be read: its schema is 7"):
        promote(shop.request(), shop.target())
    assert undeploy(shop.target()).changed
    state = shop.state()
    assert (state["live"], state["functions"], state["jobs"], state["topics"]) == (None, [], [], [])


def test_another_region_takes_all_of_it_along(shop: Shop) -> None:
    shop.deploy()
    shop.options["NB_REGION"] = "europe-west1"
    assert shop.deploy().changed
    found = shop.place.cloud.inventory()
    assert [one["location"] for one in found["functions"]] == ["europe-west1"]
    assert [one["location"] for one in found["scheduler.jobs"]] == ["europe-west1"]
    assert roll_back(shop.target()).changed
    found = shop.place.cloud.inventory()
    assert [one["location"] for one in found["functions"]] == ["us-central1"]
    assert [one["location"] for one in found["scheduler.jobs"]] == ["us-central1"]


def test_another_topic_leaves_the_old_one_nowhere(shop: Shop) -> None:
    shop.deploy()
    shop.options["NB_TOPIC"] = "other"
    assert shop.deploy().changed
    found = shop.place.cloud.inventory()
    assert [one["name"] for one in found["pubsub.topics"]] == ["other"]
    assert [one["name"] for one in found["functions"]] == ["nightly"]


def test_a_move_to_another_topic_that_fails_says_that_nothing_runs(shop: Shop) -> None:
    shop.deploy()
    shop.options["NB_TOPIC"] = "other"
    shop.place.fault(
        "cloudfunctions.projects.locations.functions.create",
        "operation_error",
        code="INVALID_ARGUMENT",
        message="boom",
    )
    with pytest.raises(
        ProjectSetup, match=r"boom.*The function is gone: nothing runs before a deploy succeeds\."
    ):
        shop.deploy()
    place = {"name": "*live.json"}
    shop.place.fault("storage.objects.insert", "error", status=403, message="no", match=place)
    told = r"Not done: live\.json, schedule\. The schedule still publishes to news, and the function hears other by now"
    with pytest.raises(ProjectSetup, match=told):
        shop.deploy()
    assert shop.deploy().changed
    assert shop.state()["topics"] == ["other"]
    shop.place.fault("storage.objects.insert", "error", status=403, message="no", match=place)
    told = r"still publishes to other, and the function hears news by now: nothing runs before a deploy succeeds\."
    with pytest.raises(ProjectSetup, match=told):
        roll_back(shop.target())
    assert roll_back(shop.target()).changed
    assert shop.state()["topics"] == ["news"]


def test_a_first_deployment_that_died_in_another_region_is_cleared_away(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = shop.request()
    shop.prove(request)
    with dying(monkeypatch, 6, "after"), pytest.raises(Killed):
        promote(request, shop.target())
    assert shop.state()["functions"] != []
    assert shop.live() is None
    shop.options["NB_REGION"] = "europe-west1"
    promote(shop.request(), shop.target())
    found = shop.place.cloud.inventory()
    assert [one["location"] for one in found["functions"]] == ["europe-west1"]


def test_undeploying_leaves_archives_and_results(shop: Shop) -> None:
    shop.deploy()
    assert undeploy(shop.target()).changed
    state = shop.state()
    assert (state["live"], state["functions"], state["jobs"], state["topics"]) == (None, [], [], [])
    assert len(state["objects"]) == 1
    assert not undeploy(shop.target()).changed


def test_status_tells_what_is_live_and_what_differs(shop: Shop) -> None:
    shop.request()
    assert list(status_lines(shop.target())) == [
        "gs://local-project-notebooks/ci/live/nightly/live.json is not there: nothing is live",
        "topic: missing",
        "function: missing",
        "schedule: none",
        "last build: none (tag nb-live-nightly)",
    ]
    shop.deploy()
    before = dict(shop.place.calls())
    told = "\n".join(status_lines(shop.target()))
    assert written(before, dict(shop.place.calls())) == []
    assert "demo: green in run run-1" in told
    assert "function: ACTIVE" in told
    assert "schedule: ENABLED, 0 6 * * 1 (Etc/UTC), never published yet" in told
    assert "as they were deployed" in told
    shop.place.doors().schedules.delete("projects/local-project/locations/us-central1/jobs/nightly")
    assert "differs: schedule nightly is missing" in "\n".join(status_lines(shop.target()))


def test_a_function_that_does_not_build_leaves_what_is_live(shop: Shop) -> None:
    shop.deploy()
    state = shop.state()
    shop.write("day = '2018-04-02'")
    shop.zip = source("this is no Python(\n", version=2)
    with pytest.raises(ProjectSetup, match="could not be deployed"):
        shop.deploy()
    assert shop.state()["live"] == state["live"]
    shop.zip = source(version=3)
    assert shop.deploy().changed
    assert shop.state()["functions"] == [("nightly", "ACTIVE")]


FEWEST_WRITES = 9  # archive, place, topic, upload URL, source, function, policy, live.json, schedule


def killed_and_run_again(
    shop: Shop, request: Request, monkeypatch: pytest.MonkeyPatch, at: int, side: str
) -> bool:
    """Deploy, die at a write, deploy again; False where there is no such write any more."""
    try:
        with dying(monkeypatch, at, side):
            promote(request, shop.target())
    except Killed:
        promote(request, shop.target())
        return True
    return False


@pytest.mark.exhaustive
@pytest.mark.timeout(600)
def test_killed_at_any_call_and_run_again_it_ends_as_one_clean_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first deployment and a change of everything: after each write's effect, exhaustively; before it is sent, a sample."""
    seed = random.randrange(10**6)
    draw = random.Random(seed)
    with opened(tmp_path / "cloud") as place:
        shop = Shop(place, tmp_path / "shop")
        first = shop.request()
        shop.prove(first)
        promote(first, shop.target())
        at_first = shop.state()
        change(shop)
        second = shop.request()
        shop.prove(second, "run-2")
        promote(second, shop.target())
        at_last = shop.state()
        points = 0
        for at in itertools.count(1):
            for side in ("after", "before") if draw.random() < SAMPLED else ("after",):
                reset(shop)
                more = killed_and_run_again(shop, shop.request(), monkeypatch, at, side)
                assert shop.state() == at_first, (
                    f"seed {seed}: killed {side} write {at} of the first deployment"
                )
                change(shop)
                later = killed_and_run_again(shop, shop.request(), monkeypatch, at, side)
                assert shop.state() == at_last, (
                    f"seed {seed}: killed {side} write {at} of the second deployment"
                )
                points += more + later
            if not (more or later):
                break
    print(f"seed {seed}: killed at {points} points, {at - 1} writes in the longest deployment")
    assert at > FEWEST_WRITES + 1


def change(shop: Shop) -> None:
    """Other bytes, another schedule, another region and topic, another version of the builder."""
    shop.write("day = '2018-04-02'")
    shop.options |= {"NB_SCHEDULE": "0 7 * * 1", "NB_REGION": "europe-west1", "NB_TOPIC": "other"}
    shop.zip = source(version=2)


def reset(shop: Shop) -> None:
    """As before the first deployment."""
    undeploy(shop.target())
    for one in shop.store().list("ci/live/"):
        shop.store().delete(one.name)
    shop.write("day = '2018-04-01'")
    shop.options |= {"NB_SCHEDULE": "0 6 * * 1", "NB_REGION": "us-central1", "NB_TOPIC": "news"}
    shop.zip = source()
