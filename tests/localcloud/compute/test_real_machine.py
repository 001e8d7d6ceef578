"""One instance that really boots: startup script, serial port, metadata server, shutdown, delete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.cloud import compute_v1

from localcloud.iam import PROJECT
from localcloud.machine.machine import Machine
from tests.localcloud.compute.conftest import VM_ACCOUNT, ZONE, World, eventually, served, vm_body

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


def _contents(world: World) -> str:
    found: Any = world.instances.get_serial_port_output(project=PROJECT, zone=ZONE, instance="vm-1")
    text: str = found.contents
    return text


def test_a_guest_runs_its_startup_script_and_shuts_itself_down(tmp_path: Path) -> None:
    with served(tmp_path, Machine.boot) as world:
        world.faults.add({"method": "vm.life", "action": "vanish", "args": {"at": "I am"}, "skip": 1})
        body = vm_body(
            metadata={"items": [{"key": "startup-script", "value": _SCRIPT}]},
            serviceAccounts=[{"email": VM_ACCOUNT, "scopes": [_SCOPE]}],
        )
        world.done(world.insert(body))
        eventually(lambda: world.status("vm-1") == "TERMINATED", 60)
        machine: Any = world.service._state.vms[ZONE, "vm-1"].machine
        assert machine is None
        shutdowns = world.operations("compute.instances.guestTerminate")
        assert shutdowns[0].status == compute_v1.Operation.Status.DONE
        text = world.service._state.vms[ZONE, "vm-1"].serial.read(0).contents
        assert f"I am {VM_ACCOUNT}" in text
        # Started again, the script runs again; now the instance vanishes at its first line.
        world.instances.start_unary(project=PROJECT, zone=ZONE, instance="vm-1")
        eventually(lambda: world.status("vm-1") is None, 30)
        assert not any((tmp_path / "vms").iterdir())
