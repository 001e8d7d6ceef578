"""Whole runs through Google's clients: attempts, retries, verdicts, exit codes, what is published, and what is left."""

from __future__ import annotations

import json
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from builder.act import lease
from builder.errors import BuilderError, EnvironmentFailed, ExitCode, ProjectSetup
from builder.plan.make import Plan
from tests.contract.guests import altered, execute, green, silent, sit_down, vanishing, with_fault
from tests.contract.world import StandIn, World

Json = dict[str, Any]


def published(world: World, run: str, job: str = "demo", folder: str = "") -> dict[str, bytes]:
    store = world.store()
    prefix = f"{world.prefix}/{folder or f'results/{run}'}/{job}/"
    return {item.name.removeprefix(prefix): store.read(item.name) or b"" for item in store.list(prefix)}


def summary(world: World, run: str) -> Json:
    return dict(json.loads(world.store().read(f"{world.prefix}/results/{run}/summary.json") or b"{}"))


def run_id() -> str:
    return f"run-{uuid.uuid4().hex[:8]}"


def test_a_run_is_green_and_leaves_nothing(world: World, plan: Plan) -> None:
    world.guests, run = [green], run_id()
    assert world.run(plan, run) is ExitCode.GREEN, world.log.getvalue() + str(world.said)
    assert world.left() == []
    assert len(world.inserted()) == 1
    files = published(world, run)
    assert {"demo.ipynb", "demo.html", "outputs/out.csv", "run.log", "result.json"} == files.keys()
    assert json.loads(files["result.json"])["verdict"] == "green"
    assert summary(world, run)["verdict"] == "green"
    assert world.store().list(f"{world.prefix}/open/{run}/") == []


def test_a_run_renews_the_lease_that_its_vms_watch(
    world: World, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_RENEW_SECONDS", 1.2)
    run = run_id()
    renewals: list[bytes] = []

    def watching(place: World, machine: StandIn) -> None:
        terms = sit_down(place, machine).job["lease"]
        assert terms["seconds"] == lease.LEASE_SECONDS
        until = time.monotonic() + 10
        while len(renewals) < 2 and time.monotonic() < until:
            content = place.store().read(terms["object"])
            if content and content not in renewals:
                renewals.append(content)
            time.sleep(0.05)
        green(place, machine)

    world.guests = [watching]
    assert world.run(plan, run) is ExitCode.GREEN
    assert [json.loads(content)["run"] for content in renewals] == [run, run]


# The environment's faults: a fresh attempt, and never two VMs of one job


@pytest.mark.parametrize(
    "guest",
    [
        vanishing,
        silent,
        with_fault("storage"),
        with_fault("runner"),
        with_fault("workspace"),
        altered(lambda _desk, _evidence: b"{"),
        altered(lambda _desk, _evidence: b""),
        altered(lambda _desk, evidence: {**evidence, "nonce": "another"}),
        altered(lambda _desk, evidence: {**evidence, "attempt": 9}),
        altered(lambda _desk, evidence: {**evidence, "run": "another"}),
        altered(lambda _desk, evidence: {**evidence, "papermill": None}),
    ],
    ids=[
        "vanishes",
        "never speaks",
        "storage",
        "runner",
        "workspace",
        "torn",
        "empty",
        "foreign nonce",
        "other attempt",
        "other run",
        "never started",
    ],
)
def test_a_fault_of_the_environment_is_tried_again_on_a_fresh_vm(
    world: World, tmp_path: Path, guest: Any
) -> None:
    plan = world.plan(tmp_path / "repo", NB_BOOT_TIMEOUT="60")
    world.guests, run = [guest, green], run_id()
    assert world.run(plan, run) is ExitCode.GREEN, world.log.getvalue() + str(world.said)
    assert len(world.inserted()) == 2
    assert world.most_alive == 1
    assert world.left() == []
    assert summary(world, run)["jobs"][0]["attempts"] == 2


def test_the_log_of_each_attempt_is_whole(world: World, plan: Plan) -> None:
    world.guests, run = [vanishing, green], run_id()
    assert world.run(plan, run) is ExitCode.GREEN
    log = published(world, run)["run.log"].decode()
    assert "# of the first attempt" in log
    assert "# cell 1/1 ok" in log


@pytest.mark.parametrize(
    "guest", [vanishing, silent, with_fault("runner")], ids=["vanishes", "silent", "runner"]
)
def test_what_fails_each_time_is_6_after_the_last_attempt(world: World, tmp_path: Path, guest: Any) -> None:
    plan = world.plan(tmp_path / "repo", NB_MAX_ATTEMPTS="2", NB_BOOT_TIMEOUT="60")
    world.guests, run = [guest], run_id()
    assert world.run(plan, run) is ExitCode.ENVIRONMENT_FAILED
    assert len(world.inserted()) == 2
    assert world.most_alive == 1
    assert world.left() == []
    assert "FAILED" in published(world, run)


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("kernel_died", ExitCode.NOTEBOOK_FAILED),
        ("disk_full", ExitCode.NOTEBOOK_FAILED),
        ("cell_timeout", ExitCode.TIME_LIMIT),
        ("notebook_timeout", ExitCode.TIME_LIMIT),
    ],
)
def test_a_fault_of_the_notebooks_own_is_never_tried_again(
    world: World, plan: Plan, reason: str, code: ExitCode
) -> None:
    world.guests, run = [with_fault(reason)], run_id()
    assert world.run(plan, run) is code
    assert len(world.inserted()) == 1
    files = published(world, run)
    assert {"FAILED", "demo.ipynb", "result.json"} <= files.keys()
    assert json.loads(files["result.json"])["verdict"] == "red"


def test_no_second_attempt_beside_a_vm_that_cannot_be_deleted(world: World, plan: Plan) -> None:
    world.guests = [with_fault("runner")]
    world.fault("compute.instances.delete", "error", times=10_000, status=503)
    assert world.run(plan) is ExitCode.ENVIRONMENT_FAILED
    assert len(world.inserted()) == 1
    assert "never two" in world.log.getvalue()


def test_a_green_run_whose_vm_cannot_be_deleted_is_0_while_its_deadline_stands(
    world: World, plan: Plan
) -> None:
    def still_running(world: World, machine: StandIn) -> None:
        desk = sit_down(world, machine)
        execute(desk)
        desk.put("evidence.json", json.dumps(desk.evidence()).encode(), listed=False)

    world.guests = [still_running]
    world.fault("compute.instances.delete", "error", times=10_000, status=503)
    assert world.run(plan) is ExitCode.GREEN, world.log.getvalue()
    last = world.log.getvalue().splitlines()[-1]
    assert "gcloud compute instances delete" in last
    assert "until 20" in last
    world.clock.advance(plan.jobs[0].limits.vm + 30)
    assert world.left() == []


def test_a_green_run_whose_vm_may_live_for_ever_is_7(world: World, plan: Plan) -> None:
    world.guests = [green]  # its VM stops itself, so that its deadline is no more
    world.fault("compute.instances.delete", "error", times=10_000, status=403, message="no")
    run = run_id()
    assert world.run(plan, run) is ExitCode.CLEANUP_UNCONFIRMED
    assert summary(world, run)["verdict"] == "green"


# Staging


def test_staging_that_fails_for_a_while_is_repeated_with_the_next_attempt(world: World, plan: Plan) -> None:
    world.guests = [green]
    world.fault(
        "storage.objects.insert", "error", times=12, status=503, match={"name": "*/workspaces/*.tar.gz"}
    )
    assert world.run(plan) is ExitCode.GREEN, world.log.getvalue() + str(world.said)
    assert world.most_alive == 1
    assert world.left() == []


def test_staging_that_is_forbidden_is_4_and_ends_the_vm(world: World, plan: Plan) -> None:
    world.guests = [silent]
    world.fault(
        "storage.objects.insert",
        "error",
        status=403,
        message="denied",
        match={"name": "*/workspaces/*.tar.gz"},
    )
    assert world.run(plan) is ExitCode.PROJECT_SETUP
    assert world.left() == []


# What stands before any job


def test_two_builds_with_one_run_id_get_an_id_each(world: World, plan: Plan) -> None:
    world.guests, run = [green], run_id()
    codes: list[ExitCode] = []
    threads = [threading.Thread(target=lambda: codes.append(world.run(plan, run))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [ExitCode.GREEN, ExitCode.GREEN], world.log.getvalue()
    assert summary(world, run)["run"] == run
    assert summary(world, f"{run}-2")["run"] == f"{run}-2"
    assert len(published(world, run)) == len(published(world, f"{run}-2"))


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param({"action": "error", "status": 403, "message": "denied"}, ProjectSetup, id="denied"),
        pytest.param(
            {"action": "error", "status": 404, "message": "The specified bucket does not exist."},
            ProjectSetup,
            id="missing",
        ),
        pytest.param({"action": "error", "status": 503}, EnvironmentFailed, id="unavailable"),
    ],
)
def test_a_bucket_that_cannot_be_used_is_told_before_any_vm(
    world: World, plan: Plan, fault: Json, error: type[BuilderError]
) -> None:
    world.fault("storage.objects.insert", times=10_000, **fault)
    with pytest.raises(error):
        world.run(plan)
    assert world.compute.inserts() == []


def test_a_sweep_that_fails_does_not_touch_the_verdict(world: World, plan: Plan) -> None:
    world.guests = [green]
    world.fault("compute.instances.aggregatedList", "error", status=403, message="may not list")
    assert world.run(plan) is ExitCode.GREEN
    assert "may not list" in world.log.getvalue()


# Several notebooks


def by_notebook(**guests: Any) -> Any:
    """A guest that behaves as its notebook's name says."""

    def guest(world: World, machine: StandIn) -> None:
        guests[sit_down(world, machine).job["job_id"]](world, machine)

    return guest


def test_with_several_notebooks_the_gravest_decides(world: World, tmp_path: Path) -> None:
    plan = world.plan(tmp_path / "repo", ("a.ipynb", "b.ipynb", "c.ipynb", "d.ipynb"), NB_MAX_ATTEMPTS="1")
    world.guests, run = (
        [by_notebook(a=green, b=with_fault("kernel_died"), c=with_fault("cell_timeout"), d=vanishing)],
        run_id(),
    )
    assert world.run(plan, run) is ExitCode.ENVIRONMENT_FAILED, world.log.getvalue()
    codes = {job["job"]: job["exit_code"] for job in summary(world, run)["jobs"]}
    assert codes == {"a": 0, "b": 1, "c": 5, "d": 6}
    assert world.left() == []


@pytest.mark.parametrize("fail_fast", ["true", "false"])
def test_fail_fast_starts_nothing_after_the_first_failure(
    world: World, tmp_path: Path, fail_fast: str
) -> None:
    plan = world.plan(
        tmp_path / "repo",
        ("a.ipynb", "b.ipynb", "c.ipynb"),
        NB_FAIL_FAST=fail_fast,
        NB_CONCURRENCY="1",
    )
    world.guests, run = [with_fault("kernel_died"), green], run_id()
    assert world.run(plan, run) is ExitCode.NOTEBOOK_FAILED
    reasons = [job["reason"] for job in summary(world, run)["jobs"]]
    later = ["not_started", "not_started"] if fail_fast == "true" else ["green", "green"]
    assert reasons[1:] == later
    assert len(world.inserted()) == (1 if fail_fast == "true" else 3)


def test_no_more_vms_at_once_than_concurrency_allows(world: World, tmp_path: Path) -> None:
    plan = world.plan(tmp_path / "repo", ("a.ipynb", "b.ipynb", "c.ipynb", "d.ipynb"), NB_CONCURRENCY="2")
    world.guests = [green]
    assert world.run(plan) is ExitCode.GREEN
    assert world.most_alive <= 2


# What was there before


def plan_of_day(world: World, folder: Path, day: str) -> Plan:
    """A scheduled run's plan: it publishes into the day's folder, as earlier and later runs do."""
    return world.plan(folder, NB_EVENT=json.dumps({"today": day}))


def test_what_an_older_run_left_is_removed(world: World, tmp_path: Path) -> None:
    folder = "versions/2018-04-01"
    plan = plan_of_day(world, tmp_path / "repo", "2018-04-01")
    old = {
        "outputs/old.csv": b"old",
        "FAILED": b"old",
        "demo.ipynb": b"old",
        "result.json": b'{"verdict": "red"}',
    }
    for name, content in old.items():
        world.store().replace(f"{world.prefix}/{folder}/demo/{name}", content, content_type="text/plain")
    world.guests = [green]
    assert world.run(plan) is ExitCode.GREEN
    files = published(world, "", folder=folder)
    assert {"demo.ipynb", "demo.html", "outputs/out.csv", "run.log", "result.json"} == files.keys()
    assert b"old" not in files.values()


def test_a_red_run_never_replaces_a_green_version(world: World, tmp_path: Path) -> None:
    folder, run = "versions/2018-04-02", run_id()
    plan = plan_of_day(world, tmp_path / "repo", "2018-04-02")
    world.guests = [green]
    assert world.run(plan) is ExitCode.GREEN
    before = published(world, "", folder=folder)
    world.guests = [with_fault("kernel_died")]
    assert world.run(plan, run) is ExitCode.NOTEBOOK_FAILED
    assert published(world, "", folder=folder) == before
    assert {"FAILED", "demo.ipynb", "result.json"} <= published(world, run).keys()


def test_a_red_run_replaces_a_red_version(world: World, tmp_path: Path) -> None:
    folder = "versions/2018-04-03"
    plan = plan_of_day(world, tmp_path / "repo", "2018-04-03")
    world.guests = [with_fault("kernel_died")]
    world.run(plan)
    world.guests = [with_fault("disk_full")]
    world.run(plan)
    result = json.loads(published(world, "", folder=folder)["result.json"])
    assert result["reason"] == "disk_full"


def test_a_run_without_an_event_publishes_below_its_own_results_alone(world: World, tmp_path: Path) -> None:
    scheduled = plan_of_day(world, tmp_path / "repo", "2018-04-04")
    world.guests = [green]
    assert world.run(scheduled) is ExitCode.GREEN
    before = published(world, "", folder="versions/2018-04-04")
    plan, run = world.plan(tmp_path / "repo", NB_OUTPUT="results/<run>/figures"), run_id()
    assert world.run(plan, run) is ExitCode.GREEN
    assert "result.json" in published(world, "", folder=f"results/{run}/figures")
    assert published(world, "", folder="versions/2018-04-04") == before


def test_results_that_cannot_be_published_are_not_green(world: World, plan: Plan) -> None:
    world.guests, run = [green], run_id()
    world.fault("storage.objects.rewrite", "error", times=10_000, status=503)
    assert world.run(plan, run) is ExitCode.ENVIRONMENT_FAILED
    assert "result.json" not in published(world, run)
    assert summary(world, run)["verdict"] == "red"


# Objects that are not what the VM wrote (faults of the bucket itself)


@pytest.mark.parametrize("name", ["demo.ipynb", "outputs/out.csv", "evidence.json"])
@pytest.mark.parametrize(
    ("action", "args"), [("lose", {}), ("truncate", {"bytes": 3})], ids=["lost", "truncated"]
)
def test_an_object_that_is_lost_or_cut_is_never_green(
    world: World, tmp_path: Path, name: str, action: str, args: Json
) -> None:
    plan = world.plan(tmp_path / "repo", NB_MAX_ATTEMPTS="1", NB_BOOT_TIMEOUT="60")
    world.guests = [green]
    world.fault("storage.objects.insert", action, match={"name": f"*/attempt-1/{name}"}, **args)
    assert world.run(plan) is ExitCode.ENVIRONMENT_FAILED, world.log.getvalue()
    assert world.left() == []


@pytest.mark.parametrize("name", ["demo.ipynb", "evidence.json"])
def test_an_object_that_is_stored_broken_is_never_green(world: World, plan: Plan, name: str) -> None:
    world.guests = [green]
    world.fault("storage.objects.insert", "corrupt", match={"name": f"*/attempt-1/{name}"})
    assert world.run(plan) is ExitCode.GREEN, "the second attempt is whole"
    assert len(world.inserted()) == 2


# Passing faults on each call of a run

_CALLS = [
    "compute.images.getFromFamily",
    "compute.instances.insert",
    "compute.zoneOperations.wait",
    "compute.instances.get",
    "compute.instances.delete",
    "compute.instances.aggregatedList",
    "storage.objects.insert",
    "storage.objects.get",
    "storage.objects.list",
    "storage.objects.rewrite",
]
_FAULTS: dict[str, Json] = {
    "503": {"action": "error", "status": 503},
    "reply lost": {"action": "drop_after"},
}


@pytest.mark.parametrize("fault", _FAULTS)
@pytest.mark.parametrize("call", _CALLS)
def test_a_run_under_passing_faults_is_green_with_one_vm(
    world: World, plan: Plan, call: str, fault: str
) -> None:
    world.guests = [green]
    world.fault(call, times=2, match={"caller": "builder@*"}, **_FAULTS[fault])
    assert world.run(plan) is ExitCode.GREEN, world.log.getvalue() + str(world.said)
    assert len(world.inserted()) == 1
    assert world.left() == []


def test_a_run_under_every_passing_fault_at_once_is_green(world: World, plan: Plan) -> None:
    world.guests = [green]
    for call in _CALLS:
        if call == "compute.zoneOperations.wait":
            continue  # an operation that is done when its lost reply is repeated is not waited for
        for fault in _FAULTS.values():
            world.fault(call, match={"caller": "builder@*"}, **fault)
    assert world.run(plan) is ExitCode.GREEN, world.log.getvalue() + str(world.said)
    assert len(world.inserted()) == 1
    assert world.left() == []


@pytest.mark.parametrize("call", [*_CALLS, "storage.objects.delete"])
def test_a_run_under_a_fault_without_end_ends_and_is_never_green_by_mistake(
    world: World, tmp_path: Path, call: str
) -> None:
    """Whatever is down for ever: the run ends, within its limits, and its VM with it or by its deadline."""
    plan = world.plan(tmp_path / "repo", NB_MAX_ATTEMPTS="1", NB_BOOT_TIMEOUT="60")
    world.guests = [green]
    world.fault(call, "error", times=100_000, status=503, match={"caller": "builder@*"})
    started = world.time.monotonic()
    try:
        code = world.run(plan)
    except EnvironmentFailed:
        code = ExitCode.ENVIRONMENT_FAILED
    harmless = {
        "compute.instances.aggregatedList",
        "compute.instances.get",
        "compute.instances.delete",
        "storage.objects.delete",
    }
    allowed = {ExitCode.ENVIRONMENT_FAILED}
    if call in harmless:
        allowed |= {ExitCode.GREEN, ExitCode.CLEANUP_UNCONFIRMED}
    assert code in allowed, world.log.getvalue()
    assert world.time.monotonic() - started < plan.jobs[0].limits.vm + 60
    world.clock.advance(plan.jobs[0].limits.vm + 30)
    if call != "compute.instances.delete":
        assert world.left() == []
