"""Faults met by the whole builder, a process as a build has it, on local VMs that boot.

One run has a job for each kind of fault; every test looks at one of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from localcloud.cloud import Cloud
from tests.e2e.builder_process import BUCKET, VM_ACCOUNT, Builder, Finished, Repo, notebook
from tests.e2e.shared_run import once

Json = dict[str, Any]

DEMO = {"demo.ipynb": notebook("print('hello')")}
INSERT, WRITE = "compute.instances.insert", "storage.objects.insert"
NO_ROOM: Json = {"code": "ZONE_RESOURCE_POOL_EXHAUSTED", "message": "no room"}
# Where one job alone looks for a VM.
A, B = "us-west1-a", "us-west1-b"
FULL = ("us-east1-b", "us-east1-c")


def spec(
    method: str,
    action: str,
    match: Mapping[str, str] | None = None,
    *,
    times: int = 1,
    skip: int = 0,
    **args: object,
) -> Json:
    """Return a fault as localcloud plans it."""
    return {
        "method": method,
        "action": action,
        "match": match or {},
        "times": times,
        "skip": skip,
        "args": args,
    }


def of(job: str) -> dict[str, str]:
    """Return what matches the VMs of a job."""
    return {"labels.nb-job": job}


def written(job: str, attempt: int) -> dict[str, str]:
    """Return what matches an output of an attempt of a job."""
    return {"name": f"*/{job}/attempt-{attempt}-*/outputs/rides.csv"}


MINE = {"caller": "notebook-builder@*"}
FAULTS = [
    # A full zone, lost replies and throttling.
    spec(INSERT, "operation_error", {"zone": A}, **NO_ROOM),
    spec(INSERT, "drop_after", {"zone": B}),
    spec("compute.zoneOperations.wait", "error", status=503),
    spec("compute.instances.delete", "drop_after", {"zone": B}),
    spec(WRITE, "drop_after", MINE, times=2),
    spec("storage.objects.get", "error", MINE, status=429, skip=2),
    spec("storage.objects.rewrite", "drop_after", MINE),
    spec(WRITE, "error", {"caller": "notebook-vm@*"}, status=503),
    # Of one job's VMs, the first has too few GPUs, the second is taken back, and the host of the third fails.
    spec("vm.boot", "gpus", of("unlucky"), count=1),
    spec("vm.life", "preempt", of("unlucky"), skip=1, after=8, notice=30),
    spec("vm.life", "vanish", of("unlucky"), skip=1, at="notebook-builder: "),
    spec("vm.boot", "gpus", of("no-gpu"), times=2, count=0),
    spec("vm.boot", "idle", of("idle")),
    spec(INSERT, "operation_error", {"zone": "us-east1-*"}, times=2, **NO_ROOM),
    # What the first attempt uploads is not there, what the second one does is cut.
    spec(WRITE, "lose", written("lossy", 1)),
    spec(WRITE, "truncate", written("lossy", 2), bytes=3),
]
GPU = {"machine_type": "n1-standard-4", "accelerator": "nvidia-tesla-t4:2", "boot_timeout": 30}
RIDES = notebook("open('outputs/rides.csv', 'w').write('day,rides')")
JOBS: dict[str, tuple[str, Json]] = {
    "unlucky": (
        notebook("import time\ntime.sleep(10)"),
        {**GPU, "provisioning": "spot-then-standard", "max_attempts": 4, "zones": [A, B]},
    ),
    "no-gpu": (notebook("print('never')"), {**GPU, "max_attempts": 2}),
    "idle": (notebook("print('never')"), {"boot_timeout": 10, "max_attempts": 1}),
    "full": (notebook("print('never')"), {"zones": [*FULL]}),
    "foreign": (
        notebook("print('never')"),
        {"vm_service_account": "notebook-vm@another-project.iam.gserviceaccount.com"},
    ),
    "lossy": (RIDES, {"max_attempts": 2}),
}


@pytest.fixture
def faulty_run(tmp_path_factory: pytest.TempPathFactory, repo: Repo) -> Finished:
    """The run of all of them."""

    def make() -> Finished:
        entries = [{"path": f"{name}.ipynb", **settings} for name, (_, settings) in JOBS.items()]
        config = {"notebooks": entries, "zones": ["us-central1-a"], "vm_service_account": VM_ACCOUNT}
        files = {f"{name}.ipynb": content for name, (content, _) in JOBS.items()}
        repo.write({**files, "notebooks.yaml": json.dumps(config)})
        with Cloud(tmp_path_factory.mktemp("faulty-run"), buckets=[BUCKET], faults=FAULTS) as cloud:
            builder = Builder(cloud, repo.folder)
            done = builder.run(NB_CONCURRENCY="8", NB_VM_SERVICE_ACCOUNT="")
            assert builder.left() == []
            inventory = cloud.inventory()
        assert inventory["schema_violations"] == []
        unmet = [fault for fault in inventory["faults"] if fault["consumed"] < fault["times"]]
        assert unmet == [], (unmet, done.output)
        return done

    return once(tmp_path_factory, "faulty-run", make)


def lines_of(done: Finished, job: str) -> str:
    """Return a job's own lines of the log."""
    return "\n".join(line for line in done.output.splitlines() if line.startswith(f"{job} "))


@pytest.mark.exhaustive
def test_many_transient_faults_a_stock_out_and_three_lost_vms_are_still_green(faulty_run: Finished) -> None:
    """Too few GPUs, a Spot VM taken back in mid-run, a host that fails; then a standard VM."""
    job = faulty_run.job("unlucky")
    assert (job["verdict"], job["attempts"]) == ("green", 4), faulty_run.output
    log = lines_of(faulty_run, "unlucky")
    assert f"{A} (Spot): ZONE_RESOURCE_POOL_EXHAUSTED: no room" in log
    assert "nvidia-smi lists 1" in log
    assert "GPU 1: Tesla T4" in log
    asked = [line for line in log.splitlines() if " requested in " in line]
    assert "n1-standard-4, Spot, projects/" in asked[0]
    assert "n1-standard-4, projects/" in asked[-1]
    assert "took the Spot VM back" in log
    assert faulty_run.output.splitlines()[-1] == "left behind: nothing"


@pytest.mark.exhaustive
def test_every_zone_full_is_3_and_tells_each(faulty_run: Finished) -> None:
    assert faulty_run.job("full")["exit_code"] == 3
    for zone in FULL:
        assert f"{zone}: ZONE_RESOURCE_POOL_EXHAUSTED: no room" in lines_of(faulty_run, "full")


@pytest.mark.exhaustive
def test_a_permission_that_is_missing_is_4_of_the_run_too(faulty_run: Finished) -> None:
    assert (faulty_run.code, faulty_run.job("foreign")["exit_code"]) == (4, 4), faulty_run.output
    assert "serviceAccount" in lines_of(faulty_run, "foreign")


@pytest.mark.exhaustive
def test_a_vm_that_never_starts_its_script_is_6_with_its_serial_port(faulty_run: Finished) -> None:
    assert faulty_run.job("idle")["exit_code"] == 6
    assert "Detected virtualization google" in lines_of(faulty_run, "idle")


@pytest.mark.exhaustive
def test_a_gpu_that_the_driver_does_not_see_is_6_with_its_words(faulty_run: Finished) -> None:
    job = faulty_run.job("no-gpu")
    assert (job["exit_code"], job["attempts"]) == (6, 2)
    assert "couldn't communicate with the NVIDIA driver" in lines_of(faulty_run, "no-gpu")


@pytest.mark.exhaustive
def test_results_that_are_not_in_the_bucket_are_no_results(faulty_run: Finished) -> None:
    """A lost object costs an attempt; a truncated one in the last attempt is red."""
    job = faulty_run.job("lossy")
    assert (job["verdict"], job["exit_code"], job["attempts"]) == ("red", 6, 2), job
    assert job["reason"] == "object_differs"
    assert "outputs/rides.csv in Cloud Storage" in job["message"]
    assert "outputs/rides.csv was uploaded but is not" in lines_of(faulty_run, "lossy")


def test_an_image_that_is_gone_is_2_and_a_bucket_that_is_not_there_4_before_any_vm(
    builder: Builder, repo: Repo
) -> None:
    repo.write(DEMO)
    done = builder.run(NB_NOTEBOOKS="demo.ipynb", NB_IMAGE_FAMILY="retired-family")
    assert done.code == 2, done.output
    assert "retired-family" in done.output
    done = builder.run(NB_NOTEBOOKS="demo.ipynb", NB_GCS_LOCATION="gs://nowhere-at-all/ci")
    assert done.code == 4, done.output
    assert "nowhere-at-all" in done.output
    assert "VM " not in done.output.partition("left behind")[0]
