"""Tests the resources that deploy wants, and their differences. An addition of Google's own is none."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from builder.deploy.live import Accounts
from builder.deploy.names import Names, is_our_function, is_our_job, is_our_topic
from builder.deploy.resources import (
    EVERY_JOB_PATH,
    EVERY_PATH,
    FunctionSpec,
    Resources,
    Status,
    function_differences,
    is_bound,
    job_differences,
    resources,
    subscription_missing,
    updated_config,
    with_member,
)
from builder.deploy_ports import FunctionConfig, FunctionState, JobConfig, JobState, Policy, TopicState

NAMES = Names("my-project", "europe-west1", "nightly", "news", "gs://bucket/ci/live/nightly/live.json")
CODE = "ab" * 32
ACCOUNTS = Accounts(
    *(
        f"notebook-{name}@my-project.iam.gserviceaccount.com"
        for name in ("function", "function-build", "trigger")
    )
)


def wanted(**changed: Any) -> Resources:
    given: dict[str, Any] = {
        "endpoints": {},
        "source": b"zip",
        "code": CODE,
        "cron": "0 6 * * 1",
        "time_zone": "Europe/Vienna",
    }
    return resources(NAMES, ACCOUNTS, **{**given, **changed})


def spec(**changed: Any) -> FunctionSpec:
    function = wanted(**changed).function
    assert function is not None
    return function


def active(config: FunctionConfig | None = None, **changed: Any) -> FunctionState:
    state = FunctionState(NAMES.function_path, config or spec().config, "ACTIVE", NAMES.service_path)
    return replace(state, **changed)


def job(**changed: Any) -> JobState:
    config = wanted().job
    assert config is not None
    own = {key: changed.pop(key) for key in list(changed) if key in {"target", "state"}}
    return JobState(
        NAMES.job_path,
        replace(config, **changed),
        target=own.get("target", "pubsub"),
        state=own.get("state", "ENABLED"),
    )


def test_the_function_gets_the_place_of_live_json_and_the_builders_endpoints() -> None:
    endpoints = {"storage": "http://s", "cloudbuild": "http://b", "compute": "http://c"}
    config = spec(endpoints=endpoints).config
    assert config.environment == {
        "NB_LIVE": "gs://bucket/ci/live/nightly/live.json",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBUILD": "http://b",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": "http://s",
    }
    assert config.labels == {"nb-tool": "notebook-builder", "nb-code": CODE[:63]}


def test_googles_additions_are_no_difference() -> None:
    config = spec().config
    found = replace(
        config,
        labels={**config.labels, "deployment-tool": "console-cloud"},
        environment={**config.environment, "LOG_EXECUTION_ID": "true"},
        topic="projects/123456789/topics/news",
        memory="268435456",
    )
    assert function_differences(active(found), spec()) == ()


# A value of each field that is another one; a new field must be decided upon here.
OTHER = {
    "runtime": ("python314", ("build_config.runtime",)),
    "entry_point": ("main", ("build_config.entry_point",)),
    "build_account": ("other@x", ("build_config.service_account",)),
    "account": ("other@x", ("service_config.service_account_email",)),
    "memory": ("512M", ("service_config.available_memory",)),
    "timeout": (60, ("service_config.timeout_seconds",)),
    "instances": (2, ("service_config.max_instance_count",)),
    "concurrency": (80, ("service_config.max_instance_request_concurrency",)),
    "ingress": ("ALLOW_ALL", ("service_config.ingress_settings",)),
    "environment": ({"NB_LIVE": "gs://other"}, ("service_config.environment_variables",)),
    "topic": ("projects/my-project/topics/other", ("event_trigger",)),
    "trigger_account": ("other@x", ("event_trigger",)),
    "retry": ("RETRY_POLICY_DO_NOT_RETRY", ("event_trigger",)),
    "labels": (
        {"nb-tool": "notebook-builder", "nb-code": "cd" * 31},
        ("build_config.source", "labels"),
    ),
}


def test_the_function_has_accounts_of_its_own_one_instance_and_no_public_address() -> None:
    config = spec().config
    assert len({config.account, config.build_account, config.trigger_account}) == 3
    assert not [each for each in (config.account, config.build_account) if "developer" in each]
    assert (config.instances, config.ingress) == (1, "ALLOW_INTERNAL_ONLY")


@pytest.mark.parametrize("name", [field.name for field in fields(FunctionConfig)])
def test_every_field_of_the_function_is_compared(name: str) -> None:
    value, mask = OTHER[name]
    found = replace(spec().config, **{name: value})  # type: ignore[arg-type]
    assert function_differences(active(found), spec()) == mask


def test_a_variable_of_ours_that_is_there_too_many_is_a_difference() -> None:
    config = spec().config
    found = replace(config, environment={**config.environment, "NB_OLD": "1"})
    assert function_differences(active(found), spec()) == ("service_config.environment_variables",)


@pytest.mark.parametrize("state", ["FAILED", "UNKNOWN", "STATE_UNSPECIFIED", "7"])
def test_a_function_in_a_bad_state_gets_every_field_again(state: str) -> None:
    assert function_differences(active(state=state), spec()) == EVERY_PATH
    assert function_differences(active(problems=("no quota",)), spec()) == EVERY_PATH


def test_code_that_any_will_do_for_stays_with_its_label() -> None:
    config = spec().config
    found = active(replace(config, labels={**config.labels, "nb-code": "cd" * 31}, timeout=60))
    desired = spec(any_code=True)
    mask = function_differences(found, desired)
    assert mask == ("service_config.timeout_seconds",)
    assert updated_config(found, desired, mask).labels["nb-code"] == "cd" * 31
    assert function_differences(replace(found, state="FAILED"), desired) == EVERY_PATH
    unmarked = active(replace(config, labels={"nb-tool": "notebook-builder"}))
    assert "build_config.source" in function_differences(unmarked, desired)


@pytest.mark.parametrize(
    ("subscriptions", "missing"),
    [
        pytest.param((), True, id="none"),
        pytest.param(("eventarc-us-central1-nightly-123456-sub-789",), False, id="its own"),
        pytest.param(
            ("team-debug", "eventarc-us-central1-nightly-123456-sub-789"), False, id="its own and another"
        ),
        pytest.param(("eventarc-us-central1-hourly-123456-sub-789",), True, id="another function's"),
        pytest.param(("eventarc-us-central1-nightly-1234567-sub-789",), True, id="longer number"),
        pytest.param(("called-otherwise-one-day",), False, id="unknown form"),
    ],
)
def test_a_function_needs_a_subscription_of_its_own(
    subscriptions: tuple[str, ...],
    missing: bool,  # noqa: FBT001  a row of the table
) -> None:
    status = Status(
        TopicState(NAMES.labels, subscriptions), active(trigger="nightly-123456"), Policy((), ""), None
    )
    assert subscription_missing(status, NAMES) is missing


def test_an_update_keeps_the_labels_of_others() -> None:
    found = active(replace(spec().config, labels={"nb-tool": "notebook-builder", "team": "data"}))
    assert updated_config(found, spec(), EVERY_PATH).labels == {
        "nb-tool": "notebook-builder",
        "team": "data",
        "nb-code": CODE[:63],
    }


OTHER_JOB = {
    "cron": ("0 7 * * 1", ("schedule",)),
    "time_zone": ("Etc/UTC", ("time_zone",)),
    "topic": ("projects/my-project/topics/other", ("pubsub_target.topic_name",)),
    "data": (b"{ }", ("pubsub_target.data",)),
    "attributes": ({"a": "b"}, ("pubsub_target.attributes",)),
    "description": ("Notebook Builder: by hand", ("description",)),
    "retries": (0, ("retry_config.retry_count",)),
}


@pytest.mark.parametrize("name", [field.name for field in fields(JobConfig)])
def test_every_field_of_the_job_is_compared(name: str) -> None:
    value, mask = OTHER_JOB[name]
    desired = wanted().job
    assert desired is not None
    assert job_differences(job(**{name: value}), desired) == mask
    assert job_differences(job(), desired) == ()
    assert job_differences(job(state="PAUSED"), desired) == ()
    assert job_differences(job(state="UPDATE_FAILED"), desired) == EVERY_JOB_PATH


@pytest.mark.parametrize(
    ("changed", "ours"),
    [
        pytest.param({}, True, id="unchanged"),
        pytest.param({"topic": "projects/1/topics/news"}, True, id="project's number"),
        pytest.param(
            {"description": "Notebook Builder: runs what is live by gs://other/live/nightly/live.json"},
            False,
            id="description of another function",
        ),
        pytest.param({"description": "runs the report"}, False, id="description of somebody else"),
        pytest.param(
            {"topic": "projects/my-project/topics/old"}, True, id="old topic"
        ),  # after NB_TOPIC was changed
        pytest.param(
            {"description": "Notebook Builder: a copy", "topic": "projects/my-project/topics/old"},
            False,
            id="other description and topic",
        ),
        pytest.param({"target": "http", "topic": ""}, True, id="HTTP target"),
        pytest.param(
            {"target": "http", "topic": "", "description": ""}, False, id="HTTP target, no description"
        ),
    ],
)
def test_a_job_is_ours_by_its_description(changed: dict[str, Any], *, ours: bool) -> None:
    assert is_our_job(job(**changed), NAMES) is ours


def test_another_repo_with_the_same_names_is_somebody_else() -> None:
    other = replace(NAMES, live="gs://bucket/other/live/nightly/live.json")
    assert is_our_function(active(), NAMES)
    assert not is_our_function(active(), other)
    assert is_our_topic(TopicState(NAMES.labels), NAMES)
    assert not is_our_topic(TopicState(NAMES.labels), other)
    assert not is_our_job(job(), other)
    assert is_our_job(job(), replace(NAMES, region="us-east1", topic="other"))


def test_a_binding_under_a_condition_does_not_count_and_stays() -> None:
    member = spec().invoker
    conditional = {
        "role": "roles/run.invoker",
        "members": [member],
        "condition": {"title": "t", "expression": "e"},
    }
    policy = Policy(({"role": "roles/run.viewer", "members": ["user:a@b.c"]}, conditional), "etag")
    assert not is_bound(policy, member)
    changed = with_member(policy, member)
    assert is_bound(changed, member)
    assert changed.bindings[:2] == policy.bindings
    assert changed.etag == "etag"


def test_a_member_joins_those_that_are_there() -> None:
    policy = Policy(({"role": "roles/run.invoker", "members": ["user:a@b.c"]},), "etag")
    changed = with_member(policy, spec().invoker)
    assert changed.bindings == ({"role": "roles/run.invoker", "members": ["user:a@b.c", spec().invoker]},)
    assert policy.bindings[0]["members"] == ["user:a@b.c"]
