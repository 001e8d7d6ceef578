"""What `deploy` wants in Google Cloud, as values, and what is not so yet. Pure.

A difference is named by the path that an update's mask takes. What Google adds by itself (labels, variables, defaults) is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from builder.deploy.build import overrides
from builder.deploy.live import Accounts
from builder.deploy.names import LIVE_VARIABLE, Names, is_our_job
from builder.deploy.ports import FunctionConfig, FunctionState, JobConfig, JobState, Policy, TopicState
from builder.model import JsonObject
from builder.plan.vm_spec import TOOL, TOOL_LABEL

CODE_LABEL = "nb-code"
INVOKER = "roles/run.invoker"
RUNTIME = "python313"
PAYLOAD = b"{}"
RETRIES = 3  # of publishing, not of what comes of it: Pub/Sub delivers again by itself
# The services of Google that the function itself calls.
_CALLED = frozenset({"storage", "cloudbuild"})
_LONGEST_LABEL = 63
SOURCE_PATH = "build_config.source"
_CODE_PATHS = (SOURCE_PATH, "labels")
# By field of FunctionConfig. The trigger is named whole, as gcloud does.
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
    """The function as it is to be: its config, the zip of its source, and the sha256 of that.

    `any_code`: a function that is well keeps the code that it has.
    """

    config: FunctionConfig
    zip: bytes = field(repr=False)
    code: str
    any_code: bool = False


@dataclass(frozen=True)
class Resources:
    """All that a deployment needs beside its objects; `job` None: no schedule."""

    names: Names
    function: FunctionSpec
    job: JobConfig | None

    def with_any_code(self) -> Resources:
        """The same, but a function that is well keeps the code that it has."""
        return replace(self, function=replace(self.function, any_code=True))

    @property
    def invoker(self) -> str:
        """The member that may invoke the function's service, as policies write it."""
        return f"serviceAccount:{self.function.config.trigger_account}"


@dataclass(frozen=True)
class Status:
    """What there is; None: it is not there. `policy` is that of the function's service."""

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
) -> Resources:
    """The resources for one function.

    `endpoints` are the builder's own overrides, `source` is the zip and `code` its sha256 in hex, `cron` None for no schedule.
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
        labels={TOOL_LABEL: TOOL, CODE_LABEL: code[:_LONGEST_LABEL]},
    )
    job = None if cron is None else _job(names, cron, time_zone)
    return Resources(names, FunctionSpec(config, source, code), job)


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


def is_fed(function: FunctionState, names: Names) -> bool:
    """Whether the function hears our topic."""
    return _last(function.config.topic) == names.topic


def is_deaf(actual: Status, names: Names) -> bool:
    """Whether the function's subscription went with a topic that was deleted, also if the topic was made anew since."""
    if actual.function is None or actual.function.state != "ACTIVE" or not is_fed(actual.function, names):
        return False
    return actual.topic is None or not _hears(actual.function, actual.topic)


def _hears(function: FunctionState, topic: TopicState) -> bool:
    """Whether the function's own subscription is there, among those of others.

    Eventarc calls it eventarc-LOCATION-TRIGGER-sub-NUMBER. Where no subscription is called so, any may be the function's.
    """
    eventarcs = [name for name in topic.subscriptions if name.startswith("eventarc-")]
    if not (eventarcs and function.trigger):
        return bool(topic.subscriptions)
    return any(f"-{function.trigger}-sub-" in name for name in eventarcs)


def function_differences(actual: FunctionState, desired: FunctionSpec) -> tuple[str, ...]:
    """The mask of the update that makes the function so; empty: it is. A function that is not well is given everything anew."""
    if actual.state != "ACTIVE" or actual.problems:
        return EVERY_PATH
    found, wanted = _comparable(actual.config), _comparable(desired.config)
    paths = [path for name, path in _PATHS.items() if found[name] != wanted[name]]
    code = actual.config.labels.get(CODE_LABEL)
    if code != desired.config.labels[CODE_LABEL] and not (code and desired.any_code):
        paths += _CODE_PATHS
    return tuple(dict.fromkeys(paths))


def updated_config(actual: FunctionState, desired: FunctionSpec, mask: Sequence[str]) -> FunctionConfig:
    """The config to send with an update: as desired, with the labels that others gave the function, and that of code that stays."""
    labels = {**actual.config.labels, **desired.config.labels}
    if SOURCE_PATH not in mask and CODE_LABEL in actual.config.labels:
        labels[CODE_LABEL] = actual.config.labels[CODE_LABEL]
    return replace(desired.config, labels=labels)


def job_differences(actual: JobState, desired: JobConfig) -> tuple[str, ...]:
    """The mask of the update that makes the job so; empty: it is, were it paused. Not for a job that calls something else."""
    if actual.state == "UPDATE_FAILED":
        return EVERY_JOB_PATH
    return tuple(
        path
        for name, path in _JOB_PATHS.items()
        if _named(name, getattr(actual.config, name)) != _named(name, getattr(desired, name))
    )


def is_bound(policy: Policy, member: str) -> bool:
    """Whether the member may invoke the service, under no condition."""
    return any(member in binding.get("members", ()) for binding in policy.bindings if _invokes(binding))


def with_member(policy: Policy, member: str) -> Policy:
    """The policy with the member added; all else stays."""
    bindings = [dict(binding) for binding in policy.bindings]
    for binding in bindings:
        if _invokes(binding):
            binding["members"] = [*binding.get("members", ()), member]
            return Policy(tuple(bindings), policy.etag)
    return Policy((*bindings, {"role": INVOKER, "members": [member]}), policy.etag)


def differences(actual: Status, desired: Resources) -> tuple[str, ...]:
    """What `converge` would do, one line per resource; empty: nothing."""
    return tuple(_differences(actual, desired))


def _differences(actual: Status, desired: Resources) -> Iterator[str]:
    names = desired.names
    if actual.topic is None:
        yield f"topic {names.topic} is missing"
    if actual.function is None:
        yield f"function {names.function} is missing"
    elif is_deaf(actual, names):
        yield f"function {names.function} hears nothing: it has no subscription to topic {names.topic}"
    elif paths := function_differences(actual.function, desired.function):
        yield f"function {names.function} differs: {', '.join(paths)}"
    if actual.policy is None or not is_bound(actual.policy, desired.invoker):
        yield f"{desired.invoker} may not invoke {names.function}"
    yield from _job_difference(actual.job, desired)


def _job_difference(actual: JobState | None, desired: Resources) -> Iterator[str]:
    name = desired.names.function
    if desired.job is None:
        if actual is not None and is_our_job(actual, desired.names):
            yield f"schedule {name} is there, and none is wanted"
    elif actual is None:
        yield f"schedule {name} is missing"
    elif actual.target != "pubsub":
        yield f"schedule {name} calls {actual.target} instead of Pub/Sub"
    elif paths := job_differences(actual, desired.job):
        yield f"schedule {name} differs: {', '.join(paths)}"


def _invokes(binding: JsonObject) -> bool:
    return binding.get("role") == INVOKER and not binding.get("condition")


def _comparable(config: FunctionConfig) -> dict[str, object]:
    return {name: _named(name, getattr(config, name)) for name in _PATHS}


def _named(name: str, value: object) -> object:
    """A field's value as it is compared: Google may write a project's number for its id, and has labels of its own."""
    if name == "topic":
        return _last(str(value))
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


def _last(path: str) -> str:
    return path.rpartition("/")[2]
