"""One instance that really boots: startup script, serial port, metadata server, shutdown, delete."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from google.cloud import compute_v1

from localcloud.core.iam import PROJECT
from localcloud.engines.vm.machine import Machine
from tests.localcloud.compute.conftest import VM_ACCOUNT, ZONE, CloudFixture, vm_body
from tests.polling import eventually

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_SCRIPT = """#!/bin/bash
python3 - <<'END'
import os, urllib.request
url = f"http://{os.environ['GCE_METADATA_HOST']}/computeMetadata/v1/instance/service-accounts/default/email"
print("I am", urllib.request.urlopen(urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})).read().decode())
END
shutdown -h now
sleep 600
"""


def _contents(cloud_fixture: CloudFixture) -> str:
    found: Any = cloud_fixture.instances.get_serial_port_output(project=PROJECT, zone=ZONE, instance="vm-1")
    text: str = found.contents
    return text


def test_a_guest_runs_its_startup_script_and_shuts_itself_down(tmp_path: Path) -> None:
    with contextlib.closing(CloudFixture(tmp_path, Machine.boot)) as cloud_fixture:
        body = vm_body(
            metadata={"items": [{"key": "startup-script", "value": _SCRIPT}]},
            serviceAccounts=[{"email": VM_ACCOUNT, "scopes": [_SCOPE]}],
        )
        cloud_fixture.done(cloud_fixture.insert(body))
        eventually(lambda: cloud_fixture.status("vm-1") == "TERMINATED")
        machine: Any = cloud_fixture.service._state.vms[ZONE, "vm-1"].machine
        assert machine is None
        shutdowns = cloud_fixture.operations("compute.instances.guestTerminate")
        assert shutdowns[0].status == compute_v1.Operation.Status.DONE
        text = cloud_fixture.service._state.vms[ZONE, "vm-1"].serial.read(0).contents
        assert f"I am {VM_ACCOUNT}" in text
        # Another instance vanishes at the first line of its script.
        cloud_fixture.faults.add({"method": "vm.life", "action": "vanish", "args": {"at": "I am"}})
        cloud_fixture.done(cloud_fixture.instances.delete_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
        cloud_fixture.done(cloud_fixture.insert(body))
        eventually(lambda: cloud_fixture.status("vm-1") is None)
        assert not any((tmp_path / "vms").iterdir())
