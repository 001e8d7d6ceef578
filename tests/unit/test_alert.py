"""Tests the alert of a scheduled run that needs attention. A topic that cannot be reached changes nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from builder.act.result import LeftVm
from builder.errors import BadInput, ExitCode, Problem
from builder.ports import CallFailed
from builder.report.alert import Alert
from tests.unit.test_report import GREEN, LOST, RED, result, run_result

TOPIC = "projects/p/topics/red"


@dataclass
class Postbox:
    """A stand-in for Pub/Sub that keeps each message, or refuses it."""

    shut: bool = False
    sent: list[dict[str, Any]] = field(default_factory=list)

    def publish(self, topic: str, data: bytes) -> None:
        if self.shut:
            raise CallFailed(call="pubsub.topics.publish", resource=topic, code="http403", message="no")
        assert topic == TOPIC
        self.sent.append(json.loads(data))


def alert(postbox: Postbox, warnings: list[str] | None = None) -> Alert:
    kept = [] if warnings is None else warnings
    return Alert(postbox.publish, TOPIC, event="e1", today=date(2018, 4, 1), warn=kept.append)


def test_a_red_run_is_published_with_its_red_jobs() -> None:
    postbox = Postbox()
    jobs = [result("demo", GREEN), result("bad", RED), result("lost", LOST)]
    alert(postbox).ended(run_result(*jobs, code=ExitCode.ENVIRONMENT_FAILED))
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
            "report": "gs://b/ci/results/r1/summary.json",
            "left": [],
        }
    ]


def test_a_green_run_is_not_published() -> None:
    postbox = Postbox()
    alert(postbox).ended(run_result(result("demo", GREEN), code=ExitCode.GREEN))
    assert postbox.sent == []


def test_a_green_run_that_may_have_left_a_vm_is_published_with_that_vm() -> None:
    postbox = Postbox()
    ended = run_result(result("demo", GREEN), code=ExitCode.CLEANUP_UNCONFIRMED)
    left = [LeftVm("nb-1", "z", "", 9, "gcloud compute instances delete nb-1")]
    alert(postbox).ended(replace(ended, left=left))
    (sent,) = postbox.sent
    assert (sent["verdict"], sent["exit_code"], sent["jobs"]) == ("green", 7, [])
    assert sent["left"] == [
        "VM nb-1 in z, deadline not confirmed: Google deletes it at most 9 s after its start, but not if it has stopped. To delete it now: gcloud compute instances delete nb-1"
    ]


def test_a_run_that_could_not_begin_is_published_with_its_reason() -> None:
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
    warnings: list[str] = []
    alert(Postbox(shut=True), warnings).ended(run_result(result("bad", RED), code=ExitCode.NOTEBOOK_FAILED))
    assert warnings == [
        "the alert on this run could not be published: pubsub.topics.publish on projects/p/topics/red: no [http403]"
    ]
