"""Runs under random combinations of faults, compared with an oracle that knows the guests.

A story is a run with one to five faults of its calls, guests that end in different ways, and perhaps a SIGKILL at one
of its calls. A run that was killed is repeated. Another run goes on beside it, or it is the run of an event, which is
delivered again at the end. NB_SEED chooses the stories: 1,000 in `make test-all`, and 20,000 others in `make soak`, in
parts with a cloud each.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from builder.act.sweep import sweep
from builder.errors import ExitCode
from builder.kit import Kit
from builder.plan.vm_spec import Attempt, insert_body, vm_labels
from localcloud.core.caller import OWNER_ADDRESS
from localcloud.core.iam import Iam, email
from tests.inserts import check_requests
from tests.integration.cloud_fixture import (
    BUCKET,
    ZONE,
    CloudFixture,
    Guest,
    StandIn,
    opened,
    opened_storage,
)
from tests.integration.killable import SIDES, KillableProcess, KillingFaults, Order, killable_run
from tests.integration.simulated_guests import (
    altered,
    green,
    preempted,
    vanishing,
    with_fault,
)
from tests.integration.test_call_faults import ENDS, TRANSIENT
from tests.integration.test_crash_points import MIN_POINTS

_SEED = int(os.environ.get("NB_SEED", "1"))
_STORIES = 100  # of a part
_PARTS, _PARTS_OF_A_SOAK = 10, 200
_STRANGERS = 50
_BEYOND_ANY_DEADLINE = 20_000.0
_EVENT_IS_FREE = 1000.0  # for so long at the most, a dead run holds its event
_PAUSES = (0.0, 60.0, _EVENT_IS_FREE, _BEYOND_ANY_DEADLINE)
_SCHEDULED = {"NB_EVENT": '{"today": "2018-04-01"}'}
# What a guest does, and what a run makes of it: an exit code, or None for a new attempt.
GUESTS: dict[str, tuple[Guest, ExitCode | None]] = {
    "green": (green, ExitCode.GREEN),
    "dead kernel": (with_fault("kernel_died"), ExitCode.NOTEBOOK_FAILED),
    "vanishing": (vanishing, None),
    "preempted": (preempted, None),
    "torn evidence": (altered(lambda _session, _evidence: b"{"), None),
    "evidence of another VM": (altered(lambda _session, facts: facts | {"nonce": "0" * 32}), None),
}
_ATTEMPTS = 3  # NB_MAX_ATTEMPTS
_MET = 0.9  # of the planned faults


@dataclass(frozen=True)
class Story:
    """One run.

    The guests of its attempts, its faults (the method or number of the call, the fault, times), its death, the seconds
    until it is repeated, and whether another run goes on beside it, or an event asked for it.
    """

    guests: tuple[str, ...]
    faults: tuple[tuple[int | str, str, int], ...]
    pause: float
    death: tuple[int, str] | None
    beside: bool
    event: bool

    @property
    def end(self) -> ExitCode:
        """The exit code of a run that lives: transient faults change none."""
        ends = [end for end in (GUESTS[name][1] for name in self.guests) if end is not None]
        return ends[0] if ends else ExitCode.ENVIRONMENT_FAILED


# By their methods, faults meet calls that a run makes once; by their numbers, any call.
_FAULT = st.tuples(
    st.one_of(st.sampled_from(sorted(ENDS)), st.integers(0, MIN_POINTS - 1)),
    st.sampled_from(sorted(TRANSIENT)),
    st.integers(1, 3),
)
_DEATH = st.tuples(st.integers(0, 45), st.sampled_from(SIDES))
_YES, _NO = st.just(value=True), st.just(value=False)
# A run that is killed has none beside it: both have one account, by which localcloud knows whom to kill. Nor has the
# run of an event: each run moves its own clock, so a living run would look dead to the other one.
_COMPANY: st.SearchStrategy[tuple[tuple[int, str] | None, bool, bool]] = st.one_of(
    st.tuples(st.none(), st.booleans(), _NO),
    st.tuples(_DEATH, _NO, _NO),
    st.tuples(st.one_of(st.none(), _DEATH), _NO, _YES),
)
STORIES = st.builds(
    lambda guests, faults, pause, company: Story(guests, tuple(faults), pause, *company),
    guests=st.tuples(*[st.sampled_from(sorted(GUESTS))] * _ATTEMPTS),
    faults=st.lists(_FAULT, min_size=1, max_size=5, unique_by=lambda fault: fault[0]),
    pause=st.sampled_from(_PAUSES),
    company=_COMPANY,
)


def _strike(fault: str, times: int) -> dict[str, Any]:
    args = dict(TRANSIENT[fault])
    return {"action": args.pop("action"), "args": args, "times": times}


class Stage:
    """One cloud for all stories, with VMs and an object of strangers in it."""

    def __init__(
        self, cloud: CloudFixture, faults: KillingFaults, small: Kit, folder: Path, bucket: Path
    ) -> None:
        self.cloud, self._faults, self._kit, self._folder = cloud, faults, small, folder
        self._objects = bucket / cloud.prefix  # a folder of files
        self._object_of_others = bucket / f"{cloud.prefix}-of-others"
        self._plan, self._scheduled = cloud.plan(folder / "repo"), cloud.plan(folder / "repo", **_SCHEDULED)
        self.played: Counter[str] = Counter()
        self.methods: Counter[str] = Counter()
        self._token = ""
        self._strangers = self._make_strangers()
        self._machines, self._fleet, self._store = cloud.machines(), cloud.fleet(), cloud.store()
        self.clients = cloud.closing.pop_all()  # those that outlive a story

    def _make_strangers(self) -> dict[str, Any]:
        """VMs of others. One of ten has this tool's label and looks like a run's, but its parts disagree."""
        plan = self._plan
        machines = self.cloud.machines(OWNER_ADDRESS)
        for number in range(_STRANGERS):
            attempt = Attempt(run=f"other-{number}", job="demo", number=1, nonce="feedc0de")
            ours = vm_labels(attempt, plan.jobs[0].options, 1)
            body = insert_body(
                plan.jobs[0].options,
                project="local-project",
                zone=ZONE,
                name=f"nb-{number:012x}-a1t1",
                image=self.cloud.vm_request(plan).image,
                limits=plan.jobs[0].limits,
                labels=ours if number % 10 == 0 else {"run": attempt.run},
                startup_script="true",
                job_metadata={"run": attempt.run, "job_id": "demo", "attempt": 1, "nonce": attempt.nonce},
            )
            body["scheduling"] = {"automaticRestart": False}
            body["machineType"] = f"zones/{ZONE}/machineTypes/e2-micro"
            machines.insert(ZONE, body, request_id=str(uuid.uuid4()))
        self.cloud.clock.advance(10)
        self._object_of_others.write_text("theirs")
        return self._described()

    def _described(self) -> dict[str, Any]:
        """Describe all VMs, all disks, and the object of others."""
        found = self.cloud.compute.inventory()
        described = {
            f"{kind} {item['name']}": json.dumps(item, sort_keys=True)
            for kind in ("compute.instances", "compute.disks")
            for item in found[kind]
        }
        return {**described, "object": self._object_of_others.read_text()}

    def play(self, story: Story) -> None:
        """Run a story to its end, and assert its verdict and what is left."""
        cloud, name = self.cloud, uuid.uuid4().hex[:8]
        shutil.rmtree(self._objects, ignore_errors=True)  # of the last story
        self._token = cloud.iam.token(email("notebook-builder"))[0]  # a new one: a token lives for an hour
        known = len(cloud.compute.inserts())
        cloud.guests = [self._guest(story)]
        self._faults.count([(at, _strike(fault, times)) for at, fault, times in story.faults])
        runs = self._first(story, name)
        if runs[0].killed or story.event:
            runs.append(self._again(story, name, killed=runs[0].killed))
        inserts, faults = cloud.compute.inserts()[known:], self._faults.clear()
        self._note(story, runs, inserts, faults)
        self._check_inserts(story, inserts)
        self._check_results(story)
        self._check_canary([run.log for run in runs], inserts)
        self._check_left(story)
        cloud.closing.close()

    def _first(self, story: Story, name: str) -> list[KillableProcess]:
        """Play the run, and the one beside it."""
        runs = [self._builder(story, name, str(number)) for number in range(2 if story.beside else 1)]
        if story.death:
            self._faults.kill_at(runs[0], *story.death)
        for run in runs:
            run.start()
        for run in runs:
            assert run.end() is (None if run.killed else story.end), (story, run.log)
        self._faults.rest()
        if not runs[0].killed:
            assert self._described() == self._strangers, (story, "a run that lives deletes its VMs itself")
        return runs

    def _again(self, story: Story, name: str, *, killed: bool) -> KillableProcess:
        """Repeat a run that was killed; or deliver the event of one that ended, which runs nothing."""
        run = self._builder(story, name, "again")
        if killed:
            self.cloud.clock.advance(max(story.pause, _EVENT_IS_FREE) if story.event else story.pause)
        else:
            self.cloud.guests = []
        run.start()
        ends = {story.end}
        if story.event and story.end is not ExitCode.GREEN:
            # The first run may have said its verdict. A duplicate knows whether it was green, not its exit code.
            ends = {ExitCode.NOTEBOOK_FAILED, *({story.end} if killed else ())}
        assert run.end() in ends, (story, run.log)
        return run

    def _note(
        self, story: Story, runs: list[KillableProcess], inserts: list[Any], faults: list[dict[str, Any]]
    ) -> None:
        self.played.update(
            stories=1,
            runs=len(runs),
            planned_faults=len(story.faults),
            faults=len(faults),
            faulty_calls=sum(fault["consumed"] for fault in faults),
            killed=runs[0].killed,
            beside_another=story.beside,
            of_events=story.event,
            green=story.end is ExitCode.GREEN,
            vms=len(inserts),
        )
        self.methods.update(fault["method"] for fault in faults)

    def _builder(self, story: Story, name: str, number: str) -> KillableProcess:
        plan = self._scheduled if story.event else self._plan
        event = f"event-{name}" if story.event else None
        urls = self.cloud.url, self.cloud.clock_address
        return killable_run(
            Order(*urls, self._token, plan, f"{name}-{number}", event, self._kit, self._folder)
        )

    def _guest(self, story: Story) -> Guest:
        def guest(cloud: CloudFixture, machine: StandIn) -> None:
            attempt = int(machine.spec.name.rpartition("-a")[2].partition("t")[0])
            GUESTS[story.guests[attempt - 1]][0](cloud, machine)

        return guest

    def _check_inserts(self, story: Story, inserts: list[Any]) -> None:
        """Every request for a VM ends by itself, and no attempt has two VMs."""
        check_requests(inserts)
        metadata = [
            {item["key"]: item["value"] for item in insert.body["metadata"]["items"]}
            for insert in inserts
            if insert.accepted and not insert.replayed
        ]
        nonces = Counter(json.loads(items["nb-job"])["nonce"] for items in metadata)
        assert set(nonces.values()) <= {1}, (story, nonces)

    def _check_results(self, story: Story) -> None:
        """The summary, the proofs and the results of the day have the verdict of the run."""
        is_green = story.end is ExitCode.GREEN
        word = "green" if is_green else "red"
        summaries = list(self._objects.glob("results/*/summary.json"))
        assert summaries, story
        assert {json.loads(summary.read_text())["verdict"] for summary in summaries} == {word}, story
        assert any(self._objects.glob("proofs/*.json")) == (is_green and not story.event), story
        if story.event:
            version = json.loads((self._objects / "versions/2018-04-01/demo/result.json").read_text())
            assert version["verdict"] == word, story

    def _check_left(self, story: Story) -> None:
        """After every deadline and a sweep, nothing of ours is left, and strangers are as they were."""
        self.cloud.clock.advance(_BEYOND_ANY_DEADLINE)
        said = self.cloud.said.append
        sweep(self._machines, self._fleet, said, store=self._store, location=self._plan.location)
        assert self._store.list(self._plan.location.object("open") + "/") == [], story
        assert self._described() == self._strangers, story

    def _check_canary(self, logs: list[str], inserts: list[Any]) -> None:
        """The builder's access token is in no log, in no object, and in no request for a VM."""
        written = [path.read_bytes() for path in self._objects.rglob("*") if path.is_file()]
        assert written, "localcloud keeps objects elsewhere"
        requested = [json.dumps(insert.body) for insert in inserts]
        for text in [*written, *(one.encode() for one in (*logs, *requested))]:
            assert self._token.encode() not in text


@pytest.fixture
def stage(tmp_path: Path, identities: Iam, small_kit: Kit) -> Iterator[Stage]:
    faults = KillingFaults()
    with (
        opened_storage(tmp_path, identities) as storage,
        opened(tmp_path / "cloud", storage, identities, faults=faults) as cloud,
    ):
        cloud.guests_may_break = True
        made = Stage(cloud, faults, small_kit, tmp_path, tmp_path / "storage" / BUCKET)
        with made.clients:
            yield made


@pytest.mark.timeout(0)
@pytest.mark.parametrize(
    "part",
    [
        pytest.param(part, marks=pytest.mark.test_all if part < _PARTS else pytest.mark.soak)
        for part in range(_PARTS + _PARTS_OF_A_SOAK)
    ],
)
def test_a_run_under_random_faults_ends_as_its_guests_do(stage: Stage, part: int) -> None:
    @seed(_SEED * 1000 + part)
    @settings(
        max_examples=_STORIES,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(story=STORIES)
    def play(story: Story) -> None:
        stage.play(story)

    play()
    # A run may end before it calls a method, or after its last one.
    assert stage.played["faults"] >= _MET * stage.played["planned_faults"]
    print(f"NB_SEED={_SEED}, part {part}: {dict(stage.played)} {dict(stage.methods)}")
