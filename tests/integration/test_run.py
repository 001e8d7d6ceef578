"""Whole runs through Google's clients: attempts, retries, verdicts, exit codes, what is published, and what is left."""

from __future__ import annotations

import json
import posixpath
import re
import threading
import time
import uuid
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import pytest

from builder.act import lease
from builder.act.job_record import JobRecord
from builder.act.result import RunResult
from builder.errors import BuilderError, EnvironmentFailed, ExitCode, ProjectSetup
from builder.model import GcsLocation
from builder.options.message import Message
from builder.plan.build_plan import Plan
from builder.plan.event import RunRequest, day_folder
from builder.ports import ObjectStore
from builder.report.folder_page import write_folder_pages
from builder.report.history import add_to_history
from builder.report.latest import write_latest
from builder.vm.protocol import MAX_EVIDENCE_BYTES
from tests.integration.cloud_fixture import BUCKET, CloudFixture, Guest, StandIn
from tests.integration.simulated_guests import (
    altered,
    execute,
    failing,
    green,
    open_session,
    silent,
    vanishing,
    with_fault,
)
from tests.integration.test_call_faults import MAY_MISS
from tests.patience import PATIENCE
from tests.unit import sample_reports
from tests.vm.hostile import payloads

Json = dict[str, Any]


def published(cloud_fixture: CloudFixture, run: str, job: str = "demo", folder: str = "") -> dict[str, bytes]:
    store = cloud_fixture.store()
    prefix = f"{cloud_fixture.prefix}/{folder or f'results/{run}'}/{job}/"
    return {item.name.removeprefix(prefix): store.read(item.name) or b"" for item in store.list(prefix)}


def summary(cloud_fixture: CloudFixture, run: str) -> Json:
    return dict(
        json.loads(cloud_fixture.store().read(f"{cloud_fixture.prefix}/results/{run}/summary.json") or b"{}")
    )


def run_id() -> str:
    return f"run-{uuid.uuid4().hex[:8]}"


def test_a_run_is_green_and_leaves_nothing(cloud_fixture: CloudFixture, plan: Plan) -> None:
    cloud_fixture.guests, run = [green], run_id()
    assert cloud_fixture.run(plan, run) is ExitCode.GREEN, cloud_fixture.log.getvalue() + str(
        cloud_fixture.said
    )
    assert cloud_fixture.left() == []
    assert len(cloud_fixture.inserted()) == 1
    files = published(cloud_fixture, run)
    assert {"demo.ipynb", "demo.html", "outputs/out.csv", "run.log", "result.json"} == files.keys()
    assert json.loads(files["result.json"])["verdict"] == "green"
    assert summary(cloud_fixture, run)["verdict"] == "green"
    assert cloud_fixture.store().list(f"{cloud_fixture.prefix}/open/{run}/") == []


def test_a_ledger_that_cannot_be_written_changes_no_verdict(cloud_fixture: CloudFixture, plan: Plan) -> None:
    cloud_fixture.guests = [green]
    no_entry = {"name": f"{cloud_fixture.prefix}/open/*"}
    cloud_fixture.fault("storage.objects.insert", "error", status=403, message="no", times=9, match=no_entry)
    assert cloud_fixture.run(plan, run_id()) is ExitCode.GREEN, cloud_fixture.log.getvalue()
    assert cloud_fixture.left() == []


def test_every_link_of_the_report_leads_to_an_object(cloud_fixture: CloudFixture, tmp_path: Path) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", ["demo.ipynb", "bad.ipynb"])
    run = run_id()
    cloud_fixture.guests = [green, with_fault("kernel_died")]
    assert cloud_fixture.run(plan, run) is ExitCode.NOTEBOOK_FAILED
    folder = f"{cloud_fixture.prefix}/results/{run}/"
    there = {item.name.removeprefix(folder) for item in cloud_fixture.store().list(folder)}
    page = cloud_fixture.store().read(f"{folder}index.html") or b""
    links = {unquote(link) for link in re.findall(r'href="([^"#]+)"', page.decode())}
    assert {"demo/demo.ipynb", "demo/outputs/out.csv", "bad/run.log", "summary.json"} <= links
    assert links <= there


def test_a_run_renews_the_lease_that_its_vms_watch(
    cloud_fixture: CloudFixture, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_RENEW_SECONDS", 1.2)
    run = run_id()
    renewals: list[bytes] = []

    def watching(place: CloudFixture, machine: StandIn) -> None:
        terms = open_session(place, machine).job["lease"]
        assert terms["seconds"] == lease.LEASE_SECONDS
        until = time.monotonic() + PATIENCE
        while len(renewals) < 2 and time.monotonic() < until:
            content = place.store().read(terms["object"])
            if content and content not in renewals:
                renewals.append(content)
            time.sleep(0.05)
        green(place, machine)

    cloud_fixture.guests = [watching]
    assert cloud_fixture.run(plan, run) is ExitCode.GREEN
    assert [json.loads(content)["run"] for content in renewals] == [run, run]


def test_a_bug_in_a_renewal_is_reported_and_the_next_one_is_made(
    cloud_fixture: CloudFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_RENEW_SECONDS", 0.05)
    store, location, told = cloud_fixture.store(), GcsLocation(BUCKET, cloud_fixture.prefix), list[str]()
    replace, calls, renewed = store.replace, iter(range(9**9)), threading.Event()

    def broken(*arguments: Any, **options: Any) -> Any:
        if next(calls) == 0:
            raise RuntimeError
        written = replace(*arguments, **options)
        renewed.set()
        return written

    monkeypatch.setattr(store, "replace", broken)
    with lease.LeaseRenewer(store, location, run_id(), told.append):
        assert renewed.wait(PATIENCE)
    (warning,) = told
    assert warning.startswith(
        "warning: because of a bug in Notebook Builder (RuntimeError), this run did not renew its lease"
    )


# The environment's faults: a fresh attempt, and never two VMs of one job


def also(guest: Guest, name: str) -> Any:
    """A case of `make test-all`: tests/unit/test_verdict.py shows that such evidence is the environment's fault."""
    return pytest.param(guest, id=name, marks=pytest.mark.exhaustive)


@pytest.mark.always(2)
@pytest.mark.parametrize(
    "guest",
    [
        pytest.param(vanishing, id="vanishes"),
        pytest.param(silent, id="never speaks"),
        pytest.param(with_fault("storage"), id="storage"),
        also(with_fault("runner"), "runner"),
        also(with_fault("workspace"), "workspace"),
        pytest.param(altered(lambda _desk, _evidence: b"{"), id="torn"),
        also(altered(lambda _desk, _evidence: b""), "empty"),
        pytest.param(altered(lambda _desk, evidence: {**evidence, "nonce": "another"}), id="foreign nonce"),
        also(altered(lambda _desk, evidence: {**evidence, "attempt": 9}), "other attempt"),
        also(altered(lambda _desk, evidence: {**evidence, "run": "another"}), "other run"),
        also(altered(lambda _desk, evidence: {**evidence, "papermill": None}), "never started"),
    ],
)
def test_a_fault_of_the_environment_is_tried_again_on_a_fresh_vm(
    cloud_fixture: CloudFixture, tmp_path: Path, guest: Any
) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_BOOT_TIMEOUT="60")
    cloud_fixture.guests, run = [guest, green], run_id()
    assert cloud_fixture.run(plan, run) is ExitCode.GREEN, cloud_fixture.log.getvalue() + str(
        cloud_fixture.said
    )
    assert len(cloud_fixture.inserted()) == 2
    assert cloud_fixture.most_alive == 1
    assert cloud_fixture.left() == []
    assert summary(cloud_fixture, run)["jobs"][0]["attempts"] == 2


def test_evidence_of_any_size_is_6_with_its_limit(cloud_fixture: CloudFixture, tmp_path: Path) -> None:
    cloud_fixture.guests = [
        altered(lambda _desk, evidence: json.dumps(evidence).encode() + b" " * (24 * 2**20))
    ]
    plan = cloud_fixture.plan(tmp_path / "repo", NB_MAX_ATTEMPTS="1")
    assert cloud_fixture.run(plan) is ExitCode.ENVIRONMENT_FAILED
    said = cloud_fixture.log.getvalue()
    assert f"evidence.json: more than the {MAX_EVIDENCE_BYTES} bytes that are read" in said
    assert cloud_fixture.left() == []


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        pytest.param(
            [
                "failed: unreachable: no connection to storage.googleapis.com:443 opens from this VM: timed out"
            ],
            "gcloud compute networks subnets update default --project=local-project --region=us-central1 "
            "--enable-private-ip-google-access",
            id="no Private Google Access",
        ),
        pytest.param(
            [
                "heartbeat: gs://b/h: Forbidden: 403 lacks storage.objects.create",
                "failed: runner: exit status 1",
            ],
            "lacks storage.objects.create",
            id="no role on staging",
        ),
    ],
)
def test_a_vm_that_says_that_the_set_up_is_wrong_is_4_after_one_vm(
    cloud_fixture: CloudFixture, plan: Plan, lines: list[str], words: str
) -> None:
    """With the default limit on the boot, 600 s."""
    cloud_fixture.guests = [failing(*lines)]
    started = cloud_fixture.time.monotonic()
    assert cloud_fixture.run(plan) is ExitCode.PROJECT_SETUP, cloud_fixture.log.getvalue()
    assert words in cloud_fixture.log.getvalue()
    assert len(cloud_fixture.inserted()) == 1
    assert cloud_fixture.time.monotonic() - started < 50
    assert cloud_fixture.left() == []


def test_the_log_of_each_attempt_is_whole(cloud_fixture: CloudFixture, plan: Plan) -> None:
    cloud_fixture.guests, run = [vanishing, green], run_id()
    assert cloud_fixture.run(plan, run) is ExitCode.GREEN
    log = published(cloud_fixture, run)["run.log"].decode()
    assert "# of the first attempt" in log
    assert "# cell 1/1 ok" in log


@pytest.mark.always(1)
@pytest.mark.parametrize(
    "guest", [vanishing, silent, with_fault("runner")], ids=["vanishes", "silent", "runner"]
)
def test_a_fault_in_every_attempt_ends_with_6_after_the_last(
    cloud_fixture: CloudFixture, tmp_path: Path, guest: Any
) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_MAX_ATTEMPTS="2", NB_BOOT_TIMEOUT="60")
    cloud_fixture.guests, run = [guest], run_id()
    assert cloud_fixture.run(plan, run) is ExitCode.ENVIRONMENT_FAILED
    assert len(cloud_fixture.inserted()) == 2
    assert cloud_fixture.most_alive == 1
    assert cloud_fixture.left() == []
    assert "FAILED" in published(cloud_fixture, run)


@pytest.mark.always(2)
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
    cloud_fixture: CloudFixture, plan: Plan, reason: str, code: ExitCode
) -> None:
    cloud_fixture.guests, run = [with_fault(reason)], run_id()
    assert cloud_fixture.run(plan, run) is code
    assert len(cloud_fixture.inserted()) == 1
    files = published(cloud_fixture, run)
    assert {"FAILED", "demo.ipynb", "result.json"} <= files.keys()
    assert json.loads(files["result.json"])["verdict"] == "red"


def test_no_second_attempt_beside_a_vm_that_cannot_be_deleted(
    cloud_fixture: CloudFixture, plan: Plan
) -> None:
    cloud_fixture.guests = [with_fault("runner")]
    cloud_fixture.fault("compute.instances.delete", "error", times=10_000, status=503)
    assert cloud_fixture.run(plan) is ExitCode.ENVIRONMENT_FAILED
    assert len(cloud_fixture.inserted()) == 1
    assert "never has two VMs" in cloud_fixture.log.getvalue()


def test_a_green_run_whose_vm_cannot_be_deleted_is_0_while_its_deadline_stands(
    cloud_fixture: CloudFixture, plan: Plan
) -> None:
    def still_running(cloud_fixture: CloudFixture, machine: StandIn) -> None:
        session = open_session(cloud_fixture, machine)
        execute(session)
        session.put("evidence.json", json.dumps(session.evidence()).encode(), listed=False)

    cloud_fixture.guests = [still_running]
    cloud_fixture.fault("compute.instances.delete", "error", times=10_000, status=503)
    assert cloud_fixture.run(plan) is ExitCode.GREEN, cloud_fixture.log.getvalue()
    last = cloud_fixture.log.getvalue().splitlines()[-1]
    assert "gcloud compute instances delete" in last
    assert "until 20" in last
    cloud_fixture.clock.advance(plan.jobs[0].limits.vm + 30)
    assert cloud_fixture.left() == []


def test_a_green_run_whose_vm_may_live_for_ever_is_7(cloud_fixture: CloudFixture, plan: Plan) -> None:
    cloud_fixture.guests = [green]  # its VM stops itself, so that its deadline is no more
    cloud_fixture.fault("compute.instances.delete", "error", times=10_000, status=403, message="no")
    run = run_id()
    assert cloud_fixture.run(plan, run) is ExitCode.CLEANUP_UNCONFIRMED
    assert summary(cloud_fixture, run)["verdict"] == "green"


# Staging


def test_staging_that_fails_for_a_while_is_repeated_with_the_next_attempt(
    cloud_fixture: CloudFixture, plan: Plan
) -> None:
    cloud_fixture.guests = [green]
    cloud_fixture.fault(
        "storage.objects.insert", "error", times=14, status=503, match={"name": "*/workspaces/*.tar.gz"}
    )
    assert cloud_fixture.run(plan) is ExitCode.GREEN, cloud_fixture.log.getvalue() + str(cloud_fixture.said)
    assert len(cloud_fixture.inserted()) == 2
    assert cloud_fixture.most_alive == 1
    assert cloud_fixture.left() == []


def test_staging_that_is_forbidden_is_4_and_ends_the_vm(cloud_fixture: CloudFixture, plan: Plan) -> None:
    cloud_fixture.guests = [silent]
    cloud_fixture.fault(
        "storage.objects.insert",
        "error",
        status=403,
        message="denied",
        match={"name": "*/workspaces/*.tar.gz"},
    )
    assert cloud_fixture.run(plan) is ExitCode.PROJECT_SETUP
    assert cloud_fixture.left() == []


# What stands before any job


def test_two_builds_with_one_run_id_get_an_id_each(cloud_fixture: CloudFixture, plan: Plan) -> None:
    cloud_fixture.guests, run = [green], run_id()
    codes: list[ExitCode] = []
    threads = [threading.Thread(target=lambda: codes.append(cloud_fixture.run(plan, run))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [ExitCode.GREEN, ExitCode.GREEN], cloud_fixture.log.getvalue()
    assert summary(cloud_fixture, run)["run"] == run
    assert summary(cloud_fixture, f"{run}-2")["run"] == f"{run}-2"
    assert len(published(cloud_fixture, run)) == len(published(cloud_fixture, f"{run}-2"))


def test_results_keep_their_run_id_if_staging_is_cleaned(cloud_fixture: CloudFixture, plan: Plan) -> None:
    """docs/deploy.md lets users delete what lies in staging/."""
    cloud_fixture.guests, run = [green], run_id()
    assert cloud_fixture.run(plan, run) is ExitCode.GREEN
    first = published(cloud_fixture, run)
    store = cloud_fixture.store()
    for item in store.list(f"{cloud_fixture.prefix}/staging/{run}/"):
        store.delete(item.name, generation=item.generation)
    assert cloud_fixture.run(plan, run) is ExitCode.GREEN
    assert published(cloud_fixture, run) == first
    assert summary(cloud_fixture, f"{run}-2")["run"] == f"{run}-2"


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
def test_an_unusable_bucket_is_reported_before_any_vm_starts(
    cloud_fixture: CloudFixture, plan: Plan, fault: Json, error: type[BuilderError]
) -> None:
    cloud_fixture.fault("storage.objects.insert", times=10_000, **fault)
    with pytest.raises(error):
        cloud_fixture.run(plan)
    assert cloud_fixture.compute.inserts() == []


def test_a_sweep_that_fails_does_not_touch_the_verdict(cloud_fixture: CloudFixture, plan: Plan) -> None:
    cloud_fixture.guests = [green]
    cloud_fixture.fault("compute.instances.aggregatedList", "error", status=403, message="may not list")
    assert cloud_fixture.run(plan) is ExitCode.GREEN
    assert "may not list" in cloud_fixture.log.getvalue()


# Several notebooks


def by_notebook(**guests: Any) -> Any:
    """A guest that behaves as its notebook's name says."""

    def guest(cloud_fixture: CloudFixture, machine: StandIn) -> None:
        guests[open_session(cloud_fixture, machine).job["job_id"]](cloud_fixture, machine)

    return guest


def test_with_several_notebooks_the_gravest_decides(cloud_fixture: CloudFixture, tmp_path: Path) -> None:
    plan = cloud_fixture.plan(
        tmp_path / "repo", ("a.ipynb", "b.ipynb", "c.ipynb", "d.ipynb"), NB_MAX_ATTEMPTS="1"
    )
    cloud_fixture.guests, run = (
        [by_notebook(a=green, b=with_fault("kernel_died"), c=with_fault("cell_timeout"), d=vanishing)],
        run_id(),
    )
    assert cloud_fixture.run(plan, run) is ExitCode.ENVIRONMENT_FAILED, cloud_fixture.log.getvalue()
    codes = {job["job"]: job["exit_code"] for job in summary(cloud_fixture, run)["jobs"]}
    assert codes == {"a": 0, "b": 1, "c": 5, "d": 6}
    assert cloud_fixture.left() == []


@pytest.mark.parametrize("fail_fast", ["true", "false"])
def test_fail_fast_starts_nothing_after_the_first_failure(
    cloud_fixture: CloudFixture, tmp_path: Path, fail_fast: str
) -> None:
    plan = cloud_fixture.plan(
        tmp_path / "repo",
        ("a.ipynb", "b.ipynb", "c.ipynb"),
        NB_FAIL_FAST=fail_fast,
        NB_CONCURRENCY="1",
    )
    cloud_fixture.guests, run = [with_fault("kernel_died"), green], run_id()
    assert cloud_fixture.run(plan, run) is ExitCode.NOTEBOOK_FAILED
    reasons = [job["reason"] for job in summary(cloud_fixture, run)["jobs"]]
    later = ["not_started", "not_started"] if fail_fast == "true" else ["green", "green"]
    assert reasons[1:] == later
    assert len(cloud_fixture.inserted()) == (1 if fail_fast == "true" else 3)


def test_fail_fast_starts_nothing_after_results_that_cannot_be_published(
    cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    plan = cloud_fixture.plan(
        tmp_path / "repo", ("a.ipynb", "b.ipynb"), NB_FAIL_FAST="true", NB_CONCURRENCY="1"
    )
    cloud_fixture.guests, run = [green], run_id()
    cloud_fixture.fault("storage.objects.rewrite", "error", times=10_000, status=503)
    assert cloud_fixture.run(plan, run) is ExitCode.ENVIRONMENT_FAILED
    reasons = [job["reason"] for job in summary(cloud_fixture, run)["jobs"]]
    assert reasons == ["api_unavailable", "not_started"]


def test_a_bug_after_an_attempt_leaves_the_number_of_attempts(
    cloud_fixture: CloudFixture, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: Any, **_options: Any) -> Any:
        raise RuntimeError

    monkeypatch.setattr(JobRecord, "publish", broken)
    cloud_fixture.guests, run = [green], run_id()
    assert cloud_fixture.run(plan, run) is ExitCode.BUG
    (job,) = summary(cloud_fixture, run)["jobs"]
    assert (job["reason"], job["attempts"]) == ("bug", 1)
    assert cloud_fixture.left() == []


def test_as_many_vms_at_once_as_concurrency_allows_and_no_more(
    cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    names = ("a.ipynb", "b.ipynb", "c.ipynb", "d.ipynb")
    plan = cloud_fixture.plan(tmp_path / "repo", names, NB_CONCURRENCY="2", NB_BOOT_TIMEOUT="7200")
    pair = threading.Barrier(2)

    def meets_another(cloud: CloudFixture, machine: StandIn) -> None:
        pair.wait(PATIENCE)
        green(cloud, machine)

    cloud_fixture.guests = [meets_another]
    assert cloud_fixture.run(plan) is ExitCode.GREEN
    assert cloud_fixture.most_alive == 2


# What was there before


def plan_of_day(cloud_fixture: CloudFixture, folder: Path, day: str) -> Plan:
    """A scheduled run's plan: it publishes into the day's folder, as earlier and later runs do."""
    return cloud_fixture.plan(folder, NB_EVENT=json.dumps({"today": day}))


def test_objects_of_an_older_run_are_removed(cloud_fixture: CloudFixture, tmp_path: Path) -> None:
    folder = "versions/2018-04-01"
    plan = plan_of_day(cloud_fixture, tmp_path / "repo", "2018-04-01")
    old = {
        "outputs/old.csv": b"old",
        "FAILED": b"old",
        "demo.ipynb": b"old",
        "result.json": b'{"verdict": "red"}',
    }
    for name, content in old.items():
        cloud_fixture.store().replace(
            f"{cloud_fixture.prefix}/{folder}/demo/{name}", content, content_type="text/plain"
        )
    cloud_fixture.guests = [green]
    assert cloud_fixture.run(plan) is ExitCode.GREEN
    files = published(cloud_fixture, "", folder=folder)
    assert {"demo.ipynb", "demo.html", "outputs/out.csv", "run.log", "result.json"} == files.keys()
    assert b"old" not in files.values()


def test_a_message_with_values_never_replaces_the_days_results(
    cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    folder = "versions/2018-04-06"
    plan = plan_of_day(cloud_fixture, tmp_path / "repo", "2018-04-06")
    cloud_fixture.guests = [green]
    assert cloud_fixture.run(plan) is ExitCode.GREEN
    before = published(cloud_fixture, "", folder=folder)
    own = day_folder(RunRequest(plan.today, plan.today, Message(parameters={"city": "Paris"})))
    assert own.startswith(f"{folder}/city=paris-")
    for _ in range(2):
        assert cloud_fixture.run(replace(plan, output=own)) is ExitCode.GREEN
        assert "result.json" in published(cloud_fixture, "", folder=own)
    assert published(cloud_fixture, "", folder=folder) == before
    assert cloud_fixture.run(plan) is ExitCode.GREEN
    assert "result.json" in published(cloud_fixture, "", folder=own)


def latest(cloud_fixture: CloudFixture) -> Json:
    """Return the entry of the only job in versions/latest/latest.json."""
    found = cloud_fixture.store().read(f"{cloud_fixture.prefix}/versions/latest/latest.json")
    return dict(json.loads(found or b'{"jobs": {}}')["jobs"].get("demo", {}))


def page(cloud_fixture: CloudFixture, folder: str) -> str:
    return (cloud_fixture.store().read(f"{cloud_fixture.prefix}/{folder}/index.html") or b"").decode()


@pytest.fixture
def days(cloud_fixture: CloudFixture) -> CloudFixture:
    """The bucket is shared by all tests of a worker, so those of versions/latest/ have a prefix of their own."""
    cloud_fixture.use_prefix(f"days-{uuid.uuid4().hex[:8]}")
    cloud_fixture.guests = [green]
    return cloud_fixture


def test_the_latest_folder_names_the_green_results_of_the_latest_day(
    days: CloudFixture, tmp_path: Path
) -> None:
    def run(day: str, name: str) -> tuple[str, str]:
        days.run(plan_of_day(days, tmp_path / "repo", day), name)
        return latest(days)["run"], latest(days)["day"]

    assert run("2018-04-07", "first") == ("first", "2018-04-07")
    assert latest(days)["output"] == f"gs://{BUCKET}/{days.prefix}/versions/2018-04-07/demo/"
    assert run("2018-04-06", "earlier-day") == ("first", "2018-04-07")
    days.guests = [with_fault("kernel_died")]
    assert run("2018-04-08", "red") == ("first", "2018-04-07")
    days.guests = [green]
    assert run("2018-04-07", "same-day") == ("same-day", "2018-04-07")
    assert run("2018-04-08", "later-day") == ("later-day", "2018-04-08")
    assert run("2062-04-08", "future") == ("later-day", "2018-04-08")
    assert "latest: 1 of 1 notebooks green" in page(days, "versions/latest")


def test_two_runs_that_write_the_latest_folder_at_once_are_both_named(days: CloudFixture) -> None:
    store, location, day = days.store(), GcsLocation(BUCKET, days.prefix), date(2018, 4, 7)

    def result(name: str) -> RunResult:
        output = location.url("versions", day.isoformat(), name) + "/"
        return sample_reports.report(sample_reports.job(name, sample_reports.GREEN, output=output)).result

    class Slow:
        """A bucket in which another run is faster, once, just before the first write."""

        bucket, faster = store.bucket, True

        def __getattr__(self, name: str) -> Any:
            if name == "swap" and self.faster:
                self.faster = False
                write_latest(result("other"), store, location, day, days.said.append)
            return getattr(store, name)

    write_latest(result("own"), cast("ObjectStore", Slow()), location, day, days.said.append)
    raw = store.read(location.object("versions/latest/latest.json")) or b""
    assert json.loads(raw)["jobs"].keys() == {"own", "other"}
    assert "2 of 2 notebooks green" in page(days, "versions/latest")
    assert days.said == []


def test_objects_that_others_change_at_each_try_are_a_warning(days: CloudFixture) -> None:
    store, location = days.store(), GcsLocation(BUCKET, days.prefix)
    ran = sample_reports.job(
        "demo", sample_reports.GREEN, output=location.url("versions/2018-04-07/demo") + "/"
    )
    result = sample_reports.report(ran).result
    store.replace(
        location.object("versions/2018-04-07/demo/result.json"),
        b'{"schema": 1}',
        content_type="application/json",
    )

    class Busy:
        """A bucket in which another run is always faster."""

        def __getattr__(self, name: str) -> Any:
            return (lambda *_, **__: None) if name == "swap" else getattr(store, name)

    busy = cast("ObjectStore", Busy())
    write_folder_pages(result, busy, location, days.said.append)
    assert add_to_history(result, busy, location, days.said.append) == {}
    write_latest(result, busy, location, date(2018, 4, 7), days.said.append)
    page, history, latest_folder = days.said
    assert page.startswith(f"warning: {location.url('versions/2018-04-07/index.html')} was not updated")
    assert history.startswith("warning: the report shows no earlier runs, because other runs changed")
    assert latest_folder.startswith(f"warning: other runs write {location.url('versions/latest')}/")


def test_a_latest_folder_that_cannot_be_written_is_a_warning(days: CloudFixture, tmp_path: Path) -> None:
    days.fault(
        "storage.objects.insert", "error", status=403, message="no", match={"name": "*/versions/latest/*"}
    )
    assert days.run(plan_of_day(days, tmp_path / "repo", "2018-04-07")) is ExitCode.GREEN
    assert "versions/latest/ does not name this run" in days.log.getvalue()


def test_each_folder_of_jobs_has_a_page_whose_links_lead_to_objects(
    days: CloudFixture, tmp_path: Path
) -> None:
    cloud_fixture = days
    plan = plan_of_day(cloud_fixture, tmp_path / "repo", "2018-04-07")
    cloud_fixture.guests = [green]
    assert cloud_fixture.run(plan, "official") is ExitCode.GREEN
    values = day_folder(RunRequest(plan.today, plan.today, Message(parameters={"city": "Paris"})))
    asked = replace(plan, output=values, latest=False)
    cloud_fixture.guests = [with_fault("kernel_died")]
    assert cloud_fixture.run(asked, "asked") is ExitCode.NOTEBOOK_FAILED
    there = {
        item.name.removeprefix(cloud_fixture.prefix)
        for item in cloud_fixture.store().list(cloud_fixture.prefix)
    }
    for folder in ("versions/2018-04-07", "versions/latest", values):
        shown = page(cloud_fixture, folder)
        links = [unquote(link) for link in re.findall(r'href="([^"#]+)"', shown)]
        assert links
        assert {posixpath.normpath(f"/{folder}/{link}") for link in links} <= there
    shown = page(cloud_fixture, "versions/2018-04-07")
    assert "2018-04-07: 1 of 2 jobs green" in shown, "both are of one notebook"
    assert shown.index("/demo</span>") < shown.index(">demo</span>"), "the red one of the message comes first"


def test_a_folders_page_escapes_what_a_result_says(cloud_fixture: CloudFixture) -> None:
    store, location = cloud_fixture.store(), GcsLocation(BUCKET, cloud_fixture.prefix)
    ran = sample_reports.job(
        "demo", sample_reports.GREEN, output=location.url("versions/2018-04-07/demo") + "/"
    )
    result = sample_reports.report(ran).result

    def elements(text: str) -> set[str]:
        document = {"schema": 1, "notebook": f"{text}.ipynb", "parameters": {text: text}}
        document |= dict.fromkeys(("run", "verdict", "message", "day", "seconds"), text)
        name = location.object("versions/2018-04-07/demo/result.json")
        store.replace(name, json.dumps(document).encode(), content_type="application/json")
        write_folder_pages(result, store, location, cloud_fixture.said.append)
        return set(re.findall(r"<([^ >]*)", page(cloud_fixture, "versions/2018-04-07")))

    honest = elements("text")
    assert {"details", "a"} <= honest
    assert all(elements(text) == honest for text in payloads())
    assert cloud_fixture.said == []


def test_a_red_run_never_replaces_a_green_version(cloud_fixture: CloudFixture, tmp_path: Path) -> None:
    folder, run = "versions/2018-04-02", run_id()
    plan = plan_of_day(cloud_fixture, tmp_path / "repo", "2018-04-02")
    cloud_fixture.guests = [green]
    assert cloud_fixture.run(plan) is ExitCode.GREEN
    before = published(cloud_fixture, "", folder=folder)
    cloud_fixture.guests = [with_fault("kernel_died")]
    assert cloud_fixture.run(plan, run) is ExitCode.NOTEBOOK_FAILED
    assert published(cloud_fixture, "", folder=folder) == before
    assert {"FAILED", "demo.ipynb", "result.json"} <= published(cloud_fixture, run).keys()


def test_a_red_run_replaces_a_red_version(cloud_fixture: CloudFixture, tmp_path: Path) -> None:
    folder = "versions/2018-04-03"
    plan = plan_of_day(cloud_fixture, tmp_path / "repo", "2018-04-03")
    cloud_fixture.guests = [with_fault("kernel_died")]
    cloud_fixture.run(plan)
    cloud_fixture.guests = [with_fault("disk_full")]
    cloud_fixture.run(plan)
    result = json.loads(published(cloud_fixture, "", folder=folder)["result.json"])
    assert result["reason"] == "disk_full"


def test_a_run_without_an_event_publishes_below_its_own_results_alone(
    cloud_fixture: CloudFixture, tmp_path: Path
) -> None:
    scheduled = plan_of_day(cloud_fixture, tmp_path / "repo", "2018-04-04")
    cloud_fixture.guests = [green]
    assert cloud_fixture.run(scheduled) is ExitCode.GREEN
    before = published(cloud_fixture, "", folder="versions/2018-04-04")
    plan, run = cloud_fixture.plan(tmp_path / "repo", NB_OUTPUT="results/<run>/figures"), run_id()
    assert cloud_fixture.run(plan, run) is ExitCode.GREEN
    assert "result.json" in published(cloud_fixture, "", folder=f"results/{run}/figures")
    # The account of builds by hand may write no lock (docs/accounts.md), and needs none: no other run writes there.
    assert cloud_fixture.store().list(f"{cloud_fixture.prefix}/locks/results/") == []
    assert published(cloud_fixture, "", folder="versions/2018-04-04") == before


def test_results_that_cannot_be_published_are_not_green(cloud_fixture: CloudFixture, plan: Plan) -> None:
    cloud_fixture.guests, run = [green], run_id()
    cloud_fixture.fault("storage.objects.rewrite", "error", times=10_000, status=503)
    assert cloud_fixture.run(plan, run) is ExitCode.ENVIRONMENT_FAILED
    assert "result.json" not in published(cloud_fixture, run)
    assert summary(cloud_fixture, run)["verdict"] == "red"


def test_a_run_whose_summary_cannot_be_written_is_not_green_and_leaves_no_proof(
    cloud_fixture: CloudFixture, plan: Plan
) -> None:
    cloud_fixture.guests, run = [green], run_id()
    before = {item.name for item in cloud_fixture.store().list(f"{cloud_fixture.prefix}/proofs/")}
    cloud_fixture.fault(
        "storage.objects.insert", "error", status=403, match={"name": f"*/results/{run}/summary.json"}
    )
    assert cloud_fixture.run(plan, run) is ExitCode.ENVIRONMENT_FAILED, cloud_fixture.log.getvalue()
    assert "warning: the summary could not be written" in cloud_fixture.log.getvalue()
    page = cloud_fixture.store().read(f"{cloud_fixture.prefix}/results/{run}/index.html") or b""
    assert b"<title>RED: run" in page
    assert b"the summary could not be written" in page
    assert {item.name for item in cloud_fixture.store().list(f"{cloud_fixture.prefix}/proofs/")} == before


def test_a_vm_that_is_left_does_not_hide_that_there_is_no_summary(
    cloud_fixture: CloudFixture, plan: Plan
) -> None:
    cloud_fixture.guests, run = [green], run_id()
    cloud_fixture.fault("compute.instances.delete", "error", times=10_000, status=403, message="no")
    cloud_fixture.fault(
        "storage.objects.insert", "error", status=403, match={"name": f"*/results/{run}/summary.json"}
    )
    assert cloud_fixture.run(plan, run) is ExitCode.ENVIRONMENT_FAILED, cloud_fixture.log.getvalue()


# Objects that are not what the VM wrote (faults of the bucket itself)


@pytest.mark.always(3)
@pytest.mark.parametrize("name", ["demo.ipynb", "outputs/out.csv", "evidence.json"])
@pytest.mark.parametrize(
    ("action", "args"), [("lose", {}), ("truncate", {"bytes": 3})], ids=["lost", "truncated"]
)
def test_an_object_that_is_lost_or_cut_is_never_green(
    cloud_fixture: CloudFixture, tmp_path: Path, name: str, action: str, args: Json
) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_MAX_ATTEMPTS="1", NB_BOOT_TIMEOUT="60")
    cloud_fixture.guests = [green]
    cloud_fixture.fault("storage.objects.insert", action, match={"name": f"*/attempt-1-*/{name}"}, **args)
    assert cloud_fixture.run(plan) is ExitCode.ENVIRONMENT_FAILED, cloud_fixture.log.getvalue()
    assert cloud_fixture.left() == []


@pytest.mark.parametrize("name", ["demo.ipynb", "evidence.json"])
def test_an_object_that_is_stored_broken_costs_an_attempt(
    cloud_fixture: CloudFixture, plan: Plan, name: str
) -> None:
    cloud_fixture.guests = [green]
    cloud_fixture.fault("storage.objects.insert", "corrupt", match={"name": f"*/attempt-1-*/{name}"})
    assert cloud_fixture.run(plan) is ExitCode.GREEN, "the second attempt is whole"
    assert len(cloud_fixture.inserted()) == 2


# Passing faults on each call of a run

_CALLS = [
    # `make test` has these four: the writes of both services.
    "storage.objects.insert",
    "storage.objects.rewrite",
    "compute.instances.insert",
    "compute.instances.delete",
    "compute.images.getFromFamily",
    "compute.zoneOperations.wait",
    "compute.instances.get",
    "compute.instances.aggregatedList",
    "storage.objects.get",
    "storage.objects.list",
]
_FAULTS: dict[str, Json] = {
    "503": {"action": "error", "status": 503},
    "reply lost": {"action": "drop_after"},
}


# test_calls.py has each call under each transient fault.
@pytest.mark.always(4)
@pytest.mark.parametrize("fault", [pytest.param("503", marks=pytest.mark.exhaustive), "reply lost"])
@pytest.mark.parametrize("call", _CALLS)
def test_a_run_under_transient_faults_is_green_with_one_vm(
    cloud_fixture: CloudFixture, plan: Plan, call: str, fault: str
) -> None:
    cloud_fixture.guests, cloud_fixture.may_miss = [green], MAY_MISS
    cloud_fixture.fault(call, times=2, match={"caller": "notebook-builder@*"}, **_FAULTS[fault])
    assert cloud_fixture.run(plan) is ExitCode.GREEN, cloud_fixture.log.getvalue() + str(cloud_fixture.said)
    assert len(cloud_fixture.inserted()) == 1
    assert cloud_fixture.left() == []


def test_a_run_under_every_transient_fault_at_once_is_green(cloud_fixture: CloudFixture, plan: Plan) -> None:
    cloud_fixture.guests, cloud_fixture.may_miss = [green], MAY_MISS
    for call in _CALLS:
        if call == "compute.zoneOperations.wait":
            continue  # an operation that is done when its lost reply is repeated is not waited for
        for fault in _FAULTS.values():
            cloud_fixture.fault(call, match={"caller": "notebook-builder@*"}, **fault)
    assert cloud_fixture.run(plan) is ExitCode.GREEN, cloud_fixture.log.getvalue() + str(cloud_fixture.said)
    assert len(cloud_fixture.inserted()) == 1
    assert cloud_fixture.left() == []


@pytest.mark.always(4)
@pytest.mark.parametrize("call", [*_CALLS, "storage.objects.delete"])
def test_a_run_under_a_fault_without_end_ends_and_is_never_green_by_mistake(
    cloud_fixture: CloudFixture, tmp_path: Path, call: str
) -> None:
    """Whatever is down for ever: the run ends, within its limits, and its VM with it or by its deadline."""
    plan = cloud_fixture.plan(tmp_path / "repo", NB_MAX_ATTEMPTS="1", NB_BOOT_TIMEOUT="60")
    cloud_fixture.guests, cloud_fixture.may_miss = [green], MAY_MISS
    cloud_fixture.fault(call, "error", times=100_000, status=503, match={"caller": "notebook-builder@*"})
    started = cloud_fixture.time.monotonic()
    try:
        code = cloud_fixture.run(plan)
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
    assert code in allowed, cloud_fixture.log.getvalue()
    assert cloud_fixture.time.monotonic() - started < plan.jobs[0].limits.vm + 60
    cloud_fixture.clock.advance(plan.jobs[0].limits.vm + 30)
    if call != "compute.instances.delete":
        assert cloud_fixture.left() == []
