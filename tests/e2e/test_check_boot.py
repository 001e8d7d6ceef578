"""`check --boot`: one VM, what it gives, and nothing left behind."""

from __future__ import annotations

import re

import pytest

from tests.e2e.builder_process import BUCKET, Builder, Repo, notebook
from tests.e2e.test_check import check

OPTIONS = {"NB_EXPECT": "never.csv", "NB_REQUIREMENTS": "requirements.txt", "BUILD_ID": "build-1"}


@pytest.fixture
def work(repo: Repo) -> Repo:
    """A notebook that would fail, with requirements that no index has."""
    return repo.write({"demo.ipynb": notebook("1 / 0"), "requirements.txt": "no-such-package-anywhere\n"})


def test_one_vm_says_what_image_and_network_give(builder: Builder, work: Repo) -> None:
    done = check(
        builder,
        "--boot",
        NB_IMAGE_FAMILY="debian-12",
        NB_IMAGE_PROJECT="debian-cloud",
        NB_INDEX_URL="http://127.0.0.1:9/simple/",
        **OPTIONS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    text = done.stdout
    table, cost, log = (
        text.index(part) for part in ("this plan can run", "the cost: ", "notebook-builder 0")
    )
    assert table < cost < log
    assert "; these checks change nothing, then --boot starts a VM\n" in text
    assert "nothing is changed" not in text
    for found in (
        r"check-boot  VM nb-\w+-a1t1 runs in us-central1-a after \d+ s",
        r"check-boot  first heartbeat \d+ s after the VM's start",
        "check-boot  kernel: typing-extensions of the kit .* comes before the image's 4.4.0",
        r"check-boot  \| kernel: ready \d+\.\d s after its start",
        r"check-boot  \| Python: 3\.",
        r"check-boot  \| packages: \d+ of the image's that notebooks see",
        r"check-boot  \| packages, of the usual ones: numpy is missing, pandas is missing",
        r"check-boot  \| package index 127\.0\.0\.1: not reachable: ",
        "verdict: GREEN, 1 of 1 notebooks green",
    ):
        assert re.search(found, text), text
    assert builder.left() == []
    location = builder.cloud.state / "storage" / BUCKET / builder.prefix
    assert not (location / "proofs").exists()
    assert not (location / "results" / "build-1").exists()


def test_json_and_boot_are_refused_together(builder: Builder, work: Repo) -> None:
    done = check(builder, "--boot", "--format", "json", **OPTIONS)
    assert done.returncode == 2
    assert "--boot" in done.stderr + done.stdout


def test_nothing_boots_where_the_plan_cannot_run(builder: Builder, work: Repo) -> None:
    done = check(builder, "--boot", NB_NETWORK="nothing", **OPTIONS)
    assert done.returncode == 4
    assert "check --boot starts" not in done.stdout


@pytest.mark.exhaustive  # integration/test_run.py has a VM that never speaks, test_nothing_boots_… a check that is red
def test_a_vm_that_gives_no_sign_of_life_is_exit_code_6(own_builder: Builder, work: Repo) -> None:
    own_builder.cloud.faults.add({"method": "vm.boot", "action": "idle"})
    done = check(own_builder, "--boot", NB_BOOT_TIMEOUT="30", **OPTIONS)
    assert done.returncode == 6, done.stdout
    assert own_builder.left() == []
