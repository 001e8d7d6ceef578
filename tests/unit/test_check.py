"""The preflight's decisions, without any Google: which questions, what the answers mean, which exit code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from builder.check.ask import Clients, ask_all
from builder.check.boot import boot_plan
from builder.check.demand import Size, regional
from builder.check.findings import Findings, findings
from builder.check.permissions import ACT_AS, OBJECTS, project_permissions
from builder.check.row import Row, State, exit_code, fail, ok, unknown
from builder.check_ports import BucketSettings, MachineType, Network, Quota, Quotas, Region, Subnetwork
from builder.errors import ExitCode
from builder.plan.build_plan import Plan, build_plan
from builder.plan.choose import choose
from builder.plan.event import RunRequest
from builder.plan.quota_metrics import gpu_metric
from builder.plan.workspace import Workspace
from builder.ports import CallFailed, Image
from builder.report.preflight import preflight_json
from tests.integration.cloud_fixture import NOTEBOOK
from tests.loading import load_options

PROJECT, VM = "my-project", "notebook-vm@my-project.iam.gserviceaccount.com"
PLENTY = {"CPUS": 100, "INSTANCES": 100, "SSD_TOTAL_GB": 1000, "CPUS_ALL_REGIONS": 100}


def make(folder: Path, given: Mapping[str, str] | None = None, *, notebooks: int = 1, **options: str) -> Plan:
    names = [f"n{number}.ipynb" for number in range(notebooks)]
    for name in names:
        (folder / name).write_text(json.dumps(NOTEBOOK))
    env = {
        "NB_NOTEBOOKS": ",".join(names),
        "NB_GCS_LOCATION": "gs://bucket/ci",
        "NB_VM_SERVICE_ACCOUNT": VM,
        "NB_ZONES": "us-east1-b",
        **(given or {}),
        **options,
    }
    loaded = load_options(["check"], env, lambda _name: None)
    request = RunRequest(date(2026, 7, 1), date(2026, 7, 1))
    return build_plan(loaded, choose(loaded, Workspace(folder), request), request)


def quotas(**limits: float) -> Quotas:
    return {metric: Quota(limit, 0) for metric, limit in limits.items()}


class Google:
    """All clients of the preflight at once: each method returns or raises its one answer. `calls`: in any order."""

    def __init__(self, answers: Mapping[str, object]) -> None:
        self._answers = answers
        self.calls: list[tuple[object, ...]] = []

    def client(self, name: str) -> Any:
        """A stand-in for one client; its methods answer by `client.method`, or by `method` alone."""
        return SimpleNamespace(
            **{
                method.rpartition(".")[2]: partial(self._answer, method)
                for method in self._answers
                if method.rpartition(".")[0] in {"", name}
            }
        )

    def clients(self) -> Clients:
        return Clients(*(self.client(name) for name in ("machines", "catalog", "project", "bucket")))

    def _answer(self, method: str, *about: object) -> object:
        self.calls.append((method, *about))
        answer = self._answers[method]
        if isinstance(answer, CallFailed):
            raise answer
        return answer


def google(
    plan: Plan, limits: Mapping[str, float] = PLENTY, other: Mapping[str, object] | None = None
) -> Google:
    """Everything is as the plan needs it, but for `other` answers, by method."""
    image = Image("projects/p/global/images/i", "f", 50, deprecated=False, uefi=True)
    return Google(
        {
            "caller": "me@my-project.iam.gserviceaccount.com",
            "project.permissions": frozenset(project_permissions(plan)),
            "settings": BucketSettings("US", uniform_access=True),
            "bucket.permissions": frozenset(OBJECTS),
            "try_create": None,
            "service_account_disabled": False,
            "service_account_permissions": frozenset({ACT_AS}),
            "image_of_family": image,
            "image": image,
            "image_families": ["f"],
            "region": Region(("us-east1-b", "us-east1-c"), quotas(**limits)),
            "quotas": quotas(**limits),
            "network": Network(auto=True, subnetworks={"us-east1": "default"}),
            "machine_type": MachineType("m", 4, {}),
            "accelerator_type": "a GPU",
            "subnetwork": Subnetwork("default", private_google_access=True),
            **(other or {}),
        }
    )


def refusal(status: int, code: str, message: str = "no", *, transient: bool = False) -> CallFailed:
    return CallFailed(
        call="compute.regions.get",
        resource="r",
        code=code,
        message=message,
        http_status=status,
        transient=transient,
    )


def looked(
    plan: Plan,
    given: Mapping[str, object] | None = None,
    *,
    limits: Mapping[str, float] = PLENTY,
    **answers: object,
) -> Findings:
    """Return the findings for a good project with these other answers, by method."""
    request = google(plan, limits, {**(given or {}), **answers})
    return findings(plan, PROJECT, ask_all(plan, PROJECT, request.clients()))


def states(found: Findings, what: str) -> list[State]:
    return [row.state for row in found.rows if row.what == what]


def test_nothing_is_wrong_where_all_is_well(tmp_path: Path) -> None:
    found = looked(make(tmp_path))
    assert found.exit_code is ExitCode.GREEN
    assert found.count(State.FAIL) == 0
    assert preflight_json(found)["rows"][0]["state"] == "ok"


def asked_of(plan: Plan) -> list[tuple[object, ...]]:
    request = google(plan)
    ask_all(plan, PROJECT, request.clients())
    return request.calls


def test_each_question_is_asked_once_however_many_jobs(tmp_path: Path) -> None:
    calls = asked_of(make(tmp_path, notebooks=5, NB_ZONES="us-east1"))
    assert len(calls) == len(set(calls))
    assert set(calls) == set(asked_of(make(tmp_path, NB_ZONES="us-east1")))
    assert ("region", "us-east1") in calls
    assert ("machine_type", "us-east1-c", "e2-standard-4") in calls
    assert ("subnetwork", PROJECT, "us-east1", "default") in calls


def test_an_answer_is_of_the_service_that_was_called(tmp_path: Path) -> None:
    plan = make(tmp_path)
    lost = CallFailed(call="storage.buckets.get", resource="r", code="x", message="m", transient=True)
    answers = ask_all(plan, PROJECT, google(plan, other={"settings": lost}).clients())
    assert list(answers.failures("storage")) == [lost]
    assert list(answers.failures("compute")) == []


_SETUP, _INPUT = ExitCode.PROJECT_SETUP, ExitCode.BAD_INPUT
_CAPACITY, _LOST = ExitCode.NO_CAPACITY, ExitCode.ENVIRONMENT_FAILED


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        pytest.param((), ExitCode.GREEN, id="none"),
        pytest.param((_LOST,), _LOST, id="one"),
        pytest.param((_LOST, _CAPACITY), _CAPACITY, id="capacity before environment"),
        pytest.param((_CAPACITY, _INPUT, _LOST), _INPUT, id="input before capacity"),
        pytest.param((_LOST, _INPUT, _CAPACITY, _SETUP), _SETUP, id="set-up before all"),
    ],
)
def test_the_gravest_failure_is_the_exit_code(codes: tuple[ExitCode, ...], code: ExitCode) -> None:
    rows = [ok("a", "b", "c"), unknown("a", "b", "c"), *(fail("a", "b", "c", "d", each) for each in codes)]
    assert exit_code(rows) is code
    assert exit_code([Row("a", "b", State.NO, "c", code=_CAPACITY)]) is ExitCode.GREEN


@pytest.mark.parametrize(
    ("accelerator", "metric"),
    [
        ("nvidia-tesla-t4", "NVIDIA_T4_GPUS"),
        ("nvidia-tesla-t4-vws", "NVIDIA_T4_VWS_GPUS"),
        ("nvidia-l4", "NVIDIA_L4_GPUS"),
        ("nvidia-a100-80gb", "NVIDIA_A100_80GB_GPUS"),
    ],
)
def test_metrics_of_gpus(accelerator: str, metric: str) -> None:
    assert gpu_metric(accelerator) == metric


@pytest.mark.parametrize(
    ("options", "limits", "wanted"),
    [
        pytest.param({}, {}, {"CPUS": 8}, id="defaults"),
        pytest.param({"NB_MACHINE_TYPE": "n2-standard-8"}, {}, {"N2_CPUS": 8}, id="N2"),
        pytest.param({"NB_MACHINE_TYPE": "g2-standard-8"}, {}, {"CPUS": 8}, id="G2"),
        pytest.param(
            {"NB_PROVISIONING": "spot"},
            {"PREEMPTIBLE_CPUS": 0},
            {"CPUS": 8},
            id="Spot without a quota of its own",
        ),
        pytest.param(
            {"NB_PROVISIONING": "spot"}, {"PREEMPTIBLE_CPUS": 1}, {"PREEMPTIBLE_CPUS": 8}, id="Spot"
        ),
        pytest.param(
            {"NB_PROVISIONING": "spot-then-standard"},
            {"PREEMPTIBLE_CPUS": 1},
            {"PREEMPTIBLE_CPUS": 8, "CPUS": 8},
            id="Spot, then standard",
        ),
        pytest.param(
            {"NB_EXTERNAL_IP": "true"}, {}, {"CPUS": 8, "IN_USE_ADDRESSES": 1}, id="external address"
        ),
    ],
)
def test_what_a_vm_takes(
    tmp_path: Path, options: dict[str, str], limits: dict[str, float], wanted: dict[str, float]
) -> None:
    (job,) = make(tmp_path, options).jobs
    taken = {d.metric: d.amount for d in regional(job, Size(8, 0, "", 100), quotas(**limits))}
    assert taken == {**wanted, "INSTANCES": 1, "SSD_TOTAL_GB": 100}


def test_hyperdisks_have_a_quota_of_their_own_where_the_region_tells_of_it(tmp_path: Path) -> None:
    (job,) = make(tmp_path, NB_MACHINE_TYPE="c4-standard-8").jobs
    size = Size(8, 0, "", 100)
    assert "HDB_TOTAL_GB" in {d.metric for d in regional(job, size, quotas(HDB_TOTAL_GB=1))}
    assert "SSD_TOTAL_GB" in {d.metric for d in regional(job, size, quotas())}


def test_a_standard_disk_counts_against_a_quota_of_its_own(tmp_path: Path) -> None:
    (job,) = make(tmp_path, NB_BOOT_DISK_TYPE="pd-standard").jobs
    taken = {d.metric: d.amount for d in regional(job, Size(4, 0, "", 100), quotas())}
    assert taken["DISKS_TOTAL_GB"] == 100
    assert "SSD_TOTAL_GB" not in taken


def test_a_quota_that_google_does_not_tell_of_is_unknown(tmp_path: Path) -> None:
    found = looked(make(tmp_path, NB_MACHINE_TYPE="c4-standard-4"))
    assert found.exit_code is ExitCode.GREEN
    (row,) = (row for row in found.rows if row.where == "us-east1 C4_CPUS")
    assert row.state is State.UNKNOWN
    assert row.fix.startswith("gcloud compute regions describe us-east1")


def test_a_spot_quota_that_is_too_small_fails_only_where_no_standard_vm_follows(tmp_path: Path) -> None:
    limits = {**PLENTY, "PREEMPTIBLE_CPUS": 2}
    found = looked(make(tmp_path, NB_PROVISIONING="spot-then-standard"), limits=limits)
    assert (found.exit_code, found.count(State.NO)) == (ExitCode.GREEN, 1)
    assert looked(make(tmp_path, NB_PROVISIONING="spot"), limits=limits).exit_code is _CAPACITY


def test_a_short_run_with_a_gpu_may_take_the_preemptible_quota(tmp_path: Path) -> None:
    gpus = MachineType("g2-standard-4", 4, {"nvidia-l4": 1})
    limits = {**PLENTY, "NVIDIA_L4_GPUS": 0, "PREEMPTIBLE_NVIDIA_L4_GPUS": 1, "GPUS_ALL_REGIONS": 1}
    plan = make(tmp_path, NB_MACHINE_TYPE="g2-standard-4")
    assert looked(plan, limits=limits, machine_type=gpus).exit_code is ExitCode.GREEN
    plan = make(tmp_path, NB_MACHINE_TYPE="g2-standard-4", NB_TIMEOUT=str(8 * 24 * 3600))
    assert looked(plan, limits=limits, machine_type=gpus).exit_code is _CAPACITY


@pytest.mark.parametrize(
    ("answers", "code", "what", "state"),
    [
        pytest.param({"caller": ""}, 0, "account", State.UNKNOWN, id="no caller"),
        pytest.param(
            {"service_account_disabled": True},
            4,
            "VM's account",
            State.FAIL,
            id="account disabled",
        ),
        pytest.param(
            {"service_account_disabled": refusal(403, "PERMISSION_DENIED")},
            0,
            "VM's account",
            State.UNKNOWN,
            id="account hidden",
        ),
        pytest.param(
            {"service_account_permissions": refusal(404, "notFound")},
            0,
            "act as",
            State.UNKNOWN,
            id="account's permissions hidden",
        ),
        pytest.param(
            {"project.permissions": refusal(400, "badRequest")},
            0,
            "permissions",
            State.UNKNOWN,
            id="project's permissions refused",
        ),
        pytest.param(
            {"image_of_family": refusal(403, "forbidden")},
            4,
            "image family",
            State.FAIL,
            id="image family denied",
        ),
        pytest.param(
            {"machine_type": refusal(403, "forbidden")},
            4,
            "machine type",
            State.FAIL,
            id="machine type denied",
        ),
        pytest.param({"quotas": refusal(403, "forbidden")}, 4, "quota", State.FAIL, id="quotas denied"),
        pytest.param({"network": refusal(403, "forbidden")}, 4, "network", State.FAIL, id="network denied"),
        pytest.param(
            {"subnetwork": refusal(403, "forbidden")}, 4, "subnetwork", State.FAIL, id="subnetwork denied"
        ),
        pytest.param(
            {"region": refusal(401, "authError")}, 4, "API", State.FAIL, id="region without credentials"
        ),
    ],
)
def test_what_each_answer_means(
    tmp_path: Path, answers: dict[str, object], *, code: int, what: str, state: State
) -> None:
    found = looked(make(tmp_path), answers)
    assert found.exit_code == code, found.rows
    assert state in states(found, what)


def test_a_subnetwork_of_another_project_is_looked_for_there(tmp_path: Path) -> None:
    shared = "projects/host-project/regions/us-east1/subnetworks/shared"
    plan = make(tmp_path, NB_SUBNETWORK=shared)
    calls = asked_of(plan)
    assert ("subnetwork", "host-project", "us-east1", "shared") in calls
    assert not any(call[0] == "network" for call in calls)
    found = looked(plan, subnetwork=Subnetwork("shared", private_google_access=False))
    (row,) = (row for row in found.rows if row.state is State.FAIL)
    assert "--project=host-project --region=us-east1" in row.fix


def test_commands_fit_people_too(tmp_path: Path) -> None:
    for caller, member in {
        "me@example.com": "user:me@example.com",
        "": "serviceAccount:BUILD_ACCOUNT",
    }.items():
        found = looked(make(tmp_path), caller=caller, service_account_permissions=frozenset())
        (row,) = (row for row in found.rows if row.state is State.FAIL)
        assert f"--member={member} " in row.fix


def test_check_boot_reuses_no_result(tmp_path: Path) -> None:
    plan = make(tmp_path, NB_REUSE_GREEN="30d")
    assert plan.reuse_seconds == 30 * 86400
    assert boot_plan(plan).reuse_seconds is None
