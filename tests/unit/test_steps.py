"""The steps of a deployment: which ones, in which order, and how `deploy --status` prints them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builder.deploy.resources import Resources, Status, with_member
from builder.deploy.steps import remark, steps
from builder.deploy_ports import Policy, TopicState
from builder.errors import ProjectSetup
from tests.unit.test_deploy_resources import NAMES, active, job, spec, wanted

INVOKER = "notebook-trigger@my-project.iam.gserviceaccount.com"
CONVERGED = Status(
    TopicState(NAMES.labels, ("some",)), active(), with_member(Policy((), ""), spec().invoker), job()
)
NOTHING = Status(None, None, None, None)


def printed(status: Status, desired: Resources) -> list[str]:
    return [str(step) for step in steps(status, desired)]


def test_everything_is_created_in_order_and_a_converged_deployment_has_no_step() -> None:
    assert printed(NOTHING, wanted()) == [
        "create topic news",
        "create function nightly",
        f"bind invoker {INVOKER}",
        "create schedule nightly",
    ]
    assert steps(CONVERGED, wanted()) == ()
    assert steps(NOTHING, Resources(NAMES)) == ()


@pytest.mark.parametrize("topic", [None, TopicState(NAMES.labels)], ids=["missing", "created again"])
def test_a_function_without_a_subscription_goes_before_its_topic_is_created(topic: TopicState | None) -> None:
    found = steps(replace(CONVERGED, topic=topic), wanted())
    assert str(found[0]) == (
        "delete function nightly, which has no subscription because its topic was deleted"
    )
    assert [step.done for step in found] == [
        "function nightly deleted",
        *(["topic news created"] if topic is None else []),
        "function nightly created",
        f"invoker {INVOKER} bound",
    ]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        pytest.param(
            {"function": active(replace(spec().config, topic="projects/my-project/topics/old"))},
            [
                "delete function nightly, which receives the messages of another topic",
                "create function nightly",
                f"bind invoker {INVOKER}",
            ],
            id="another topic",
        ),
        pytest.param(
            {"function": active(replace(spec().config, timeout=1), state="DEPLOYING")},
            ["wait for function nightly, which is DEPLOYING"],
            id="busy",
        ),
        pytest.param(
            {"function": active(replace(spec().config, timeout=1, memory="1Gi"))},
            [
                "update function nightly (service_config.available_memory, service_config.timeout_seconds)",
            ],
            id="other settings",
        ),
        pytest.param({"policy": Policy((), "")}, [f"bind invoker {INVOKER}"], id="no invoker"),
        pytest.param(
            {"job": job(target="http", topic="")},
            [
                "delete schedule nightly, which calls http instead of Pub/Sub",
                "create schedule nightly",
            ],
            id="HTTP target",
        ),
        pytest.param({"job": job(cron="1 1 * * *")}, ["update schedule nightly (schedule)"], id="other time"),
    ],
)
def test_a_difference_has_its_steps(changed: dict[str, Any], expected: list[str]) -> None:
    assert printed(replace(CONVERGED, **changed), wanted()) == expected


def test_a_schedule_that_is_not_wanted_is_deleted_unless_it_is_not_ours() -> None:
    assert printed(CONVERGED, wanted(cron=None)) == ["delete schedule nightly"]
    foreign = replace(CONVERGED, job=job(description="the report of the sales team"))
    assert steps(foreign, wanted(cron=None)) == ()
    with pytest.raises(ProjectSetup, match="was not made by this deployment"):
        steps(foreign, wanted())


def test_a_removal_deletes_the_schedule_first_and_the_topic_last() -> None:
    alone = replace(CONVERGED, topic=TopicState(NAMES.labels))
    assert printed(alone, Resources(NAMES)) == [
        "delete schedule nightly",
        "delete function nightly",
        "delete topic news",
    ]


def test_a_removal_leaves_what_is_not_ours_and_says_so() -> None:
    foreign = Status(
        TopicState({"team": "data"}),
        active(replace(spec().config, labels={})),
        None,
        job(description="the report of the sales team"),
    )
    removal = Resources(NAMES)
    assert steps(foreign, removal) == ()
    assert [remark(stage, foreign, removal) for stage in ("schedule", "function", "topic")] == [
        "schedule nightly was not made by this deployment and stays",
        "function nightly was not made by this deployment and stays",
        "topic news was not made by this deployment and stays",
    ]
    assert remark("topic", CONVERGED, removal) == "topic news has other subscriptions and stays"
    assert steps(replace(CONVERGED, function=None, job=None), removal) == ()


def test_a_schedule_that_google_disabled_is_reported_with_the_command_that_helps() -> None:
    disabled = remark("schedule", replace(CONVERGED, job=job(state="DISABLED")), wanted())
    command = "gcloud scheduler jobs delete nightly --location="
    assert disabled.startswith("schedule nightly: Cloud Scheduler has disabled it")
    assert command in disabled
