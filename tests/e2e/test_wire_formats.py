"""Every document that one part of the product writes and another reads keeps its shape.

After an intended change, `NB_RECORD=1 make test T=tests/e2e/test_wire_formats.py` rewrites `wire_formats.json`. The
diff of that file shows how the formats change.
"""

from __future__ import annotations

import json
import os
from typing import Any

import requests

from tests.e2e import wire_formats
from tests.e2e.builder_process import until
from tests.e2e.deploying import OPTIONS, Deployer
from tests.owner import signed
from tests.patience import PATIENCE


def test_documents_have_the_shapes_on_record(deployer: Deployer) -> None:
    """A green run, a deployment, and a run of an event store them all.

    The VM's metadata is read while the VM exists.
    """
    assert deployer.deploy().code == 0
    process, _ = deployer.start(
        NB_EVENT='{"parameters": {"city": "Paris"}, "publish": true}',
        NB_EVENT_ID="event",
        NB_SCHEDULE_PARAMETERS=OPTIONS["NB_SCHEDULE_PARAMETERS"],
    )
    metadata = until(lambda: metadata_of_a_vm(deployer), "a VM")
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    documents = {**wire_formats.stored(deployer.location), "metadata of the VM": metadata}
    found = wire_formats.shapes(documents)
    if os.environ.get("NB_RECORD"):
        wire_formats.RECORD.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    recorded = json.loads(wire_formats.RECORD.read_text(encoding="utf-8"))
    assert found == recorded, f"{wire_formats.RECORD.name} is stale: NB_RECORD=1 writes it again"


def metadata_of_a_vm(deployer: Deployer) -> dict[str, Any] | None:
    """The metadata of the VM that exists, by key, JSON texts read; None where there is none."""
    for instance in deployer.cloud.inventory()["compute.instances"]:
        path = f"projects/local-project/zones/{instance['zone']}/instances/{instance['name']}"
        url = f"{deployer.cloud.url}/compute/v1/{path}"
        answer = requests.get(url, headers=signed(deployer.cloud.iam), timeout=PATIENCE)
        if answer.ok:
            return {item["key"]: read(item["value"]) for item in answer.json()["metadata"]["items"]}
    return None


def read(text: str) -> Any:
    """The value of a text that is a JSON object, else the text."""
    return json.loads(text) if text.startswith("{") else text
