"""Faults met by the whole builder, a process as a build has it, on local VMs that boot."""

from __future__ import annotations

import pytest

from localcloud.cloud import Cloud
from tests.e2e.world import Builder, Repo, notebook

pytestmark = pytest.mark.slow

DEMO = {"demo.ipynb": notebook("print('hello')")}
A, B = "us-central1-a", "us-central1-b"


def fault(cloud: Cloud, method: str, action: str, *, times: int = 1, skip: int = 0, **args: object) -> None:
    match = args.pop("match", {})
    cloud.faults.add(
        {"method": method, "action": action, "times": times, "skip": skip, "match": match, "args": args}
    )


def test_many_passing_faults_and_a_stock_out_are_still_green(
    own_cloud: Cloud, own_builder: Builder, repo: Repo
) -> None:
    """A full zone, lost replies, throttling, and a VM whose host fails while its notebook runs."""
    repo.write(DEMO)
    mine = {"caller": "builder@*"}
    fault(
        own_cloud,
        "compute.instances.insert",
        "operation_error",
        code="ZONE_RESOURCE_POOL_EXHAUSTED",
        match={"zone": A},
    )
    fault(own_cloud, "compute.instances.insert", "drop_after", match={"zone": B})
    fault(own_cloud, "compute.zoneOperations.wait", "error", status=503)
    fault(own_cloud, "compute.instances.delete", "drop_after")
    fault(own_cloud, "storage.objects.insert", "drop_after", times=2, match=mine)
    fault(own_cloud, "storage.objects.get", "error", status=429, skip=2, match=mine)
    fault(own_cloud, "storage.objects.rewrite", "drop_after", match=mine)
    fault(own_cloud, "storage.objects.insert", "error", status=503, match={"caller": "vm@*"})
    fault(own_cloud, "vm.life", "vanish", at="notebook-builder: ")
    done = own_builder.run(NB_NOTEBOOKS="demo.ipynb", NB_ZONES=f"{A},{B}")
    assert done.code == 0, done.output
    assert f"{A}: ZONE_RESOURCE_POOL_EXHAUSTED" in done.output
    assert done.job("demo")["attempts"] == 2
    assert done.output.splitlines()[-1] == "left behind: nothing"
    assert own_builder.left() == []


def test_every_zone_full_is_3_and_tells_each(own_cloud: Cloud, own_builder: Builder, repo: Repo) -> None:
    repo.write(DEMO)
    fault(
        own_cloud,
        "compute.instances.insert",
        "operation_error",
        times=2,
        code="ZONE_RESOURCE_POOL_EXHAUSTED",
        message="no room",
    )
    done = own_builder.run(NB_NOTEBOOKS="demo.ipynb", NB_ZONES=f"{A},{B}")
    assert done.code == 3, done.output
    assert f"{A}: ZONE_RESOURCE_POOL_EXHAUSTED: no room" in done.output
    assert f"{B}: ZONE_RESOURCE_POOL_EXHAUSTED: no room" in done.output
    assert own_builder.left() == []


def test_a_missing_permission_is_4_and_an_image_that_is_gone_2(
    own_cloud: Cloud, own_builder: Builder, repo: Repo
) -> None:
    repo.write(DEMO)
    done = own_builder.run(NB_NOTEBOOKS="demo.ipynb", NB_VM_SERVICE_ACCOUNT=_foreign_account())
    assert done.code == 4, done.output
    assert "service account" in done.output.lower() or "serviceAccount" in done.output
    done = own_builder.run(NB_NOTEBOOKS="demo.ipynb", NB_IMAGE_FAMILY="retired-family")
    assert done.code == 2, done.output
    assert "retired-family" in done.output
    assert own_builder.left() == []


def _foreign_account() -> str:
    return "vm@another-project.iam.gserviceaccount.com"


def test_a_bucket_that_is_not_there_is_4_before_any_vm(
    own_cloud: Cloud, own_builder: Builder, repo: Repo
) -> None:
    repo.write(DEMO)
    done = own_builder.run(NB_NOTEBOOKS="demo.ipynb", NB_GCS_LOCATION="gs://nowhere-at-all/ci")
    assert done.code == 4, done.output
    assert "nowhere-at-all" in done.output
    assert "VM " not in done.output.partition("left behind")[0]


def test_a_vm_that_never_starts_its_script_is_6_with_its_serial_port(
    own_cloud: Cloud, own_builder: Builder, repo: Repo
) -> None:
    repo.write(DEMO)
    fault(own_cloud, "vm.boot", "idle")
    done = own_builder.run(NB_NOTEBOOKS="demo.ipynb", NB_BOOT_TIMEOUT="10", NB_MAX_ATTEMPTS="1")
    assert done.code == 6, done.output
    assert "Detected virtualization google" in done.output
    assert own_builder.left() == []


GPU = {"NB_MACHINE_TYPE": "n1-standard-4", "NB_ACCELERATOR": "nvidia-tesla-t4:2"}


def test_a_gpu_that_the_driver_does_not_see_is_6_with_its_words(
    own_cloud: Cloud, own_builder: Builder, repo: Repo
) -> None:
    repo.write(DEMO)
    fault(own_cloud, "vm.boot", "gpus", times=2, count=0)
    done = own_builder.run(
        NB_NOTEBOOKS="demo.ipynb", NB_BOOT_TIMEOUT="15", NB_MAX_ATTEMPTS="2", NB_ZONES=A, **GPU
    )
    assert done.code == 6, done.output
    assert "couldn't communicate with the NVIDIA driver" in done.output
    assert done.job("demo")["attempts"] == 2
    assert own_builder.left() == []


def test_a_gpu_that_is_there_the_second_time_is_enough(
    own_cloud: Cloud, own_builder: Builder, repo: Repo
) -> None:
    repo.write(DEMO)
    fault(own_cloud, "vm.boot", "gpus", count=1)
    done = own_builder.run(NB_NOTEBOOKS="demo.ipynb", NB_BOOT_TIMEOUT="15", NB_ZONES=A, **GPU)
    assert done.code == 0, done.output
    assert "nvidia-smi lists 1" in done.output
    assert "GPU 1: Tesla T4" in done.output
    assert own_builder.left() == []


def test_a_spot_vm_taken_back_in_mid_run_is_followed_by_a_standard_one(
    own_cloud: Cloud, own_builder: Builder, repo: Repo
) -> None:
    repo.write({"demo.ipynb": notebook("import time\ntime.sleep(10)")})
    fault(own_cloud, "vm.life", "preempt", after=8, notice=30)
    done = own_builder.run(
        NB_NOTEBOOKS="demo.ipynb", NB_PROVISIONING="spot-then-standard", NB_MAX_ATTEMPTS="2", NB_ZONES=A
    )
    assert done.code == 0, done.output
    assert "e2-standard-4, Spot, " in done.output
    assert "took the Spot VM back" in done.output, done.output
    assert done.job("demo")["attempts"] == 2
    assert own_builder.left() == []
