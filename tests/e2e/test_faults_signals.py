"""Being told to go at any moment: what is deleted, what is said, and what is left to the deadlines.

The VMs of these tests never run their script: what their notebooks do does not matter. Each test has a zone of its
own, which its faults are for. tests/e2e/test_builds.py has builders that are killed.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from localcloud.cloud import Cloud
from tests.e2e.builder_process import BUCKET, Builder, Repo, notebook, until
from tests.patience import HANGS, SOON

DEMO = {"demo.ipynb": notebook("print('never')")}
# What a VM may live at the most, whatever happens: the sum of its limits, and Compute Engine's lateness.
_BEYOND_ANY_DEADLINE = 5000.0


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud whose clock these tests move, and whose calls they let fail."""
    with Cloud(tmp_path_factory.mktemp("signals"), buckets=[BUCKET]) as made:
        yield made
        inventory = made.inventory()
        assert inventory["schema_violations"] == []
        assert [fault for fault in inventory["faults"] if not fault["consumed"]] == []


@pytest.fixture
def waiting(cloud: Cloud, repo: Repo) -> Builder:
    """The builder with a notebook that never begins."""
    repo.write(DEMO)
    return Builder(cloud, repo.folder)


def fault(
    cloud: Cloud, method: str, action: str, match: Mapping[str, str], *, times: int = 1, **args: object
) -> None:
    cloud.faults.add({"method": method, "action": action, "match": match, "times": times, "args": args})


def start(builder: Builder, zone: str, **options: str) -> subprocess.Popen[str]:
    """Start a run in a zone whose next VM never runs its script."""
    fault(builder.cloud, "vm.boot", "idle", {"zone": zone})
    process, _ = builder.start(NB_NOTEBOOKS="demo.ipynb", NB_ZONES=zone, **options)
    return process


def vms(cloud: Cloud) -> list[dict[str, Any]]:
    return list(cloud.inventory()["compute.instances"])


def running(cloud: Cloud) -> bool:
    return any(vm["status"] == "RUNNING" for vm in vms(cloud))


def end(process: subprocess.Popen[str], signum: int) -> tuple[int, str]:
    """Send the signal; exit code and output of a process that waits for no hanging call."""
    process.send_signal(signum)
    output, _ = process.communicate(timeout=SOON)
    return process.returncode, output


@pytest.mark.parametrize(
    ("signum", "code", "zone"),
    [
        pytest.param(signal.SIGTERM, 143, "us-central1-a", id="SIGTERM"),
        pytest.param(signal.SIGINT, 130, "us-central1-c", id="SIGINT", marks=pytest.mark.exhaustive),
    ],
)
def test_a_signal_in_mid_run_deletes_the_vm_and_says_so(
    waiting: Builder, signum: int, code: int, zone: str
) -> None:
    process = start(waiting, zone)
    until(lambda: running(waiting.cloud), "a running VM")
    name = vms(waiting.cloud)[0]["name"]
    found, output = end(process, signum)
    assert found == code, output
    last = output.splitlines()[-4:]
    assert any(name in line for line in last), output
    until(lambda: waiting.left() == [], "nothing left")


FAMILY = "debian-12"
# A method, what its calls of this test alone have in common, and the zone.
HANGING = {
    "storage.objects.insert": ({"name": "hangs-at-staging/*"}, "us-east1-b"),
    "compute.images.getFromFamily": ({"family": FAMILY}, "us-east1-c"),
    "compute.instances.insert": ({"zone": "us-west1-a"}, "us-west1-a"),
    "compute.zoneOperations.wait": ({"zone": "us-west1-b"}, "us-west1-b"),
}


@pytest.mark.always(1)
@pytest.mark.parametrize(
    "method",
    [
        method if "insert" in method else pytest.param(method, marks=pytest.mark.exhaustive)
        for method in HANGING
    ],
)
def test_a_signal_ends_the_builder_whichever_call_hangs(waiting: Builder, method: str) -> None:
    match, zone = HANGING[method]
    of_family = {"NB_IMAGE_FAMILY": FAMILY, "NB_IMAGE_PROJECT": "debian-cloud"} if "family" in match else {}
    waiting.prefix = "hangs-at-staging" if "name" in match else waiting.prefix
    fault(waiting.cloud, method, "stall", {"caller": "notebook-builder@*", **match}, times=100, seconds=HANGS)
    process, _ = waiting.start(NB_NOTEBOOKS="demo.ipynb", NB_ZONES=zone, **of_family)
    until(lambda: waiting.cloud.inventory()["faults"][-1]["consumed"], f"a hanging {method}")
    code, output = end(process, signal.SIGTERM)
    assert code == 143, output
    assert "Traceback" not in output
    waiting.cloud.clock.advance(_BEYOND_ANY_DEADLINE)
    until(lambda: waiting.left() == [], "nothing left")


def test_a_signal_while_deletes_fail_names_the_vm_and_how_to_delete_it(waiting: Builder) -> None:
    zone = "europe-west1-b"
    fault(waiting.cloud, "compute.instances.delete", "error", {"zone": zone}, times=1000, status=503)
    process = start(waiting, zone)
    until(lambda: running(waiting.cloud), "a running VM")
    name = vms(waiting.cloud)[0]["name"]
    code, output = end(process, signal.SIGTERM)
    assert code == 143, output
    assert f"gcloud compute instances delete {name}" in output.splitlines()[-1]
    waiting.cloud.clock.advance(_BEYOND_ANY_DEADLINE)
    until(lambda: waiting.left() == [], "nothing left")
