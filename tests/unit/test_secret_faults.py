"""Verdicts on secrets: whose fault, in which words, and with the command that helps."""

from __future__ import annotations

from typing import Any

import pytest

from builder.errors import ExitCode
from builder.model import Verdict
from tests.unit.good_attempt import Attempt, Json

NAME = "projects/my-project/secrets/maps-key/versions/3"
VM = "notebook-vm@my-project.iam.gserviceaccount.com"
GRANT = (
    f"gcloud secrets add-iam-policy-binding maps-key --project=my-project --member=serviceAccount:{VM} "
    "--role=roles/secretmanager.secretAccessor --condition=None"
)


def judged(reason: str, *uses: Json, message: str = "") -> Verdict:
    """The verdict on this fault, with what the evidence says of secrets."""
    told = [{"name": "MAPS_KEY", "resource": NAME, "version": None, "redactions": 0} | use for use in uses]

    def spoil(evidence: Json) -> None:
        evidence |= {
            "fault": {"reason": reason, "message": message, "cell": None},
            "secrets": told,
            "papermill": None,
        }

    return Attempt(on_evidence=[spoil]).judge()


@pytest.mark.parametrize(
    ("problem", "words", "command"),
    [
        pytest.param("denied", "lacks roles/secretmanager.secretAccessor on it", GRANT, id="denied"),
        pytest.param(
            "missing",
            "it does not exist",
            "gcloud secrets versions list maps-key --project=my-project",
            id="missing",
        ),
        pytest.param(
            "disabled",
            "this version is disabled",
            "gcloud secrets versions enable 3 --secret=maps-key --project=my-project",
            id="disabled",
        ),
        pytest.param(
            "destroyed",
            "this version is destroyed",
            "gcloud secrets versions add maps-key --project=my-project --data-file=FILE",
            id="destroyed",
        ),
        pytest.param(
            "api_disabled",
            "Secret Manager API is not enabled",
            "gcloud services enable secretmanager.googleapis.com --project=my-project",
            id="API disabled",
        ),
        pytest.param(
            "refused",
            "Secret Manager refuses it",
            "The log has Secret Manager's answer.",
            id="refused",
        ),
        pytest.param(
            "odd\x1b[31m",
            "Secret Manager refuses it",
            "The log has Secret Manager's answer.",
            id="unknown problem",
        ),
    ],
)
def test_a_refusal_is_the_projects_set_up(problem: str, words: str, command: str) -> None:
    verdict = judged("secret_refused", {"problem": problem})
    assert (verdict.exit_code, verdict.reason) == (ExitCode.PROJECT_SETUP, "secret_refused")
    assert not verdict.retryable
    assert verdict.message.startswith(f"secret MAPS_KEY ({NAME}): ")
    assert words in verdict.message
    assert verdict.advice == command


def test_a_secret_that_was_not_requested_is_not_repeated() -> None:
    verdict = judged("secret_refused", {"name": "; rm -rf /", "problem": "denied"})
    assert verdict.exit_code is ExitCode.PROJECT_SETUP
    assert "rm -rf" not in verdict.message + verdict.advice


@pytest.mark.parametrize("problem", ["short", "not_text", "nul", "word", "odd"])
def test_a_value_that_cannot_be_used_is_the_notebooks_fault(problem: str) -> None:
    verdict = judged("secret_unfit", {"problem": problem, "version": "3"})
    assert (verdict.exit_code, verdict.reason) == (ExitCode.NOTEBOOK_FAILED, "secret_unfit")
    assert verdict.message.startswith(f"secret MAPS_KEY ({NAME}): its value ")


@pytest.mark.parametrize("reason", ["secret_in_source", "secret_in_output"])
def test_a_value_where_it_must_not_be_is_the_notebooks_fault(reason: str) -> None:
    said = "outputs/x.png was not uploaded: it holds the value of secret MAPS_KEY"
    verdict = judged(reason, message=said)
    assert (verdict.exit_code, verdict.reason, verdict.message) == (ExitCode.NOTEBOOK_FAILED, reason, said)
    assert judged(reason).message


@pytest.mark.parametrize("reason", ["secret_refused", "secret_unfit"])
def test_a_fault_without_particulars(reason: str) -> None:
    assert judged(reason).reason == reason
    assert judged(reason).message


def test_an_unreachable_secret_manager_is_the_environments_fault() -> None:
    verdict = judged("secret_unavailable", message="Secret Manager does not answer")
    assert verdict.exit_code is ExitCode.ENVIRONMENT_FAILED
    assert verdict.retryable


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"version": None}, id="no version"),
        pytest.param({"version": "4"}, id="other version"),
        pytest.param({"problem": "denied"}, id="problem"),
        pytest.param({"resource": NAME.replace("maps", "other")}, id="other resource"),
        pytest.param({"name": "OTHER"}, id="other name"),
    ],
)
def test_green_needs_word_of_every_secret(change: Json) -> None:
    verdict = Attempt(on_evidence=[lambda evidence: evidence["secrets"][0].update(change)]).judge()
    assert (verdict.exit_code, verdict.reason) == (ExitCode.ENVIRONMENT_FAILED, "secret_not_given")


def test_one_secret_too_many_and_none_at_all() -> None:
    def more(evidence: Json) -> Any:
        evidence["secrets"].append({**evidence["secrets"][0], "name": "EXTRA"})

    for change in (more, lambda evidence: evidence.update(secrets=[])):
        assert Attempt(on_evidence=[change]).judge().reason == "secret_not_given"
    assert Attempt().judge().green


def test_a_version_that_was_asked_for_by_alias_may_be_any() -> None:

    latest = NAME.replace("/3", "/latest")
    attempt = Attempt(
        on_evidence=[lambda evidence: evidence["secrets"][0].update(resource=latest, version="17")],
        options={"secrets": {"MAPS_KEY": latest}},
    )
    assert attempt.judge().green
