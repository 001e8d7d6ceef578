"""A hostile notebook that tries to make a failing notebook of the same run green, with all that its VM can see."""

from __future__ import annotations

import contextlib
import copy
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from builder.errors import ExitCode
from builder.ports import CallFailed
from tests.integration.cloud_fixture import NOTEBOOK, CloudFixture, StandIn
from tests.integration.simulated_guests import GuestSession, green, open_session
from tests.patience import PATIENCE


def look(session: GuestSession, victim: str) -> tuple[list[str], dict[str, Any]]:
    """Return what the session's account can read of the victim: names of objects, and heartbeats by their prefix.

    The session has its own metadata, and knows how the builder names objects.
    """
    names: list[str] = []
    heartbeats: dict[str, Any] = {}
    staged = session.job["job"]["object"].rpartition("/")[0].rpartition("/")[0] + f"/{victim}/"
    with contextlib.suppress(CallFailed):
        names += [item.name for item in session.store.list(staged)]
    guesses = {session.prefix.replace(f"/{session.job['job_id']}/", f"/{victim}/"), staged + "attempt-1/"}
    for prefix in sorted(guesses | {name.rpartition("/")[0] + "/" for name in names if "/attempt-" in name}):
        with contextlib.suppress(CallFailed):
            heartbeat = session.store.read(prefix + "heartbeat.json")
            if heartbeat is not None:
                heartbeats[prefix] = json.loads(heartbeat)
    return names, heartbeats


def attack(session: GuestSession, victim: str) -> list[str]:
    """Write the victim's evidence wherever it may be looked for; return what was found on the way."""
    names, heartbeats = look(session, victim)
    for prefix, heartbeat in heartbeats.items():
        with contextlib.suppress(CallFailed, TimeoutError):
            forge(session, victim, prefix, heartbeat)
    return names + list(heartbeats)


def forge(session: GuestSession, victim: str, prefix: str, heartbeat: dict[str, Any]) -> None:
    """Leave what a green attempt leaves, with the nonce that the heartbeat tells."""
    other = copy.copy(session)
    other.job = {
        **session.job,
        "job_id": victim,
        "nonce": heartbeat.get("nonce", ""),
        "attempt_prefix": prefix,
        "job": {"object": f"{prefix.rpartition('/attempt-')[0]}/job.json"},
    }
    other.written = []
    executed = copy.deepcopy(NOTEBOOK)
    executed["cells"][0]["execution_count"] = 1  # type: ignore[index]
    executed["cells"][0]["metadata"]["papermill"] = {"exception": False, "status": "completed"}  # type: ignore[index]
    other.put(f"{victim}.ipynb", json.dumps(executed).encode())
    other.put("evidence.json", json.dumps(other.evidence()).encode(), listed=False)


def test_a_notebook_cannot_make_a_failing_sibling_green(cloud_fixture: CloudFixture, tmp_path: Path) -> None:
    # The clock of the builder is moved while the two wait for each other.
    patient = {"NB_BOOT_TIMEOUT": "7200", "NB_TIMEOUT": "86000"}
    plan = cloud_fixture.plan(
        tmp_path / "repo", ["attacker.ipynb", "victim.ipynb"], NB_CONCURRENCY="2", **patient
    )
    alive, attacked = threading.Event(), threading.Event()
    found: list[str] = []
    there: list[str] = []

    def guest(cloud_fixture: CloudFixture, machine: StandIn) -> None:
        session = open_session(cloud_fixture, machine)
        if session.job["job_id"] == "attacker":
            assert alive.wait(PATIENCE)
            found.extend(attack(session, "victim"))
            # The same look finds the victim with an account that may look.
            there.extend(look(replace(session, store=cloud_fixture.store()), "victim")[1])
            attacked.set()
            green(cloud_fixture, machine)
        else:
            session.staged()
            session.beat("notebook")
            alive.set()
            while not attacked.wait(0.05):
                session.beat("notebook")
            fault = {"reason": "cell_failed", "message": "assert False", "cell": 1}
            session.beat("done")
            with contextlib.suppress(AssertionError):  # the forged evidence was there before
                session.finish(session.evidence(fault=fault, papermill={"exit_code": 1, "seconds": 0.1}))

    cloud_fixture.guests = [guest]
    code = cloud_fixture.run(plan, "run-siblings")
    (summary,) = (
        json.loads(item)
        for item in [
            cloud_fixture.store().read(f"{cloud_fixture.prefix}/results/run-siblings/summary.json") or b""
        ]
    )
    verdicts = {job["job"]: job["verdict"] for job in summary["jobs"]}
    assert verdicts == {"attacker": "green", "victim": "red"}, cloud_fixture.log.getvalue() + str(
        cloud_fixture.said
    )
    assert code is not ExitCode.GREEN
    assert found == []
    assert there, "an account with more rights did not find the victim either"
    assert not [text for text in cloud_fixture.said if text.startswith("guest of")]


def test_no_object_but_the_evidence_holds_a_nonce(cloud_fixture: CloudFixture, tmp_path: Path) -> None:
    plan = cloud_fixture.plan(tmp_path / "repo")
    nonces: list[str] = []

    def guest(cloud_fixture: CloudFixture, machine: StandIn) -> None:
        nonces.append(open_session(cloud_fixture, machine).job["nonce"])
        green(cloud_fixture, machine)

    cloud_fixture.guests = [guest]
    assert cloud_fixture.run(plan, "run-nonce") is ExitCode.GREEN, cloud_fixture.log.getvalue()
    store, (nonce,) = cloud_fixture.store(), nonces
    staged = [item.name for item in store.list(f"{cloud_fixture.prefix}/staging/run-nonce/")]
    holders = [name for name in staged if nonce.encode() in (store.read(name) or b"")]
    assert [name.rpartition("/")[2] for name in holders] == ["evidence.json"]
