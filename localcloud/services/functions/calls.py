"""The methods on functions and their operations: the checks of each call, and the operation that it begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from localcloud.core.caller import Caller
from localcloud.core.clock import Clock
from localcloud.core.errors import unimplemented
from localcloud.core.iam import EVENTARC_AGENT, FUNCTIONS_AGENT, PROJECT, by_id
from localcloud.core.masks import UpdateMask
from localcloud.core.service import Call, Handler
from localcloud.core.times import timestamp
from localcloud.services.functions import rules
from localcloud.services.functions.calls_access import check_act_as, in_region
from localcloud.services.functions.deployment import Deployment
from localcloud.services.functions.refusals import (
    bad_field,
    bad_mask,
    in_progress,
    missing,
    no_agent,
    no_eventarc,
)
from localcloud.services.functions.state import Record, Version
from localcloud.services.functions.state_operations import CODES, Verb
from localcloud.services.functions.uploads import Uploads
from localcloud.services.functions.work import Work

Json = dict[str, Any]

# The services that a function needs beside Cloud Functions itself; and those of a function with a trigger.
_NEEDED = ("cloudbuild.googleapis.com", "artifactregistry.googleapis.com", "run.googleapis.com")
_NEEDED_BY_TRIGGERS = ("eventarc.googleapis.com", "pubsub.googleapis.com")
# Of the permissions of Google's own accounts, those that it uses here.
_TO_TRIGGER = "pubsub.subscriptions.create"
_TO_BUILD = "artifactregistry.repositories.get"
_UNDER_WAY = frozenset({"DEPLOYING", "DELETING"})
_MASK = UpdateMask(
    "cloudfunctions.v2",
    "Function",
    ("buildConfig", "description", "eventTrigger", "labels", "serviceConfig"),
    bad_mask,
)


class Methods:
    """Handlers by method id. `begin` starts work in the background; `topic_exists` takes a topic's name.

    `require_enabled` raises `ApiError` 403 for a service that is not enabled.
    """

    def __init__(
        self,
        deployment: Deployment,
        uploads: Uploads,
        *,
        topic_exists: Callable[[str], bool],
        require_enabled: Callable[[str], None],
        begin: Callable[[Callable[[Work], None], Work], None],
    ) -> None:
        self._deployment = deployment
        self._records = deployment.records
        self._operations = deployment.operations
        self._clock: Clock = deployment.clock
        self._uploads = uploads
        self._topic_exists = topic_exists
        self._require_enabled = require_enabled
        self._begin = begin

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id."""
        methods: Mapping[str, Handler] = {
            "functions.generateUploadUrl": self._upload_url,
            "functions.create": self._create,
            "functions.patch": self._patch,
            "functions.get": self._get,
            "functions.delete": self._delete,
            "operations.get": self._operation,
        }
        return {f"cloudfunctions.projects.locations.{name}": method for name, method in methods.items()}

    def _upload_url(self, call: Call) -> Json:
        parent = in_region(call, "cloudfunctions.functions.sourceCodeSet", call.params["parent"])
        if call.body.get("kmsKeyName") or call.body.get("environment") == "GEN_1":
            raise unimplemented("localcloud gives upload URLs for GEN_2 only, without a kmsKeyName.")
        return self._uploads.offer(parent.rpartition("/")[2])

    def _create(self, call: Call) -> Json:
        parent, given = by_id(call.params["parent"]), call.params.get("functionId", "")
        in_region(call, "cloudfunctions.functions.create", f"{parent}/functions/{given}")
        name = rules.new_name(parent, given, call.body.get("name") or "")
        function = self._checked(call, name, call.body)
        now = timestamp(self._clock.now())
        with self._records.lock:
            if self._records.find(name) is not None:
                operation = self._operations.open("create", name, call.body)
                message = f"Resource '{name}' already exists"
                self._operations.fail(operation, CODES["ALREADY_EXISTS"], message)
                return self._operations.view(operation)
            shown = Version(call.body, function | {"createTime": now, "updateTime": now})
            self._records.put(name, Record(shown.with_state("DEPLOYING")))
        return self._start(call, "create", name, self._deployment.deploy)

    def _patch(self, call: Call) -> Json:
        name = in_region(call, "cloudfunctions.functions.update", call.params["name"])
        in_region(call, "cloudfunctions.functions.get", call.params["name"])
        with self._records.lock:
            record = self._settled(name)
            asked = _MASK.changed(record.shown.asked, call.body, call.params.get("updateMask", ""))
            function = self._checked(call, name, asked)
            times = {key: record.shown.function[key] for key in ("createTime", "updateTime")}
            shown = Version(asked, function | times).with_state("DEPLOYING")
            self._records.put(name, Record(shown, record.serving, record.trigger, record.revisions))
        return self._start(call, "update", name, self._deployment.deploy)

    def _delete(self, call: Call) -> Json:
        name = in_region(call, "cloudfunctions.functions.delete", call.params["name"])
        with self._records.lock:
            record = self._settled(name)
            shown = record.shown.with_state("DELETING")
            self._records.put(name, Record(shown, record.serving, record.trigger, record.revisions))
        return self._start(call, "delete", name, self._deployment.delete)

    def _get(self, call: Call) -> Json:
        name = in_region(call, "cloudfunctions.functions.get", call.params["name"])
        if call.params.get("revision"):
            raise unimplemented("localcloud does not implement the parameter 'revision' of functions.get.")
        return self._deployment.view(self._named(name))

    def _operation(self, call: Call) -> Json:
        name = in_region(call, "cloudfunctions.operations.get", call.params["name"])
        found = self._operations.find(name)
        if found is None:
            raise missing(name)
        return found

    def _checked(self, call: Call, name: str, asked: Json) -> Json:
        """Return the requested function; raises `ApiError` 400, 403 or 501."""
        function = rules.function(name, asked, call.iam.default_account)
        for service in _NEEDED + (_NEEDED_BY_TRIGGERS if function.get("eventTrigger") else ()):
            self._require_enabled(service)
        for account in (
            rules.build_account(function),
            function["serviceConfig"]["serviceAccountEmail"],
        ):
            check_act_as(call, account)
        location = name.partition("/functions/")[0]
        if not call.iam.allowed(Caller(FUNCTIONS_AGENT), _TO_BUILD, f"{location}/repositories/gcf-artifacts"):
            raise no_agent(location)
        trigger = function.get("eventTrigger")
        if trigger is not None:
            if call.iam.accounts.find(trigger["serviceAccountEmail"]) is None:
                problem = f"there is no service account {trigger['serviceAccountEmail']}"
                raise bad_field("eventTrigger.serviceAccountEmail", problem)
            if not self._topic_exists(trigger["pubsubTopic"]):
                raise bad_field("eventTrigger.pubsubTopic", f"there is no topic {trigger['pubsubTopic']}")
            if not call.iam.allowed(Caller(EVENTARC_AGENT), _TO_TRIGGER, f"projects/{PROJECT}"):
                raise no_eventarc(name)
        return function

    def _start(self, call: Call, verb: Verb, name: str, action: Callable[[Work], None]) -> Json:
        operation = self._operations.open(verb, name, call.body)
        shown = self._operations.view(operation)
        self._begin(action, Work(operation, name, call.fault))
        return shown

    def _settled(self, name: str) -> Record:
        """Return a function's record; raises `ApiError` 404, or 409 while an operation on it runs."""
        record = self._named(name)
        if record.shown.function["state"] in _UNDER_WAY:
            raise in_progress()
        return record

    def _named(self, name: str) -> Record:
        found = self._records.find(name)
        if found is None:
            raise missing(name)
        return found
