"""Being told to go, or killed, at any moment: what is deleted, what is said, and what is left to the deadlines."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import Any

import pytest

from localcloud.cloud import Cloud
from tests.e2e.test_faults_runs import fault
from tests.e2e.world import Builder, Repo, notebook, until

pytestmark = pytest.mark.slow

HANGS = {"demo.ipynb": notebook("import time\nprint('begun', flush=True)\ntime.sleep(600)")}
# What a VM may live at the most, whatever happens: the sum of its limits, and Compute Engine's lateness.
_BEYOND_ANY_DEADLINE = 5000.0


def vms(cloud: Cloud) -> list[dict[str, Any]]:
    return list(cloud.inventory()["compute.instances"])


def running(cloud: Cloud) -> bool:
    return any(vm["status"] == "RUNNING" for vm in vms(cloud))


def end(process: subprocess.Popen[str], signum: int) -> tuple[int, str, float]:
    """Send the signal; exit code, output, and how long it took."""
    started = time.monotonic()
    process.send_signal(signum)
    output, _ = process.communicate(timeout=30)
    return process.returncode, output, time.monotonic() - started


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_in_mid_run_deletes_the_vm_and_says_so(
    own_cloud: Cloud, own_builder: Builder, repo: Repo, signum: int, code: int
) -> None:
    repo.write(HANGS)
    process, _ = own_builder.start(NB_NOTEBOOKS="demo.ipynb")
    until(lambda: running(own_cloud), "a running VM")
    name = vms(own_cloud)[0]["name"]
    started = time.monotonic()
    process.send_signal(signum)
    until(lambda: not running(own_cloud), "a delete", 5)
    assert time.monotonic() - started < 2.5
    output, _ = process.communicate(timeout=30)
    assert time.monotonic() - started < 8
    assert process.returncode == code, output
    last = output.splitlines()[-4:]
    assert any(name in line for line in last), output
    until(lambda: own_builder.left() == [], "nothing left", 10)


@pytest.mark.parametrize(
    "method",
    [
        "storage.objects.insert",
        "compute.images.getFromFamily",
        "compute.instances.insert",
        "compute.zoneOperations.wait",
    ],
)
def test_a_signal_is_heard_whatever_call_hangs(
    own_cloud: Cloud, own_builder: Builder, repo: Repo, method: str
) -> None:
    repo.write(HANGS)
    fault(own_cloud, method, "stall", times=100, seconds=25, match={"caller": "builder@*"})
    process, _ = own_builder.start(NB_NOTEBOOKS="demo.ipynb")
    until(lambda: any(item["consumed"] for item in own_cloud.inventory()["faults"]), f"a hanging {method}")
    code, output, seconds = end(process, signal.SIGTERM)
    assert code == 143, output
    assert seconds < 8
    assert "Traceback" not in output
    own_cloud.clock.advance(_BEYOND_ANY_DEADLINE)
    until(lambda: own_builder.left() == [], "nothing left", 10)


def test_a_signal_while_deletes_fail_names_the_vm_and_how_to_delete_it(
    own_cloud: Cloud, own_builder: Builder, repo: Repo
) -> None:
    repo.write(HANGS)
    fault(own_cloud, "compute.instances.delete", "error", times=1000, status=503)
    process, _ = own_builder.start(NB_NOTEBOOKS="demo.ipynb")
    until(lambda: running(own_cloud), "a running VM")
    name = vms(own_cloud)[0]["name"]
    code, output, seconds = end(process, signal.SIGTERM)
    assert code == 143, output
    assert seconds < 8
    assert f"gcloud compute instances delete {name}" in output.splitlines()[-1]
    own_cloud.clock.advance(_BEYOND_ANY_DEADLINE)
    until(lambda: own_builder.left() == [], "nothing left", 10)


def test_after_a_kill_the_deadline_removes_the_vm(own_cloud: Cloud, own_builder: Builder, repo: Repo) -> None:
    repo.write(HANGS)
    process, _ = own_builder.start(NB_NOTEBOOKS="demo.ipynb")
    until(lambda: running(own_cloud), "a running VM")
    code, _, _ = end(process, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert running(own_cloud)
    own_cloud.clock.advance(_BEYOND_ANY_DEADLINE)
    until(lambda: own_builder.left() == [], "nothing left", 10)


def test_what_a_killed_build_left_is_told_and_removed_by_the_next(
    own_cloud: Cloud, own_builder: Builder, repo: Repo
) -> None:
    """Its VM has been stopped, which takes its deadline away: only the sweep is left."""
    repo.write({"demo.ipynb": notebook("print('hello')")})
    fault(own_cloud, "vm.boot", "idle")
    fault(own_cloud, "vm.life", "stop", after=600)
    process, killed = own_builder.start(NB_NOTEBOOKS="demo.ipynb")
    until(lambda: running(own_cloud), "a running VM")
    name = vms(own_cloud)[0]["name"]
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)
    own_cloud.clock.advance(700)
    assert [vm["status"] for vm in vms(own_cloud)] == ["TERMINATED"]
    reaped = own_builder.run("reap")
    assert reaped.code == 0
    assert "nothing to reap" in reaped.output
    own_cloud.clock.advance(_BEYOND_ANY_DEADLINE)
    done = own_builder.run(NB_NOTEBOOKS="demo.ipynb")
    assert done.code == 0, done.output
    assert f"removed leftover VM {name}" in done.output
    assert killed["NB_RUN_ID"] in done.output
    assert own_builder.left() == []
