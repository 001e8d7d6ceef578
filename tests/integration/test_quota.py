"""A quota that the run's own VMs hold is waited for, in turn; one that others hold is not."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from builder.act.fleet import Fleet
from builder.act.insertion import VmRequest
from builder.act.placement import Placement
from builder.act.quota_line import Limit, Turn
from builder.act.vm import Vm
from builder.errors import ExitCode, Interrupted, NoCapacity, NotStarted
from builder.model import Accelerator
from builder.options import MachineOptions
from builder.plan.vm_spec import SPOT, STANDARD
from localcloud.core.iam import Iam
from localcloud.services.storage import StorageService
from tests.integration.cloud_fixture import CloudFixture, MovedClock, StandIn, opened
from tests.integration.simulated_guests import green, with_fault
from tests.patience import PATIENCE

FOUR = tuple(f"{name}.ipynb" for name in "abcd")
A, C = "us-central1-a", "us-east1-b"
Opened = Callable[..., CloudFixture]


class PatientClock(MovedClock):
    """A moved clock that leaves real time to those who are waited for."""

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        time.sleep(0.1)


@pytest.fixture
def limited(tmp_path: Path, storage: StorageService, identities: Iam) -> Iterator[Opened]:
    """Opens a local cloud with limits of its own."""
    with ExitStack() as stack:

        def make(**quotas: float) -> CloudFixture:
            cloud_fixture = stack.enter_context(
                opened(tmp_path / "cloud", storage, identities, quotas=quotas)
            )
            cloud_fixture.time = PatientClock(cloud_fixture.clock, cloud_fixture.cancellation)
            return cloud_fixture

        yield make


def vm_request(cloud_fixture: CloudFixture, tmp_path: Path, job: str, **options: str) -> VmRequest:
    """Return the request for the VM of a job with this name."""
    plan = cloud_fixture.plan(tmp_path / job, NB_MACHINE_TYPE="e2-standard-4", **options)
    made = cloud_fixture.vm_request(plan, nonce=f"0123456789abcde{job}")
    return replace(made, job=replace(made.job, job=job), attempt=replace(made.attempt, job=job))


def told(cloud_fixture: CloudFixture, words: str, times: int = 1) -> None:
    """Wait until this was said so often."""
    until = time.monotonic() + PATIENCE
    while sum(words in text for text in cloud_fixture.said) < times:
        assert time.monotonic() < until, cloud_fixture.said
        time.sleep(0.01)


@pytest.mark.always(1)
@pytest.mark.parametrize("metric", ["CPUS", "CPUS_ALL_REGIONS", "SSD_TOTAL_GB"])
def test_more_jobs_than_the_quota_holds_are_green_one_after_the_other(
    limited: Opened, tmp_path: Path, metric: str
) -> None:
    cloud_fixture = limited(**{metric: 110 if metric == "SSD_TOTAL_GB" else 8})
    cloud_fixture.guests = [green]
    plan = cloud_fixture.plan(tmp_path / "repo", FOUR, NB_CONCURRENCY="4", NB_BOOT_DISK_GB="50")
    assert cloud_fixture.run(plan) is ExitCode.GREEN, cloud_fixture.log.getvalue()
    assert f"{metric} in " in cloud_fixture.log.getvalue()
    assert "waiting for one of them to end" in cloud_fixture.log.getvalue()
    assert cloud_fixture.left() == []


def test_addresses_that_the_runs_own_vms_hold_are_waited_for(limited: Opened, tmp_path: Path) -> None:
    cloud_fixture = limited()
    cloud_fixture.guests = [green]
    cloud_fixture.fault(
        "compute.instances.insert",
        "operation_error",
        skip=1,
        code="IP_SPACE_EXHAUSTED_WITH_DETAILS",
        message="IP space of 'projects/p/regions/us-central1/subnetworks/ci' is exhausted.",
        http_status=400,
        http_message="BAD REQUEST",
    )
    plan = cloud_fixture.plan(tmp_path / "repo", FOUR[:2], NB_CONCURRENCY="2", NB_ZONES=A)
    assert cloud_fixture.run(plan) is ExitCode.GREEN, cloud_fixture.log.getvalue()
    assert "quota IP_SPACE in us-central1 is used up" in cloud_fixture.log.getvalue()
    assert cloud_fixture.left() == []


def test_each_waits_for_its_turn_and_newcomers_stand_behind(limited: Opened, tmp_path: Path) -> None:
    cloud_fixture = limited(CPUS=4)
    fleet = Fleet(cloud_fixture.machines(), cloud_fixture.time, cloud_fixture.cancellation)
    placement = cloud_fixture.placement(fleet)
    got: list[str] = []

    def place(job: str) -> Vm:
        vm = placement.place(vm_request(cloud_fixture, tmp_path, job))
        got.append(job)
        return vm

    with ThreadPoolExecutor(3) as pool:
        holder = place("a")
        waiting = [pool.submit(place, "b")]
        told(cloud_fixture, "waiting for one of them to end")
        for number, job in enumerate("cd", 1):
            waiting.append(pool.submit(place, job))
            told(cloud_fixture, "waiting behind other jobs of this run for quota", number)
        fleet.take_down(holder)
        for future in waiting:
            fleet.take_down(future.result(PATIENCE))
    assert got == ["a", "b", "c", "d"]
    asked = [attempt.body["labels"]["nb-job"] for attempt in cloud_fixture.compute.inserts()]
    assert asked.index("d") > len(asked) - 1 - asked[::-1].index("c")
    assert cloud_fixture.left() == []


def test_another_region_is_better_than_waiting(limited: Opened, tmp_path: Path) -> None:
    cloud_fixture = limited(CPUS=4)
    placement = cloud_fixture.placement(cloud_fixture.fleet())
    placement.place(vm_request(cloud_fixture, tmp_path, "a"))
    assert placement.place(vm_request(cloud_fixture, tmp_path, "b", NB_ZONES=f"{A},{C}")).zone == C
    assert not [text for text in cloud_fixture.said if "waiting" in text]


@pytest.mark.parametrize("metric", ["CPUS", "CPUS_ALL_REGIONS"])
def test_a_quota_that_others_hold_is_reported_at_once(limited: Opened, tmp_path: Path, metric: str) -> None:
    cloud_fixture = limited(**{metric: 4})
    cloud_fixture.placement(cloud_fixture.fleet()).place(
        vm_request(cloud_fixture, tmp_path, "a")
    )  # of another run
    started = cloud_fixture.time.monotonic()
    with pytest.raises(NoCapacity, match=f"Quota '{metric}' exceeded") as caught:
        cloud_fixture.placement(cloud_fixture.fleet()).place(vm_request(cloud_fixture, tmp_path, "b"))
    assert cloud_fixture.time.monotonic() - started < 60
    assert "NB_CONCURRENCY" not in caught.value.advice


def test_a_vm_that_takes_none_of_the_quota_is_not_waited_for(limited: Opened, tmp_path: Path) -> None:
    cloud_fixture = limited(NVIDIA_T4_GPUS=0, PREEMPTIBLE_NVIDIA_T4_GPUS=0)
    placement = cloud_fixture.placement(cloud_fixture.fleet())
    placement.place(vm_request(cloud_fixture, tmp_path, "a"))
    gpu = {"NB_MACHINE_TYPE": "n1-standard-4", "NB_ACCELERATOR": "nvidia-tesla-t4:1"}
    plan = cloud_fixture.plan(tmp_path / "gpu", **gpu)
    made = cloud_fixture.vm_request(plan)
    with pytest.raises(NoCapacity, match="NVIDIA_T4_GPUS"):
        placement.place(made)
    assert not [text for text in cloud_fixture.said if "waiting" in text]


def test_a_vm_that_outlasts_the_budget_is_3_and_tells_of_the_concurrency(
    limited: Opened, tmp_path: Path
) -> None:
    cloud_fixture = limited(CPUS=4)
    cloud_fixture.time = MovedClock(cloud_fixture.clock, cloud_fixture.cancellation)
    placement = cloud_fixture.placement(cloud_fixture.fleet())
    holder = placement.place(vm_request(cloud_fixture, tmp_path, "a"))
    started = cloud_fixture.time.monotonic()
    with pytest.raises(
        NoCapacity, match="After a wait of 600 s, 1 other VM of this run uses a part of the quota"
    ) as caught:
        placement.place(vm_request(cloud_fixture, tmp_path, "b"))
    assert cloud_fixture.time.monotonic() - started >= 600
    assert "NB_CONCURRENCY" in caught.value.advice
    assert cloud_fixture.alive() == [holder.name]


def test_quota_that_becomes_free_at_the_deadline_is_asked_for_once_more(
    limited: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud_fixture = limited(CPUS=4)
    fleet = cloud_fixture.fleet()
    placement = cloud_fixture.placement(fleet)
    holder = placement.place(vm_request(cloud_fixture, tmp_path, "a"))
    await_end = Turn.await_end

    def late(turn: Turn, limits: Collection[Limit], deadline: float) -> bool:
        """Delete the VM that holds the quota, and return after the deadline of the search."""
        fleet.take_down(holder)
        ended = await_end(turn, limits, deadline)
        cloud_fixture.time.sleep(deadline - cloud_fixture.time.monotonic() + 1)
        return ended

    monkeypatch.setattr(Turn, "await_end", late)
    vm = placement.place(vm_request(cloud_fixture, tmp_path, "b"))
    assert cloud_fixture.alive() == [vm.name]


def _placed_aside(
    cloud_fixture: CloudFixture, placement: Placement, asked: VmRequest
) -> tuple[threading.Thread, list[BaseException]]:
    """A thread that places it, and what that raised."""
    raised: list[BaseException] = []

    def work() -> None:
        try:
            placement.place(asked)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    told(cloud_fixture, "waiting for one of them to end")
    return thread, raised


def test_a_cancellation_ends_the_wait(limited: Opened, tmp_path: Path) -> None:
    cloud_fixture = limited(CPUS=4)
    fleet = cloud_fixture.fleet()
    placement = cloud_fixture.placement(fleet)
    holder = placement.place(vm_request(cloud_fixture, tmp_path, "a"))
    thread, raised = _placed_aside(cloud_fixture, placement, vm_request(cloud_fixture, tmp_path, "b"))
    cloud_fixture.cancellation.cancel(signal.SIGTERM)
    thread.join(PATIENCE)
    assert [type(error) for error in raised] == [Interrupted]
    assert cloud_fixture.alive() == [holder.name]


def test_fail_fast_ends_the_wait_without_a_vm(limited: Opened, tmp_path: Path) -> None:
    cloud_fixture = limited(CPUS=4)
    placement = cloud_fixture.placement(cloud_fixture.fleet())
    placement.place(vm_request(cloud_fixture, tmp_path, "a"))
    stop = threading.Event()
    asked = replace(vm_request(cloud_fixture, tmp_path, "b"), stop=stop.is_set)
    thread, raised = _placed_aside(cloud_fixture, placement, asked)
    stop.set()
    thread.join(PATIENCE)
    assert [type(error) for error in raised] == [NotStarted]


def test_a_red_notebook_under_fail_fast_leaves_those_that_wait_not_started(
    limited: Opened, tmp_path: Path
) -> None:
    cloud_fixture = limited(
        SSD_TOTAL_GB=60
    )  # a disk counts until it is deleted, the CPUs of a VM that is off do not
    failing = with_fault("kernel_died")

    def once_others_wait(place: CloudFixture, machine: StandIn) -> None:
        until = time.monotonic() + PATIENCE
        while place.log.getvalue().count("waiting for one of them to end") < 1 and time.monotonic() < until:
            time.sleep(0.01)
        failing(place, machine)

    cloud_fixture.guests = [once_others_wait]
    plan = cloud_fixture.plan(
        tmp_path / "repo",
        FOUR,
        NB_CONCURRENCY="4",
        NB_FAIL_FAST="true",
        NB_BOOT_TIMEOUT="7200",
        NB_BOOT_DISK_GB="50",
    )
    assert cloud_fixture.run(plan) is ExitCode.NOTEBOOK_FAILED, cloud_fixture.log.getvalue()
    assert len(cloud_fixture.machines_booted) == 1, cloud_fixture.log.getvalue()
    assert "was not started: NB_FAIL_FAST is set" in cloud_fixture.log.getvalue()
    assert cloud_fixture.left() == []


_SPEC = MachineOptions(zones=("us-central1-a",), vm_service_account="a@b")
_GPU = replace(_SPEC, machine_type="n1-standard-4", accelerator=Accelerator("nvidia-tesla-t4", 1))


@pytest.mark.parametrize(
    ("metric", "region", "spec", "counts"),
    [
        pytest.param(
            "CPUS", "us-central1", replace(_SPEC, machine_type="n2-standard-4"), False, id="n2 has its own"
        ),
        pytest.param("NVIDIA_L4_GPUS", "us-central1", _GPU, False, id="another gpu"),
        pytest.param("PREEMPTIBLE_NVIDIA_T4_GPUS", "us-central1", _GPU, True, id="preemptible gpu"),
        pytest.param(
            "NVIDIA_A100_GPUS",
            "us-central1",
            replace(_SPEC, machine_type="a2-highgpu-1g"),
            True,
            id="gpu of the machine type",
        ),
        pytest.param("CPUS", "us-central1", _SPEC, True, id="cpus"),
        pytest.param("CPUS", "us-east1", _SPEC, False, id="another region"),
        pytest.param("CPUS_ALL_REGIONS", "", _SPEC, True, id="all regions"),
        pytest.param("C3_CPUS", "us-central1", _SPEC, False, id="another series"),
        pytest.param("C3_CPUS", "us-central1", replace(_SPEC, machine_type="c3-standard-4"), True, id="c3"),
        pytest.param("NVIDIA_T4_GPUS", "us-central1", _SPEC, False, id="no gpu"),
        pytest.param("NVIDIA_T4_GPUS", "us-central1", _GPU, True, id="gpu"),
        pytest.param("GPUS_ALL_REGIONS", "", _SPEC, False, id="no gpu anywhere"),
        pytest.param("GPUS_ALL_REGIONS", "", _GPU, True, id="gpu anywhere"),
        pytest.param("IN_USE_ADDRESSES", "us-central1", _SPEC, False, id="no address"),
        pytest.param("IN_USE_ADDRESSES", "us-central1", replace(_SPEC, external_ip=True), True, id="address"),
        pytest.param("SSD_TOTAL_GB", "us-central1", _SPEC, True, id="ssd"),
        pytest.param("DISKS_TOTAL_GB", "us-central1", _SPEC, False, id="no standard disk"),
        pytest.param(
            "DISKS_TOTAL_GB",
            "us-central1",
            replace(_SPEC, boot_disk_type="pd-standard"),
            True,
            id="standard disk",
        ),
        pytest.param("INSTANCES", "us-central1", _SPEC, True, id="instances"),
    ],
)
def test_which_vms_hold_some_of_a_quota(metric: str, region: str, spec: MachineOptions, counts: bool) -> None:  # noqa: FBT001
    assert Limit(metric, region).counts(spec, STANDARD, A) is counts


@pytest.mark.parametrize(("model", "counts"), [(SPOT, True), (STANDARD, False)], ids=["spot", "standard"])
def test_only_spot_vms_hold_the_preemptible_quota(model: str, counts: bool) -> None:  # noqa: FBT001
    assert Limit("PREEMPTIBLE_CPUS", "us-central1").counts(_SPEC, model, A) is counts
