"""The rules of a function, with Google's defaults. Pure; the limits are Google's."""

from __future__ import annotations

import re
from typing import Any

from localcloud.core.bodies import check_covered, label_problem
from localcloud.core.errors import required
from localcloud.core.iam import PROJECT, PROJECT_NUMBER, by_id
from localcloud.services.functions.refusals import bad_field, bad_id, not_covered
from localcloud.services.functions.rules_service import service_config

Json = dict[str, Any]

EVENT_TYPE = "google.cloud.pubsub.topic.v1.messagePublished"

_ID = re.compile(r"[a-z][a-z0-9-]{2,61}[a-z0-9]")
_RUNTIME = re.compile(r"python3(1[0-4])")
_ENTRY_POINT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BUILD_ACCOUNT = re.compile(r"projects/[^/]+/serviceAccounts/([^/]+)")
_SOURCE_BUCKET = re.compile(rf"gcf-v2-(uploads-{PROJECT_NUMBER}\.|sources-{PROJECT_NUMBER}-).+")
_TOPIC = re.compile(rf"projects/{PROJECT}/topics/[^/]+")
_MAX_DESCRIPTION = 2048
_RETRY, _DO_NOT_RETRY = "RETRY_POLICY_RETRY", "RETRY_POLICY_DO_NOT_RETRY"

_NOT_COVERED = ("kmsKeyName",)
_BUILD_NOT_COVERED = (
    "dockerRepository",
    "environmentVariables",
    "onDeployUpdatePolicy",
    "sourceToken",
    "workerPool",
)
_TRIGGER_NOT_COVERED = ("channel", "eventFilters", "service")


def new_name(parent: str, function_id: str, given: str) -> str:
    """Return the name of a new function; raises `ApiError` 400. `given` is the body's name, or ""."""
    if not _ID.fullmatch(function_id):
        raise bad_id(function_id)
    name = f"{parent}/functions/{function_id}"
    if given and by_id(given) != name:
        raise bad_field("function.name", f"'{given}' is not {name}, which parent and functionId say")
    return name


def function(name: str, body: Json, default_account: str) -> Json:
    """Return the `Function` of a body; raises `ApiError` 400, or 501 for a field that is not covered.

    `default_account` is the address of the account for every field that names none.
    """
    check_covered(body, _NOT_COVERED, "function")
    if body.get("environment", "GEN_2") not in {"GEN_2", "ENVIRONMENT_UNSPECIFIED"}:
        raise not_covered("environment: GEN_1")
    if problem := label_problem(body.get("labels") or {}):
        raise bad_field("labels", problem)
    if len(body.get("description") or "") > _MAX_DESCRIPTION:
        raise bad_field("description", f"it must not have more than {_MAX_DESCRIPTION} characters")
    trigger = body.get("eventTrigger")
    found: Json = {
        "name": name,
        "environment": "GEN_2",
        "buildConfig": _build_config(name, body.get("buildConfig") or {}, default_account),
        "serviceConfig": service_config(body.get("serviceConfig") or {}, default_account),
    }
    if trigger:
        found["eventTrigger"] = _event_trigger(name, trigger, default_account)
    return found | {key: body[key] for key in ("description", "labels") if body.get(key)}


def build_account(found: Json) -> str:
    """Return the address of the account that builds a function."""
    account: str = found["buildConfig"]["serviceAccount"].rpartition("/")[2]
    return account


def _build_config(name: str, given: Json, default_account: str) -> Json:
    check_covered(given, _BUILD_NOT_COVERED, "function", "buildConfig.")
    if given.get("dockerRegistry", "ARTIFACT_REGISTRY") == "CONTAINER_REGISTRY":
        raise not_covered("buildConfig.dockerRegistry: CONTAINER_REGISTRY")
    runtime = given.get("runtime") or ""
    if not runtime:
        raise required("Function build_config.runtime is required.")
    if not _RUNTIME.fullmatch(runtime):
        raise bad_field("buildConfig.runtime", f"localcloud runs python310 to python314, not '{runtime}'")
    entry_point = given.get("entryPoint") or name.rpartition("/")[2]
    if given.get("entryPoint") and not _ENTRY_POINT.fullmatch(entry_point):
        raise bad_field("buildConfig.entryPoint", f"'{entry_point}' is no name of a Python function")
    account = given.get("serviceAccount") or f"projects/{PROJECT}/serviceAccounts/{default_account}"
    if not _BUILD_ACCOUNT.fullmatch(account):
        raise bad_field("buildConfig.serviceAccount", "its form is projects/PROJECT/serviceAccounts/ADDRESS")
    return {
        "runtime": runtime,
        "entryPoint": entry_point,
        "source": {"storageSource": _storage_source(given.get("source") or {})},
        "serviceAccount": account,
        "dockerRegistry": "ARTIFACT_REGISTRY",
    }


def _storage_source(given: Json) -> Json:
    check_covered(given, ("repoSource", "gitUri"), "function", "buildConfig.source.")
    source = given.get("storageSource") or {}
    check_covered(source, ("sourceUploadUrl",), "function", "buildConfig.source.storageSource.")
    if not source.get("bucket") or not source.get("object"):
        raise required("Function build_config.source.storage_source needs a bucket and an object.")
    if not _SOURCE_BUCKET.fullmatch(source["bucket"]):
        raise not_covered("buildConfig.source.storageSource.bucket: one of the project's own")
    kept = {"bucket": source["bucket"], "object": source["object"]}
    generation = str(source.get("generation") or "0")
    return kept if generation == "0" else kept | {"generation": generation}


def _event_trigger(name: str, given: Json, default_account: str) -> Json:
    check_covered(given, _TRIGGER_NOT_COVERED, "function", "eventTrigger.")
    if not given.get("eventType"):
        raise required("Function event_trigger.event_type is required.")
    if given["eventType"] != EVENT_TYPE:
        raise not_covered(f"eventTrigger.eventType: {given['eventType']}")
    topic = by_id(given.get("pubsubTopic") or "")
    if not topic:
        raise not_covered("eventTrigger.pubsubTopic: none, for a topic that Google makes")
    if not _TOPIC.fullmatch(topic):
        raise bad_field("eventTrigger.pubsubTopic", f"its form is projects/{PROJECT}/topics/TOPIC")
    region = name.split("/")[3]
    if given.get("triggerRegion") not in {None, "", region}:
        raise not_covered("eventTrigger.triggerRegion: another region than the function's")
    return {
        "eventType": EVENT_TYPE,
        "pubsubTopic": topic,
        "triggerRegion": region,
        "retryPolicy": _RETRY if given.get("retryPolicy") == _RETRY else _DO_NOT_RETRY,
        "serviceAccountEmail": given.get("serviceAccountEmail") or default_account,
    }
