"""NB_REUSE_GREEN: green results of equal inputs are copied, never run again, and nothing else is reused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from builder import kit
from builder.act.proofs import Origin
from builder.deploy.proof_lookup import find_proofs
from builder.errors import ExitCode
from builder.plan.build_plan import Plan
from tests.integration.cloud_fixture import NOTEBOOK, CloudFixture
from tests.integration.command import Command
from tests.integration.simulated_guests import green, with_fault
from tests.integration.test_proofs import proof_requests

Json = dict[str, Any]
FIRST = "first"


@pytest.fixture
def cloud_fixture(cloud_fixture: CloudFixture, tmp_path: Path) -> CloudFixture:
    """The bucket is shared by all tests of a worker, so each has a prefix of its own."""
    cloud_fixture.use_prefix(f"reuse/{abs(hash(tmp_path))}")
    cloud_fixture.guests = [green]
    return cloud_fixture


@pytest.fixture
def plan(cloud_fixture: CloudFixture, tmp_path: Path) -> Plan:
    """A plan that reuses, whose inputs run `first` has proven green."""
    plan = cloud_fixture.plan(tmp_path / "repo", NB_REUSE_GREEN="7d")
    assert cloud_fixture.run(plan, FIRST) is ExitCode.GREEN, cloud_fixture.log.getvalue()
    assert "runs, since no run was green for exactly these inputs" in cloud_fixture.log.getvalue()
    return plan


def document(cloud_fixture: CloudFixture, name: str) -> Json:
    found: Json = json.loads(cloud_fixture.store().read(f"{cloud_fixture.prefix}/{name}") or b"{}")
    return found


def objects(cloud_fixture: CloudFixture, run: str) -> dict[str, tuple[int, str]]:
    prefix = f"{cloud_fixture.prefix}/results/{run}/demo/"
    listed = cloud_fixture.store().list(prefix)
    return {item.name.removeprefix(prefix): (item.size, item.crc32c) for item in listed}


def test_green_results_of_equal_inputs_are_copied_without_a_vm(
    cloud_fixture: CloudFixture, plan: Plan
) -> None:
    assert cloud_fixture.run(plan, "second") is ExitCode.GREEN
    assert len(cloud_fixture.inserted()) == 1
    first, second = objects(cloud_fixture, FIRST), objects(cloud_fixture, "second")
    assert first.keys() == second.keys()
    assert {name for name in first if first[name] != second[name]} == {"result.json"}
    result = document(cloud_fixture, "results/second/demo/result.json")
    assert result["reused"]["run"] == FIRST
    assert (result["run"], result["verdict"], result["attempts"]) == ("second", "green", 0)
    (job,) = document(cloud_fixture, "results/second/summary.json")["jobs"]
    assert (job["verdict"], job["reused"]["run"], job["attempts"]) == ("green", FIRST, 0)
    assert f"not run again: run {FIRST} was green for the same inputs" in cloud_fixture.log.getvalue()


def test_a_reused_job_can_be_deployed_and_keeps_the_age_of_its_proof(
    cloud_fixture: CloudFixture, plan: Plan, tmp_path: Path, small_kit: kit.Kit
) -> None:
    assert cloud_fixture.run(plan, "second") is ExitCode.GREEN
    wanted = proof_requests(plan, tmp_path, small_kit)
    proof = find_proofs(cloud_fixture.store("notebook-deployer"), plan.location, wanted)["demo"]
    assert proof.run == FIRST


def test_results_of_a_reused_run_are_reused_from_their_first_run(
    cloud_fixture: CloudFixture, plan: Plan
) -> None:
    for run in ("second", "third"):
        assert cloud_fixture.run(plan, run) is ExitCode.GREEN
        assert document(cloud_fixture, f"results/{run}/demo/result.json")["reused"]["run"] == FIRST
    assert len(cloud_fixture.inserted()) == 1


@pytest.mark.always(3)
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"NB_REUSE_GREEN": "7d", "NB_ENV": "A=1"}, id="another option"),
        pytest.param({"NB_REUSE_GREEN": "7d", "NB_EVENT": "{}", "NB_EVENT_ID": "e1"}, id="a run of an event"),
        pytest.param({}, id="not asked for"),
        pytest.param({"NB_REUSE_GREEN": "never"}, id="never"),
    ],
)
def test_other_runs_reuse_nothing(
    cloud_fixture: CloudFixture, plan: Plan, tmp_path: Path, options: dict[str, str]
) -> None:
    assert cloud_fixture.run(cloud_fixture.plan(tmp_path / "repo", **options), "second") is ExitCode.GREEN
    assert len(cloud_fixture.inserted()) == 2


def test_a_changed_notebook_runs(
    cloud_fixture: CloudFixture, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NOTEBOOK["cells"][0], "source", "print('good day')")  # type: ignore[index]
    changed = cloud_fixture.plan(tmp_path / "repo", NB_REUSE_GREEN="7d", NB_ENV="A=1")
    assert cloud_fixture.run(changed, "second") is ExitCode.GREEN
    assert len(cloud_fixture.inserted()) == 2
    assert f"; changed since run {FIRST} was green (2" in cloud_fixture.log.getvalue()
    assert " UTC): demo.ipynb, NB_ENV A (new)\n" in cloud_fixture.log.getvalue()


@pytest.mark.always(1)
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"{", id="no JSON"),
        pytest.param(b'{"schema": 1, "run": "x", "inputs": {"files": []}}', id="other fields"),
        pytest.param(
            b'{"schema": 1, "run": "x", "inputs": {"notebook": "b.ipynb", "code": "", "files": {}, "others": {}}}',
            id="another notebook",
        ),
    ],
)
def test_an_unreadable_description_of_the_newest_proof_is_left_out(
    cloud_fixture: CloudFixture, plan: Plan, tmp_path: Path, content: bytes
) -> None:
    name = f"{cloud_fixture.prefix}/proofs/latest/demo.json"
    cloud_fixture.store().replace(name, content, content_type="application/json")
    changed = cloud_fixture.plan(tmp_path / "repo", NB_REUSE_GREEN="7d", NB_ENV="A=1")
    assert cloud_fixture.run(changed, "second") is ExitCode.GREEN
    assert "changed since" not in cloud_fixture.log.getvalue()


def test_a_notebook_that_was_only_executed_again_is_reused(
    cloud_fixture: CloudFixture, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = {"output_type": "stream", "name": "stdout", "text": "stale"}
    for name, value in (("outputs", [output]), ("execution_count", 7)):
        monkeypatch.setitem(NOTEBOOK["cells"][0], name, value)  # type: ignore[index]
    again = cloud_fixture.plan(tmp_path / "repo", NB_REUSE_GREEN="7d")
    assert "stale" in (tmp_path / "repo/demo.ipynb").read_text()
    assert cloud_fixture.run(again, "second") is ExitCode.GREEN
    assert len(cloud_fixture.inserted()) == 1


def test_an_old_proof_is_not_reused(cloud_fixture: CloudFixture, plan: Plan) -> None:
    cloud_fixture.clock.advance(8 * 86400)
    assert cloud_fixture.run(plan, "second") is ExitCode.GREEN
    assert len(cloud_fixture.inserted()) == 2
    assert f"runs, since the proof of run {FIRST} is 8 days old" in cloud_fixture.log.getvalue()


def test_a_red_run_proves_nothing(cloud_fixture: CloudFixture, tmp_path: Path) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo", NB_REUSE_GREEN="7d")
    cloud_fixture.guests = [with_fault("kernel_died")]
    assert cloud_fixture.run(plan, FIRST) is ExitCode.NOTEBOOK_FAILED
    cloud_fixture.guests = [green]
    assert cloud_fixture.run(plan, "second") is ExitCode.GREEN
    assert len(cloud_fixture.inserted()) == 2


@pytest.mark.always(4)
@pytest.mark.parametrize("change", ["removed", "replaced"])
@pytest.mark.parametrize("name", ["demo.ipynb", "outputs/out.csv", "run.log", "result.json"])
def test_results_that_changed_are_not_reused(
    cloud_fixture: CloudFixture, plan: Plan, name: str, change: str
) -> None:
    store, target = cloud_fixture.store(), f"{cloud_fixture.prefix}/results/{FIRST}/demo/{name}"
    if change == "removed":
        store.delete(target)
    else:
        store.replace(target, b"{}", content_type="text/plain")
    assert cloud_fixture.run(plan, "second") is ExitCode.GREEN
    assert len(cloud_fixture.inserted()) == 2
    assert f"runs, since the results of run {FIRST} are gone or were replaced" in cloud_fixture.log.getvalue()


def test_forged_results_are_not_reused(cloud_fixture: CloudFixture, plan: Plan) -> None:
    """Whoever may write results, such as a build of a pull request, writes a figure and a result.json that lists it."""
    store, folder = cloud_fixture.store(), f"{cloud_fixture.prefix}/results/{FIRST}/demo"
    forged = store.replace(f"{folder}/outputs/out.csv", b"forged", content_type="text/csv")
    result = document(cloud_fixture, f"results/{FIRST}/demo/result.json")
    for item in result["objects"]:
        if item["name"] == "outputs/out.csv":
            item |= {"size": forged.size, "crc32c": forged.crc32c, "generation": str(forged.generation)}
    store.replace(f"{folder}/result.json", json.dumps(result).encode(), content_type="application/json")
    assert cloud_fixture.run(plan, "second") is ExitCode.GREEN
    assert len(cloud_fixture.inserted()) == 2
    assert store.read(f"{cloud_fixture.prefix}/results/second/demo/outputs/out.csv") != b"forged"


def test_a_call_that_fails_lets_the_job_run(cloud_fixture: CloudFixture, plan: Plan) -> None:
    cloud_fixture.fault("storage.objects.rewrite", "error", status=403)
    assert cloud_fixture.run(plan, "second") is ExitCode.GREEN
    assert len(cloud_fixture.inserted()) == 2
    assert "runs, since earlier results cannot be used" in cloud_fixture.log.getvalue()


def test_a_run_by_hand_reuses_what_a_build_has_proven(cloud_fixture: CloudFixture, plan: Plan) -> None:
    assert cloud_fixture.run(plan, "second", origin=Origin()) is ExitCode.GREEN
    assert len(cloud_fixture.inserted()) == 1


# plan --proofs


def described(command: Command, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the text of `plan --proofs` for the only job."""
    capsys.readouterr()
    assert command.run("plan", "--proofs", "--format", "json") == ExitCode.GREEN, command.log
    (job,) = json.loads(capsys.readouterr().out)["jobs"]
    return str(job["proof"])


def test_plan_says_which_run_has_proven_a_job_or_what_has_changed(
    cloud_fixture: CloudFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = Command(cloud_fixture, tmp_path / "repo", monkeypatch)
    assert described(command, capsys) == "none: no run was green for exactly these inputs"
    assert command.run() == ExitCode.GREEN, command.log
    assert re.fullmatch(r"proven by run-1 on 2\d{3}-\d\d-\d\d \d\d:\d\d UTC", described(command, capsys))
    before = cloud_fixture.store().list(cloud_fixture.prefix)
    command.options = {"NB_ENV": "A=1", "NB_TIMEOUT": "60"}
    changed = described(command, capsys)
    assert re.search(r"; changed since run run-1 was green \(2.* UTC\): NB_ENV A \(new\)$", changed)
    assert command.run("plan", "--proofs") == ExitCode.GREEN
    assert f"  proof        {changed}\n" in capsys.readouterr().out
    assert command.run("plan") == ExitCode.GREEN
    assert "proof" not in capsys.readouterr().out, "without the flag, nothing is asked"
    assert cloud_fixture.store().list(cloud_fixture.prefix) == before, "nothing is written"
    assert len(cloud_fixture.inserted()) == 1


def test_plan_says_which_permission_the_proofs_need(
    cloud_fixture: CloudFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = Command(cloud_fixture, tmp_path / "repo", monkeypatch)
    cloud_fixture.fault("storage.objects.get", "error", status=403, message="no")
    assert command.run("plan", "--proofs") == ExitCode.PROJECT_SETUP
    assert "storage.objects.get" in command.log or "no" in command.log
