"""Cloud Functions of the second generation through google-cloud-functions: the Functions of `deploy`.

The library has neither a timeout nor retries for these calls, and its own wait for an operation gives up after 15
minutes. This module only reads an operation; builder/deploy waits for it (docs/facts.md 2).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import requests
from google.api_core.exceptions import from_http_response
from google.cloud import functions_v2
from google.protobuf.field_mask_pb2 import FieldMask

from builder import gcloud
from builder.deploy_ports import FunctionConfig, FunctionOperation, FunctionState, UploadedSource
from builder.gcp.calls import Calls
from builder.gcp.clients import CALL_BUDGET, CALL_TIMEOUT, Access
from builder.ports import Clock

_MESSAGES = "google.cloud.pubsub.topic.v1.messagePublished"
_ZIP = {"content-type": "application/zip"}
_BUILD = re.compile(r"projects/([^/]+)/locations/([^/]+)/builds/([^/]+)")


class GoogleFunctions:
    """The port `deploy_ports.Functions`."""

    def __init__(
        self, access: Access, clock: Clock, *, timeout: float = CALL_TIMEOUT, budget: float = CALL_BUDGET
    ) -> None:
        self._calls = Calls(clock, budget, timeout)
        self._client = functions_v2.FunctionServiceClient(
            credentials=access.credentials,
            transport="rest",
            client_options={"api_endpoint": access.endpoint("cloudfunctions")},
        )

    def close(self) -> None:
        """Close the connections. A process that ends need not call it."""
        self._client.transport.close()

    def get(self, path: str) -> FunctionState | None:
        found = self._calls.unless_missing(
            "cloudfunctions.functions.get",
            path,
            lambda: self._client.get_function(name=path, timeout=self._calls.timeout, retry=None),
        )
        return None if found is None else _state(found)

    def upload(self, location: str, content: bytes) -> UploadedSource:
        """Upload a source archive. Each try has its own signed address, so no token is sent there."""
        request = functions_v2.GenerateUploadUrlRequest(
            parent=location, environment=functions_v2.Environment.GEN_2
        )

        def send() -> UploadedSource:
            made = self._client.generate_upload_url(request=request, timeout=self._calls.timeout, retry=None)
            answer = requests.put(made.upload_url, data=content, headers=_ZIP, timeout=self._calls.timeout)
            if not answer.ok:
                raise from_http_response(answer)
            return made.storage_source

        return self._calls.make("cloudfunctions.functions.generateUploadUrl", location, send)

    def create(self, path: str, config: FunctionConfig, source: UploadedSource) -> FunctionOperation:
        parent, _, name = path.partition("/functions/")
        operation = self._calls.make(
            "cloudfunctions.functions.create",
            path,
            lambda: self._client.create_function(
                parent=parent,
                function_id=name,
                function=_function(path, config, source),
                timeout=self._calls.timeout,
                retry=None,
            ),
        )
        return _operation(operation.operation)

    def update(
        self, path: str, config: FunctionConfig, source: UploadedSource | None, *, mask: Sequence[str]
    ) -> FunctionOperation:
        operation = self._calls.make(
            "cloudfunctions.functions.update",
            path,
            lambda: self._client.update_function(
                function=_function(path, config, source),
                update_mask=FieldMask(paths=list(mask)),
                timeout=self._calls.timeout,
                retry=None,
            ),
        )
        return _operation(operation.operation)

    def delete(self, path: str) -> FunctionOperation | None:
        operation = self._calls.unless_missing(
            "cloudfunctions.functions.delete",
            path,
            lambda: self._client.delete_function(name=path, timeout=self._calls.timeout, retry=None),
        )
        return None if operation is None else _operation(operation.operation)

    def operation(self, name: str) -> FunctionOperation:
        found = self._calls.make(
            "cloudfunctions.operations.get",
            name,
            lambda: self._client.get_operation({"name": name}, timeout=self._calls.timeout, retry=None),
        )
        return _operation(found)


def _function(path: str, config: FunctionConfig, source: UploadedSource | None) -> functions_v2.Function:
    project = path.split("/")[1]
    build = functions_v2.BuildConfig(
        runtime=config.runtime,
        entry_point=config.entry_point,
        service_account=f"projects/{project}/serviceAccounts/{config.build_account}",
    )
    if source is not None:
        build.source = functions_v2.Source(storage_source=source)
    service = functions_v2.ServiceConfig(
        available_memory=config.memory,
        timeout_seconds=config.timeout,
        max_instance_count=config.instances,
        max_instance_request_concurrency=config.concurrency,
        ingress_settings=getattr(functions_v2.ServiceConfig.IngressSettings, config.ingress),
        service_account_email=config.account,
        environment_variables=dict(config.environment),
    )
    trigger = functions_v2.EventTrigger(
        event_type=_MESSAGES,
        pubsub_topic=config.topic,
        service_account_email=config.trigger_account,
        retry_policy=getattr(functions_v2.EventTrigger.RetryPolicy, config.retry),
    )
    return functions_v2.Function(
        name=path,
        environment=functions_v2.Environment.GEN_2,
        build_config=build,
        service_config=service,
        event_trigger=trigger,
        labels=dict(config.labels),
    )


def _state(found: functions_v2.Function) -> FunctionState:
    build, service, trigger = found.build_config, found.service_config, found.event_trigger
    config = FunctionConfig(
        runtime=build.runtime,
        entry_point=build.entry_point,
        build_account=build.service_account.rpartition("/")[2],
        account=service.service_account_email,
        memory=service.available_memory,
        timeout=service.timeout_seconds,
        instances=service.max_instance_count,
        concurrency=service.max_instance_request_concurrency,
        ingress=_name(service.ingress_settings),
        environment=dict(service.environment_variables),
        topic=trigger.pubsub_topic,
        trigger_account=trigger.service_account_email,
        retry=_name(trigger.retry_policy),
        labels=dict(found.labels),
    )
    errors = [note for note in found.state_messages if _name(note.severity) == "ERROR"]
    return FunctionState(
        path=found.name,
        config=config,
        state=_name(found.state),
        service=service.service,
        problems=tuple(note.message for note in errors),
        trigger=trigger.trigger.rpartition("/")[2],
    )


def _name(value: Any) -> str:
    """The name of an enum's value; the number of a value that the library does not know."""
    return str(getattr(value, "name", value))


def _operation(operation: Any) -> FunctionOperation:
    """From a google.longrunning.Operation.

    The build's log comes from the operation's stages, else from the build's name.
    """
    metadata = functions_v2.OperationMetadata()
    if operation.metadata.Is(functions_v2.OperationMetadata.pb().DESCRIPTOR):
        operation.metadata.Unpack(functions_v2.OperationMetadata.pb(metadata))
    logs = [stage.resource_uri for stage in metadata.stages if _name(stage.name) == "BUILD"]
    return FunctionOperation(
        name=operation.name,
        done=operation.done,
        code=operation.error.code,
        message=operation.error.message,
        log_url=next(filter(None, logs), _console(metadata.build_name)),
    )


def _console(build: str) -> str:
    """The console's page about `projects/P/locations/L/builds/B`; "" without a build, or for a name of another form."""
    found = _BUILD.fullmatch(build)
    if found is None:
        return ""
    project, location, name = found.groups()
    return gcloud.build_page(name, project, location)
