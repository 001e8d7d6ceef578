"""A Compute Engine that remembers every insert that reaches it, accepted or not."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from builder import vm
from builder.options.job_options import SERVER_ALLOWANCE
from builder.plan.vm_spec import JOB_METADATA, NONCE_LABEL
from localcloud.core.service import Call, Handler
from localcloud.services.compute import ComputeService

Json = dict[str, Any]

_INSERT = "compute.instances.insert"
_OF_TESTS = "true"  # the startup script of a VM that a test asks for itself


@dataclass
class Attempt:
    """One insert. `operation` is the name of the operation that answered it, None for an insert that was refused."""

    zone: str
    body: Json
    request_id: str | None
    replayed: bool = False
    operation: str | None = None

    @property
    def accepted(self) -> bool:
        return self.operation is not None


class RecordedCompute(ComputeService):
    """See ComputeService; `attempts` are the inserts, in order."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.attempts: list[Attempt] = []

    def handlers(self) -> Mapping[str, Handler]:
        handlers = super().handlers()

        def insert(call: Call) -> Json:
            attempt = Attempt(call.params["zone"], copy.deepcopy(call.body), call.params.get("requestId"))
            known = {earlier.operation for earlier in self.attempts}
            self.attempts.append(attempt)
            answer = handlers[_INSERT](call)
            attempt.replayed = answer["name"] in known
            attempt.operation = answer["name"]
            return answer

        return {**handlers, _INSERT: insert}

    def inserts(self) -> list[Attempt]:
        return list(self.attempts)


def check_requests(attempts: Sequence[Attempt]) -> None:
    """Check what holds for each VM that the builder asks for, whichever way its run went."""
    for attempt in attempts:
        body = attempt.body
        metadata = {item["key"]: item["value"] for item in body.get("metadata", {}).get("items", ())}
        if metadata.get("startup-script", _OF_TESTS) == _OF_TESTS:
            continue
        name, scheduling = body["name"], body["scheduling"]
        assert scheduling["instanceTerminationAction"] == "DELETE", name
        # The VM counts on the limits in its metadata: of boot, of the runner, and its own, with a delay on top.
        job = json.loads(metadata[JOB_METADATA])
        limits = job["boot_timeout"] + job["run_limit"] + SERVER_ALLOWANCE
        assert int(scheduling["maxRunDuration"]["seconds"]) == job["max_run_duration"] == limits, name
        assert scheduling["automaticRestart"] is False, name
        assert [disk["autoDelete"] for disk in body["disks"]] == [True], name
        assert attempt.request_id, name
        assert body["labels"][NONCE_LABEL], name
        if attempt.accepted:  # a policy refuses addresses in tests/integration/test_policies.py
            assert not any(interface.get("accessConfigs") for interface in body["networkInterfaces"]), name
        assert metadata["block-project-ssh-keys"] == "TRUE", name
        assert metadata["serial-port-enable"] == "FALSE", name
        # The same bytes for every input: a notebook's name or parameter never becomes a part of a script.
        assert metadata["startup-script"] == vm.startup_script(), name
