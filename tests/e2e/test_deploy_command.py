"""`deploy` as a process: what it says, how it ends, and that what is live changes only when it should."""

from __future__ import annotations

import signal

import pytest

from localcloud.core.iam import email
from tests.e2e.builder_process import Builder, Repo, until
from tests.e2e.deploying import BOOK, MADE, NAME, NOTHING, Deployer
from tests.patience import HANGS, SOON

TAGS = "artifactregistry.projects.locations.repositories.packages.tags.get"
FUNCTIONS = "cloudfunctions.projects.locations.functions"


def test_an_unproven_notebook_is_not_deployed(builder: Builder, repo: Repo) -> None:
    repo.write({"demo.ipynb": BOOK})
    deployer = Deployer(builder.cloud, repo.folder, builder.prefix)
    objects = deployer.cloud.inventory()["storage.objects"]
    done = deployer.deploy()
    assert done.code == 2, done.output
    assert "verdict: RED, not proven (exit code 2: bad input)" in done.output
    assert "demo.ipynb: no green run had exactly these inputs: notebook" in done.output
    assert deployer.made() == NOTHING
    assert deployer.cloud.inventory()["storage.objects"] == objects


def test_green_goes_live_once_and_can_be_removed(deployer: Deployer) -> None:
    first = deployer.deploy()
    assert first.code == 0, first.output
    assert deployer.made() == MADE
    live = deployer.live()
    assert live is not None

    again = deployer.deploy()
    assert again.code == 0, again.output
    assert "nothing changed" in again.output.splitlines()[-1]
    assert deployer.live() == live

    status = deployer.deploy("--status")
    assert status.code == 0, status.output
    assert "demo: green in run " in status.output
    assert "function: ACTIVE" in status.output
    assert "function, topic and schedule match what is live" in status.output

    Repo(deployer.folder).write({"demo.ipynb": BOOK.replace("Paris", "Rome")})
    changed = deployer.deploy()
    assert changed.code == 2, changed.output
    assert "demo.ipynb: no green run had" in changed.output
    assert "the live version stays" in changed.output
    assert deployer.live() == live
    assert deployer.made() == MADE

    a_signal_changes_nothing_and_says_what_to_do(deployer, "--undeploy", "Run `deploy --undeploy` again")
    gone = deployer.deploy("--undeploy")
    assert gone.code == 0, gone.output
    assert (deployer.made(), deployer.live()) == (NOTHING, None)
    assert len(list((deployer.location / "live" / NAME).glob("*.tar.gz"))) == 1
    assert (deployer.location / "results").is_dir()


@pytest.mark.exhaustive  # tests/deploy shows each in one process
def test_a_deployment_can_be_gone_back_from_and_a_signal_changes_nothing(deployer: Deployer) -> None:
    assert deployer.deploy().code == 0
    live = deployer.live()
    assert live is not None
    later = deployer.deploy(NB_SCHEDULE="0 7 * * 1")
    assert later.code == 0, later.output
    assert schedule(deployer) == "0 7 * * 1"
    a_signal_changes_nothing_and_says_what_to_do(deployer, "--rollback", "Check `deploy --status` first")
    back = deployer.deploy("--rollback")
    assert back.code == 0, back.output
    assert schedule(deployer) == "0 6 * * 1"
    restored = deployer.live()
    assert restored is not None
    assert restored[1]["live"] == live[1]["live"]
    no_further = deployer.deploy("--rollback")
    assert no_further.code == 2, no_further.output
    assert "nothing was live before this" in no_further.output

    gone = deployer.deploy("--undeploy")
    assert gone.code == 0, gone.output
    nothing = deployer.deploy("--undeploy")
    assert nothing.code == 0, nothing.output
    assert "nothing changed" in nothing.output
    assert "nothing is live" in deployer.deploy("--status").output


def a_signal_changes_nothing_and_says_what_to_do(deployer: Deployer, flag: str, advice: str) -> None:
    live = deployer.live()
    code, output = interrupted(deployer, f"{FUNCTIONS}.get", flag)
    assert code == 143, output
    assert f"  do: {advice}" in output
    assert deployer.live() == live


def schedule(deployer: Deployer) -> str:
    """When the job runs, as Cloud Scheduler has it."""
    (job,) = deployer.cloud.inventory()["scheduler.jobs"]
    return str(job["schedule"])


ALL_WRONG = {
    "NB_FUNCTION": "Nightly!",
    "NB_SCHEDULE": "0 6 * *",
    "NB_SCHEDULE_PARAMETERS": '{"day": "{today-1x}"}',
    "NB_TIME_ZONE": "Europe/Nowhere",
    "NB_TOPIC": "a b",
    "NB_BUILDER_IMAGE": "!!",
    "NB_PARAMETERS": '{"town": "Rome"}',
}
MISTAKES = {
    "no function": ("", {"NB_FUNCTION": ""}, ["NB_FUNCTION: is required"]),
    "no function to remove": ("--undeploy", {"NB_FUNCTION": ""}, ["NB_FUNCTION: is required"]),
    "everything": ("", ALL_WRONG, [*ALL_WRONG]),
    "an event": ("", {"NB_EVENT": "{}"}, ["NB_EVENT is '{}': is only for run and plan"]),
    "an event that is none": ("", {"NB_EVENT": "now"}, ["NB_EVENT is 'now'"]),
    "two actions": ("--status --undeploy", {}, ["--undeploy: not allowed with argument --status"]),
}


@pytest.mark.parametrize(
    ("flags", "options", "told"),
    [
        pytest.param(
            *case, id=name, marks=() if name in {"everything", "two actions"} else pytest.mark.exhaustive
        )
        for name, case in MISTAKES.items()
    ],
)
def test_mistakes_are_reported_together_before_any_call(
    builder: Builder, repo: Repo, flags: str, options: dict[str, str], told: list[str]
) -> None:
    repo.write({"demo.ipynb": BOOK})
    deployer = Deployer(builder.cloud, repo.folder)
    before = deployer.calls()
    done = deployer.deploy(flags, **options)
    assert done.code == 2, done.output
    mistakes = [line for line in done.output.splitlines() if line.startswith("  ") and "do: " not in line]
    assert len(mistakes) == len(told)
    for words, line in zip(sorted(told), sorted(mistakes), strict=True):
        assert line.startswith(f"  {words}")
    assert deployer.calls() == before


@pytest.mark.exhaustive  # e2e/test_accounts.py, unit/test_deploy_image.py, deploy/test_promotion.py show it part by part
def test_a_refused_deployment_creates_nothing_and_an_interrupted_one_is_completed(deployer: Deployer) -> None:
    an_image_that_is_not_there_is_bad_input(deployer)
    the_account_of_pull_requests_cannot_deploy(deployer)
    a_signal_ends_it_at_any_call_and_the_next_one_goes_on(deployer)


def an_image_that_is_not_there_is_bad_input(deployer: Deployer) -> None:
    deployer.fault(TAGS, "error", status=404)
    image = "us-central1-docker.pkg.dev/local-project/notebook-builder/notebook-builder"
    done = deployer.deploy(NB_BUILDER_IMAGE=f"{image}:9.9")
    assert done.code == 2, done.output
    assert f"NB_BUILDER_IMAGE: there is no image {image}:9.9 in Artifact Registry" in done.output
    assert (deployer.made(), deployer.live()) == (NOTHING, None)


def the_account_of_pull_requests_cannot_deploy(deployer: Deployer) -> None:
    before = deployer.deploy(**deployer.cloud.environment("notebook-builder"))
    assert before.code == 4, before.output
    assert f"{email('notebook-builder')} lacks storage.objects.create" in before.output
    assert "the roles of notebook-deployer (docs/accounts.md)" in before.output
    assert "Deploy as an account with the roles of notebook-deployer" in before.output
    assert (deployer.made(), deployer.live()) == (NOTHING, None)


def interrupted(
    deployer: Deployer, method: str, flag: str = "", match: dict[str, str] | None = None
) -> tuple[int, str]:
    """Exit code and output of a `deploy` that is told to go while a call hangs; it does not wait for the call."""
    deployer.fault(method, "stall", match=match, seconds=HANGS)
    process, _ = deployer.start(f"deploy {flag}")
    until(lambda: deployer.cloud.inventory()["faults"][-1]["consumed"], "a call that hangs")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=SOON)
    return process.returncode, output


HANGING: tuple[tuple[str, dict[str, str]], ...] = (
    (TAGS, {}),
    ("pubsub.projects.topics.create", {}),
    (f"{FUNCTIONS}.create", {}),
    ("cloudfunctions.projects.locations.operations.get", {}),
    ("storage.objects.insert", {"object": "*live.json"}),
)


def a_signal_ends_it_at_any_call_and_the_next_one_goes_on(deployer: Deployer) -> None:
    """Each `deploy` gets as far as a later call, on what the one before left; the last one completes it."""
    for method, match in HANGING:
        code, output = interrupted(deployer, method, match=match)
        assert code == 143, output
        assert "Run `deploy` again" in output
        assert "Traceback" not in output
        assert deployer.live() is None
    done = deployer.deploy()
    assert done.code == 0, done.output
    assert deployer.made() == MADE
    assert deployer.live() is not None
