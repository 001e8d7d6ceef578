"""Tests the diagnosis of a failed boot from the serial port: the cause, and the command that helps."""

from __future__ import annotations

from typing import Any

import pytest

from builder.act.serial_lines import boot_error
from builder.act.vm import Vm
from builder.errors import EnvironmentFailed, ProjectSetup
from builder.options import MachineOptions
from builder.plan.vm_spec import Attempt

UNREACHABLE = (
    "x notebook-builder: failed: unreachable: no connection to storage.googleapis.com:443 opens from this VM: "
    "TimeoutError: timed out"
)
HEARTBEAT = (
    "notebook-builder: heartbeat: gs://b/ci/staging/h.json: Forbidden: 403 lacks storage.objects.create"
)
END = "notebook-builder: end: the VM's account may not delete its VM (HTTP 403)"


def running_vm(**spec: Any) -> Vm:
    """A VM in us-central1-a."""
    wanted = {"zones": ("us-central1-a",), "vm_service_account": "vm@p.iam.gserviceaccount.com"}
    attempt = Attempt(run="run-1", job="demo", number=1, nonce="n0nce")
    return Vm("nb-1", "us-central1-a", attempt, 3600, spec=MachineOptions(**{**wanted, **spec}))


def test_a_boot_that_has_not_failed_has_no_error() -> None:
    lines = ["notebook-builder: boot: still waiting for gs://b/ci/kits/0.tar.gz: HTTP 403"]
    assert boot_error(running_vm(), "p", lines) is None


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        pytest.param(
            "no_python: no CPython 3.11 on PATH; python3 is Python 3.10",
            "another NB_IMAGE_FAMILY",
            id="no_python",
        ),
        pytest.param(
            "no_kit: this Python is cp315, and the builder has kits for cp311 only",
            "published image",
            id="no_kit",
        ),
    ],
)
def test_an_image_without_a_python_that_has_a_kit_is_set_up_wrongly(said: str, advice: str) -> None:
    """Three VMs of the same image would say the same."""
    error = boot_error(running_vm(), "p", [f"x notebook-builder: failed: {said}"])
    assert isinstance(error, ProjectSetup)
    assert str(error).endswith(said)
    assert error.reason == said.partition(":")[0]
    assert advice in error.advice


@pytest.mark.parametrize(
    ("spec", "command"),
    [
        pytest.param({}, "default --project=p --region=us-central1", id="default network"),
        pytest.param({"network": "lab"}, "lab --project=p --region=us-central1", id="network in auto mode"),
        pytest.param({"subnetwork": "lab-1"}, "lab-1 --project=p --region=us-central1", id="subnetwork"),
        pytest.param(
            {"subnetwork": "projects/host/regions/us-central1/subnetworks/lab"},
            "lab --project=host --region=us-central1",
            id="subnetwork of a Shared VPC",
        ),
    ],
)
def test_a_vm_without_network_access_is_a_setup_error_with_its_command(
    spec: dict[str, Any], command: str
) -> None:
    error = boot_error(running_vm(**spec), "p", [UNREACHABLE])
    assert isinstance(error, ProjectSetup)
    assert error.reason == "no_private_google_access"
    assert "storage.googleapis.com" in error.message
    whole = f"gcloud compute networks subnets update {command} --enable-private-ip-google-access"
    assert whole in error.advice


def test_with_an_external_address_a_fresh_vm_may_reach_it() -> None:
    error = boot_error(running_vm(external_ip=True), "p", [UNREACHABLE])
    assert isinstance(error, EnvironmentFailed)
    assert "unreachable" in error.message


@pytest.mark.parametrize(
    "cause",
    [
        pytest.param(
            "storage.googleapis.com:443 opens from this VM: gaierror: [Errno -3] Try again", id="no name"
        ),
        pytest.param(
            "storage.googleapis.com:443 opens from this VM: ConnectionRefusedError: refused", id="closed port"
        ),
        pytest.param(
            "storage-lab.p.example:443 opens from this VM: TimeoutError: timed out", id="own endpoint"
        ),
    ],
)
def test_a_failure_that_private_google_access_does_not_fix_is_retried(cause: str) -> None:
    error = boot_error(
        running_vm(), "p", [f"notebook-builder: failed: unreachable: no connection to {cause}"]
    )
    assert isinstance(error, EnvironmentFailed)
    assert cause in error.message


def test_a_kit_that_came_late_is_no_refusal() -> None:
    lines = [
        "notebook-builder: boot: still waiting for gs://b/ci/kits/0.tar.gz: HTTP 403",
        "notebook-builder: boot: kit fetched in 20.0 s, unpacked in 0.4 s, attempt 1",
        "notebook-builder: failed: runner: it ended with exit status -9",
    ]
    assert isinstance(boot_error(running_vm(), "p", lines), EnvironmentFailed)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        pytest.param(
            [HEARTBEAT, "notebook-builder: failed: runner: it ended with exit status 1", END],
            "storage.objects.create",
            id="the runner said it before",
        ),
        pytest.param(
            ["notebook-builder: failed: kit: gs://b/k could not be fetched by the VM's account: HTTP 403"],
            "HTTP 403",
            id="the kit",
        ),
        pytest.param(
            ["notebook-builder: failed: storage: gs://b/e.json: Unauthorized: 401 Invalid Credentials"],
            "401",
            id="no valid token",
        ),
    ],
)
def test_a_failed_boot_for_want_of_a_role_is_set_up_at_once(lines: list[str], said: str) -> None:
    error = boot_error(running_vm(), "p", lines)
    assert isinstance(error, ProjectSetup)
    assert error.reason == "vm_permission_denied"
    assert said in error.message


def test_a_refusal_that_has_passed_does_not_explain_another_failure() -> None:
    lines = [
        "notebook-builder: boot: still waiting for gs://b/ci/kits/0.tar.gz: HTTP 403",
        "notebook-builder: failed: kit: its sha256 is 0",
    ]
    assert isinstance(boot_error(running_vm(), "p", lines), EnvironmentFailed)
