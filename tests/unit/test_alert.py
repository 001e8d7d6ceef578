"""What a topic is told of a scheduled run that somebody has to look at, and that a topic which cannot be reached changes nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from builder.act.alert import Alert
from builder.errors import BadInput, ExitCode, Problem
from builder.ports import CallFailed
from tests.unit.test_report import GREEN, LOST, RED, result

TOPIC = "projects/p/topics/red"


@dataclass
class Postbox:
    """A door to Pub/Sub that keeps what it is given, or is shut."""

    shut: bool = False
    sent: list[dict[str, Any]] = field(default_factory=list)

    def publish(self, topic: str, data: bytes) -> str:
        if self.shut:
            raise CallFailed(call="pubsub.topics.publish", resource=topic, code="http403", message="no")
        assert topic == TOPIC
        self.sent.append(json.loads(data))
        return "1"


def alert(postbox: Postbox, told: list[str] | None = None) -> Alert:
    tell = [] if told is None else told
    return Alert(postbox, TOPIC, event="e1", today=date(2018, 4, 1), tell=tell.append)


def test_a_red_run_is_told_with_its_red_jobs() -> None:
    postbox = Postbox()
    results = [result("demo", GREEN), result("bad", RED), result("lost", LOST)]
    alert(postbox).ended("r1", results, ExitCode.ENVIRONMENT_FAILED, report="gs://b/summary.json", left=[])
    assert postbox.sent == [
        {
            "schema": 1,
            "run": "r1",
            "event": "e1",
            "today": "2018-04-01",
            "verdict": "red",
            "exit_code": 6,
            "jobs": [
                {"job": "bad", "reason": "cell_failed", "message": RED.message},
                {"job": "lost", "reason": "vm_lost", "message": LOST.message},
            ],
            "report": "gs://b/summary.json",
            "left": [],
        }
    ]


def test_a_green_run_is_not_told() -> None:
    postbox = Postbox()
    alert(postbox).ended("r1", [result("demo", GREEN)], ExitCode.GREEN, report="gs://b/s.json", left=[])
    assert postbox.sent == []


def test_a_green_run_that_may_have_left_a_vm_is_told_with_what_is_left() -> None:
    postbox = Postbox()
    left = ["VM nb-1 in z, at most 9 s after its start; gcloud compute instances delete nb-1"]
    code = ExitCode.CLEANUP_UNCONFIRMED
    alert(postbox).ended("r1", [result("demo", GREEN)], code, report="gs://b/s.json", left=left)
    (sent,) = postbox.sent
    assert (sent["verdict"], sent["exit_code"], sent["jobs"], sent["left"]) == ("green", 7, [], left)


def test_a_run_that_could_not_begin_is_told_with_its_reason() -> None:
    postbox = Postbox()
    alert(postbox).failed("r1", BadInput([Problem("NB_EVENT", "", "no")]))
    (sent,) = postbox.sent
    assert (sent["exit_code"], sent["jobs"], sent["reason"]) == (2, [], "bad_input")
    assert sent["message"] == "NB_EVENT: no"


def test_a_long_reason_is_cut() -> None:
    postbox = Postbox()
    alert(postbox).failed("r1", BadInput([Problem("NB_EVENT", "", "x" * 5000)]))
    assert len(postbox.sent[0]["message"]) < 2100


def test_a_topic_that_refuses_is_a_warning() -> None:
    told: list[str] = []
    alert(Postbox(shut=True), told).ended(
        "r1", [result("bad", RED)], ExitCode.NOTEBOOK_FAILED, report="", left=[]
    )
    assert told == [
        "nobody could be told of this run: pubsub.topics.publish on projects/p/topics/red: no [http403]"
    ]
