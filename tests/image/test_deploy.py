"""CI and CD by the image alone.

A user's cloudbuild.yaml as it stands, the schedule's build, and `deploy` where little is allowed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from tests.image.closed_cloud import BUCKET, PROJECT, ROOT, ClosedCloud
from tests.image.engine import Engine
from tests.image.steps import Ended, Steps

EXAMPLE = ROOT / "examples/bike-share"
FUNCTION = "bike-share"
REPOSITORY = "us-central1-docker.pkg.dev/local-project/notebook-builder/notebook-builder"
NAME = f"{REPOSITORY}:0.1"
# What the example's cloudbuild.yaml gives to its steps: deploy believes a run of exactly these options.
GIVEN = {
    "PROJECT_ID": PROJECT,
    "NB_GCS_LOCATION": f"gs://{BUCKET}/notebooks",
    "NB_VM_SERVICE_ACCOUNT": f"notebook-vm@{PROJECT}.iam.gserviceaccount.com",
    "NB_BUILDER_IMAGE": NAME,
    "NB_INDEX_URL": f"https://us-central1-python.pkg.dev/{PROJECT}/pypi/simple/",
}
LITTLE = ("--read-only", "--tmpfs", "/tmp", "--user", "1234:1234", "--cap-drop", "ALL")
DEPLOYED = ("functions", "scheduler.jobs", "pubsub.topics")


def deploy(steps: Steps, cloud: ClosedCloud, *arguments: str, function: str = FUNCTION) -> Ended:
    """`deploy` in a container that may write to /tmp only, as a user that owns nothing."""
    metadata = cloud.variables_of_other_users()
    return steps.run("deploy", *arguments, options=LITTLE, NB_FUNCTION=function, **GIVEN, **metadata)


def live(cloud: ClosedCloud, function: str = FUNCTION) -> bytes:
    """live.json."""
    return (cloud.folder("notebooks") / "live" / function / "live.json").read_bytes()


@pytest.fixture(scope="module")
def submitted(engine: Engine, image: str, cloud: ClosedCloud) -> Iterator[tuple[int, str]]:
    """The example's build: its exit code and its log.

    What it deployed is gone at the end, lest its schedule fire in later tests.
    """
    engine.tag(image, NAME)
    yield cloud.submit(EXAMPLE)
    steps = Steps(engine, image, network=cloud.network, variables=cloud.step_variables())
    ended = steps.run("deploy", "--undeploy", NB_FUNCTION=FUNCTION, **GIVEN)
    assert ended.code == 0, ended.output
    inventory = cloud.inventory()
    assert {kind: inventory[kind] for kind in DEPLOYED} == {kind: [] for kind in DEPLOYED}


@pytest.fixture
def example(steps: Steps, submitted: tuple[int, str]) -> Steps:
    """Steps that have the example in /workspace, once its build is over."""
    assert submitted[0] == 0, submitted[1]
    steps.workspace(EXAMPLE)
    return steps


def test_example_build_is_green_and_goes_live(
    submitted: tuple[int, str], cloud: ClosedCloud, engine: Engine, image: str
) -> None:
    code, output = submitted
    assert code == 0, output
    for step in ("notebooks", "deploy"):
        assert re.search(rf'Step #\d - "{step}": Already have image: {re.escape(NAME)}\n', output), output
    vm = re.search(r"VM (nb-\S+) runs in", output)
    assert vm, output
    assert f"VM {vm[1]} deleted" in output
    assert cloud.vms() == []
    location = cloud.folder("notebooks")
    (summary,) = location.glob("results/*/summary.json")
    assert json.loads(summary.read_text())["verdict"] == "green"
    assert list(summary.parent.glob("demo/outputs/stations.csv"))
    assert list(location.glob("open/**/*.json")) == []
    now: dict[str, Any] = json.loads(live(cloud))["live"]
    identity = engine.call("image", "inspect", "--format", "{{.Id}}", image)
    assert now["builder"]["image"] == f"{REPOSITORY}@{identity}"
    # What the builder calls from its container, the scheduled build calls from its own.
    endpoint = "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE"
    assert f"{endpoint}={cloud.step_variables()[endpoint]}" in now["build"]["steps"][0]["env"]
    (function,) = cloud.inventory()["functions"]
    assert (function["name"], function["state"]) == (FUNCTION, "ACTIVE")


def test_a_scheduled_build_runs_the_live_version_in_a_container(
    example: Steps, cloud: ClosedCloud, engine: Engine, image: str
) -> None:
    days = {cloud.day()}
    cloud.run_job(FUNCTION)
    build, log = cloud.until_built(f"nb-live-{FUNCTION}")
    days.add(cloud.day())
    assert build["status"] == "SUCCESS", log
    assert build["serviceAccount"].endswith(f"/notebook-scheduler@{PROJECT}.iam.gserviceaccount.com")
    (step,) = build["steps"]
    by_digest = f"{REPOSITORY}@{engine.call('image', 'inspect', '--format', '{{.Id}}', image)}"
    assert step["name"] == by_digest
    assert f"Already have image: {by_digest}\n" in log
    (published,) = cloud.folder("notebooks").glob("versions/*/demo")
    day = published.parent.name
    assert day in days
    executed = json.loads((published / "demo.ipynb").read_text())
    month_ago = (date.fromisoformat(day) - timedelta(days=30)).isoformat()
    assert executed["metadata"]["papermill"]["parameters"] == {"start_date": month_ago, "end_date": day}
    assert (published / "outputs/stations.csv").is_file()
    assert cloud.vms() == []


def test_second_deploy_changes_nothing(example: Steps, cloud: ClosedCloud) -> None:
    before = live(cloud)
    again = deploy(example, cloud)
    assert again.code == 0, again.output
    assert "nothing changed" in again.output
    assert live(cloud) == before


def test_deploy_and_undeploy_write_to_tmp_only(example: Steps, cloud: ClosedCloud) -> None:
    before = {kind: cloud.inventory()[kind] for kind in DEPLOYED}
    other = "bike-share-again"
    made = deploy(example, cloud, function=other)
    assert made.code == 0, made.output
    assert f"{other} runs archive" in made.output
    told = deploy(example, cloud, "--status", function=other)
    assert told.code == 0, told.output
    assert "function, topic and schedule match what is live" in told.output
    gone = deploy(example, cloud, "--undeploy", function=other)
    assert gone.code == 0, gone.output
    assert {kind: cloud.inventory()[kind] for kind in DEPLOYED} == before
