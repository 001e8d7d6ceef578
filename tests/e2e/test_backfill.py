"""`deploy --backfill` on the real path: messages, function, builds, VMs, and the pages of the days."""

from __future__ import annotations

import json

import pytest

from localcloud.core.iam import PROJECT
from tests.e2e.builder_process import Builder, Repo
from tests.e2e.deploying import BOOK, NOTHING, Deployer
from tests.e2e.test_deploy_runs import INSERT, parameters, version

PUBLISH = "pubsub.projects.topics.publish"
RANGE = "--backfill 2018-04-01..2018-04-03"
DAYS = {"2018-04-01": "2018-03-31", "2018-04-02": "2018-04-01", "2018-04-03": "2018-04-02"}


@pytest.mark.exhaustive  # tests/deploy/test_backfill.py and tests/function/test_submit.py show it part by part
def test_three_days_are_green_once_although_a_reply_was_lost_and_a_second_backfill_runs_nothing(
    deployer: Deployer,
) -> None:
    assert deployer.deploy().code == 0
    vms = deployer.calls().get(INSERT, 0)
    deployer.fault(PUBLISH, "drop_after")
    done = deployer.deploy(RANGE)
    assert done.code == 0, done.output
    none = "0 days have a build that has not ended"
    assert f"verdict: GREEN, 3 messages were published, {none}, and 0 days have green results" in done.output
    assert deployer.calls()[PUBLISH] == 4  # the day whose reply was lost has two messages
    builds = deployer.ended(3)
    assert [build["status"] for build in builds] == ["SUCCESS"] * 3
    for day, before in DAYS.items():
        published = version(deployer, day)
        assert parameters(published) == {"day": before}
        assert json.loads(published["result.json"])["verdict"] == "green"
        page = (deployer.location / "versions" / day / "index.html").read_text()
        assert f"backfill-{day}-1" in page

    again = deployer.deploy(RANGE)
    assert again.code == 0, again.output
    assert f"verdict: GREEN, 0 messages were published, {none}, and 3 days have green results" in again.output
    assert [f"{day}: already has green results; not run again" in again.output for day in DAYS] == [True] * 3
    assert deployer.calls()[PUBLISH] == 4
    assert len(deployer.builds()) == 3
    assert deployer.calls()[INSERT] == vms + 3
    assert deployer.left() == []


def test_a_wrong_range_makes_no_call_and_without_a_deployment_no_day_is_run(
    builder: Builder, repo: Repo
) -> None:
    repo.write({"demo.ipynb": BOOK})
    deployer = Deployer(builder.cloud, repo.folder)
    before = deployer.calls()
    wrong = deployer.deploy("--backfill 2018-04-03..2018-04-01")
    assert wrong.code == 2, wrong.output
    expected = (
        "--backfill is '2018-04-03..2018-04-01': expected FROM..TO, but 2018-04-01 is before 2018-04-03"
    )
    assert expected in wrong.output
    assert deployer.calls() == before

    nothing = deployer.deploy(RANGE)
    assert nothing.code == 2, nothing.output
    assert "live/nightly/live.json does not exist: nothing is live, so no day can run." in nothing.output
    assert deployer.made() == NOTHING
    assert PUBLISH not in deployer.calls()


def test_an_account_that_may_not_publish_is_4_and_the_message_names_the_permission(
    deployer: Deployer,
) -> None:
    assert deployer.deploy().code == 0
    why = "User not authorized to perform this action."
    deployer.fault(PUBLISH, "error", status=403, message=why, reason="forbidden")
    done = deployer.deploy(RANGE)
    assert done.code == 4, done.output
    assert f"pubsub.topics.publish on projects/{PROJECT}/topics/nightly was refused" in done.output
    assert "lacks pubsub.topics.publish" in done.output
