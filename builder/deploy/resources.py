"""The desired resources of a deployment as values, and how they compare with the current ones. Pure.

A difference is named by the path that an update's mask takes. Labels, variables and defaults that Google adds are no
difference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from posixpath import basename

from builder.deploy.build import overrides
from builder.deploy.live import Accounts
from builder.deploy.names import LIVE_VARIABLE, Names
from builder.deploy_ports import FunctionConfig, FunctionState, JobConfig, JobState, Policy, TopicState
from builder.model import JsonObject
from builder.plan.vm_spec import TOOL, TOOL_LABEL

CODE_LABEL = "nb-code"
INVOKER = "roles/run.invoker"
RUNTIME = "python313"
PAYLOAD = b"{}"
RETRIES = 3  # of publishing; Pub/Sub repeats deliveries by itself
# The services of Google that the function calls.
_CALLED = frozenset({"storage", "cloudbuild"})
_MAX_LABEL = 63
SOURCE_PATH = "build_config.source"
_CODE_PATHS = (SOURCE_PATH, "labels")
# By field of FunctionConfig. An update names the whole trigger, as gcloud does.
_PATHS = {
    "runtime": "build_config.runtime",
    "entry_point": "build_config.entry_point",
    "build_account": "build_config.service_account",
    "account": "service_config.service_account_email",
    "memory": "service_config.available_memory",
    "timeout": "service_config.timeout_seconds",
    "instances": "service_config.max_instance_count",
    "concurrency": "service_config.max_instance_request_concurrency",
    "ingress": "service_config.ingress_settings",
    "environment": "service_config.environment_variables",
    "topic": "event_trigger",
    "trigger_account": "event_trigger",
    "retry": "event_trigger",
    "labels": "labels",
}
EVERY_PATH = tuple(dict.fromkeys((*_PATHS.values(), *_CODE_PATHS)))
_JOB_PATHS = {
    "cron": "schedule",
    "time_zone": "time_zone",
    "topic": "pubsub_target.topic_name",
    "data": "pubsub_target.data",
    "attributes": "pubsub_target.attributes",
    "description": "description",
    "retries": "retry_config.retry_count",
}
EVERY_JOB_PATH = tuple(_JOB_PATHS.values())
_OUR_VARIABLES = ("NB_", "CLOUDSDK_")
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


@dataclass(frozen=True)
class FunctionSpec:
    """The desired function: its config, the zip of its source, and the SHA-256 of that in hex.

    `any_code`: a function without faults keeps the code that it has.
    """

    config: FunctionConfig
    zip: bytes = field(repr=False)
    code: str
    any_code: bool = False

    @property
    def invoker(self) -> str:
        """The member that may invoke the function's service, as policies write it."""
        return f"serviceAccount:{self.config.trigger_account}"


@dataclass(frozen=True)
class Resources:
    """The desired resources of a deployment. `job` None: no schedule; `function` None: no resource at all."""

    names: Names
    function: FunctionSpec | None = None
    job: JobConfig | None = None


@dataclass(frozen=True)
class Status:
    """The current resources of a deployment; None: missing. `policy` is the access policy of the function's service."""

    topic: TopicState | None
    function: FunctionState | None
    policy: Policy | None
    job: JobState | None


def resources(
    names: Names,
    accounts: Accounts,
    *,
    endpoints: Mapping[str, str],
    source: bytes,
    code: str,
    cron: str | None,
    time_zone: str,
    any_code: bool = False,
) -> Resources:
    """The resources for one function.

    `endpoints` are the builder's own overrides, `source` is the zip and `code` its SHA-256 in hex, `cron` None for no
    schedule.
    """
    called = {service: url for service, url in endpoints.items() if service in _CALLED}
    config = FunctionConfig(
        runtime=RUNTIME,
        entry_point="submit",
        build_account=accounts.function_build,
        account=accounts.function,
        memory="256Mi",
        timeout=120,
        instances=1,
        concurrency=1,
        ingress="ALLOW_INTERNAL_ONLY",
        environment={
            LIVE_VARIABLE: names.live,
            **dict(variable.split("=", 1) for variable in overrides(called)),
        },
        topic=names.topic_path,
        trigger_account=accounts.trigger,
        retry="RETRY_POLICY_RETRY",
        labels={TOOL_LABEL: TOOL, CODE_LABEL: code[:_MAX_LABEL]},
    )
    job = None if cron is None else _job(names, cron, time_zone)
    return Resources(names, FunctionSpec(config, source, code, any_code), job)


def _job(names: Names, cron: str, time_zone: str) -> JobConfig:
    return JobConfig(
        cron=cron,
        time_zone=time_zone,
        topic=names.topic_path,
        data=PAYLOAD,
        description=names.description,
        attributes={},
        retries=RETRIES,
    )


def uses_topic(function: FunctionState, names: Names) -> bool:
    """True if the function's trigger names our topic."""
    return basename(function.config.topic) == names.topic


def subscription_missing(current: Status, names: Names) -> bool:
    """True if the function's subscription was deleted with its topic, also if a topic of that name exists again."""
    function, topic = current.function, current.topic
    if function is None or function.state != "ACTIVE" or not uses_topic(function, names):
        return False
    return topic is None or not _has_subscription(function, topic)


def _has_subscription(function: FunctionState, topic: TopicState) -> bool:
    """True if one of the topic's subscriptions is the function's own.

    Eventarc names it eventarc-LOCATION-TRIGGER-sub-NUMBER. If no subscription has a name of that form, any may be the
    function's.
    """
    eventarcs = [name for name in topic.subscriptions if name.startswith("eventarc-")]
    if not (eventarcs and function.trigger):
        return bool(topic.subscriptions)
    return any(f"-{function.trigger}-sub-" in name for name in eventarcs)


def function_differences(current: FunctionState, desired: FunctionSpec) -> tuple[str, ...]:
    """The mask of the update that brings the function to `desired`; empty if none is needed.

    Everything if the function has a fault.
    """
    if current.state != "ACTIVE" or current.problems:
        return EVERY_PATH
    found, wanted = _comparable(current.config), _comparable(desired.config)
    paths = [path for name, path in _PATHS.items() if found[name] != wanted[name]]
    code = current.config.labels.get(CODE_LABEL)
    if code != desired.config.labels[CODE_LABEL] and not (code and desired.any_code):
        paths += _CODE_PATHS
    return tuple(dict.fromkeys(paths))


def updated_config(current: FunctionState, desired: FunctionSpec, mask: Sequence[str]) -> FunctionConfig:
    """The config to send with an update: `desired`, the labels of others, and the label of code that stays."""
    labels = {**current.config.labels, **desired.config.labels}
    if SOURCE_PATH not in mask and CODE_LABEL in current.config.labels:
        labels[CODE_LABEL] = current.config.labels[CODE_LABEL]
    return replace(desired.config, labels=labels)


def job_differences(current: JobState, desired: JobConfig) -> tuple[str, ...]:
    """The mask of the update that brings the job to `desired`; empty if none is needed.

    The job must publish to Pub/Sub.

    A paused job is no difference.
    """
    if current.state == "UPDATE_FAILED":
        return EVERY_JOB_PATH
    return tuple(
        path
        for name, path in _JOB_PATHS.items()
        if _named(name, getattr(current.config, name)) != _named(name, getattr(desired, name))
    )


def is_bound(policy: Policy, member: str) -> bool:
    """True if the member may invoke the service, under no condition."""
    return any(member in binding.get("members", ()) for binding in policy.bindings if _invokes(binding))


def with_member(policy: Policy, member: str) -> Policy:
    """The policy with the member added and nothing else changed."""
    bindings = [dict(binding) for binding in policy.bindings]
    for binding in bindings:
        if _invokes(binding):
            binding["members"] = [*binding.get("members", ()), member]
            return Policy(tuple(bindings), policy.etag)
    return Policy((*bindings, {"role": INVOKER, "members": [member]}), policy.etag)


def _invokes(binding: JsonObject) -> bool:
    return binding.get("role") == INVOKER and not binding.get("condition")


def _comparable(config: FunctionConfig) -> dict[str, object]:
    return {name: _named(name, getattr(config, name)) for name in _PATHS}


def _named(name: str, value: object) -> object:
    """The value of a field in comparable form: Google may write a project's number for its ID, and adds labels."""
    if name == "topic":
        return basename(str(value))
    if name == "memory":
        return _bytes(str(value))
    if name == "labels" and isinstance(value, Mapping):
        return value.get(TOOL_LABEL)
    if name == "environment" and isinstance(value, Mapping):
        return {key: text for key, text in value.items() if key.startswith(_OUR_VARIABLES)}
    return value


def _bytes(memory: str) -> object:
    match = re.fullmatch(r"([0-9]+)([A-Za-z]{0,2})", memory)
    return int(match[1]) * _UNITS[match[2]] if match and match[2] in _UNITS else memory
