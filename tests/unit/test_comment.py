"""`comment` without a server: the addresses that it accepts, its options, and its page."""

from __future__ import annotations

import re

import pytest

from builder.errors import BadInput
from builder.model import PullRequest
from builder.options.pull_request import pull_request
from builder.options.secret_names import secret_version
from builder.options.values import InvalidValue
from builder.report.comment import MAX_CHARACTERS, comment_text
from tests.gcloud_commands import ROOT
from tests.loading import load_options

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SECRET = "projects/my-project/secrets/comment-token/versions/latest"
MINIMAL = {
    "BUILD_ID": "b1",
    "COMMIT_SHA": COMMIT,
    "NB_GCS_LOCATION": "gs://my-bucket/ci",
    "NB_PULL_REQUEST": "https://github.com/acme/rides/pull/7",
    "NB_COMMENT_TOKEN": SECRET,
}


@pytest.mark.parametrize(
    ("url", "forge", "api", "repository"),
    [
        pytest.param(
            "https://github.com/acme/rides/pull/7", "github", "https://api.github.com", "acme/rides", id="GitHub"
        ),
        pytest.param(
            "https://acme.ghe.com/acme/rides/pull/7", "github", "https://api.acme.ghe.com", "acme/rides",
            id="GitHub with data residency",
        ),
        pytest.param(
            "https://git.acme.example:8443/acme/rides.v2/pull/7/", "github", "https://git.acme.example:8443/api/v3",
            "acme/rides.v2", id="own GitHub",
        ),
        pytest.param(
            "https://gitlab.com/acme/rides/-/merge_requests/7", "gitlab", "https://gitlab.com/api/v4", "acme/rides",
            id="GitLab",
        ),
        pytest.param(
            "https://Git.acme.example/acme/team/rides/-/merge_requests/7", "gitlab",
            "https://git.acme.example/api/v4", "acme/team/rides", id="own GitLab with a subgroup",
        ),
    ],
)  # fmt: skip
def test_the_address_tells_forge_api_and_repository(url: str, forge: str, api: str, repository: str) -> None:
    found = pull_request.parse(url)
    assert (found.forge, found.api, found.repository, found.number) == (forge, api, repository, 7)
    assert pull_request.write(found) == url


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://github.com/acme/rides/pull/7", id="no TLS"),
        pytest.param("https://github.com/acme/rides/pull/", id="no number"),
        pytest.param("https://github.com/acme/rides/pull/0", id="zero"),
        pytest.param("https://user:password@github.com/acme/rides/pull/7", id="password"),
        pytest.param("https://github.com/acme/../pull/7", id="dots"),
        pytest.param("https://github.com/acme/rides/pull/7?x=1", id="query"),
        pytest.param("https://github.com/acme/rides/issues/7", id="issue"),
        pytest.param("https://github.com/a/b/c/pull/7", id="three names"),
        pytest.param("https://gitlab.com/rides/-/merge_requests/7", id="no group"),
        pytest.param("https://gitlab.com/acme%2Frides/x/-/merge_requests/7", id="quoted slash"),
        pytest.param("https://evil.example#@github.com/acme/rides/pull/7", id="fragment"),
    ],
)
def test_another_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidValue, match="expected https://HOST/OWNER/REPOSITORY/pull/NUMBER"):
        pull_request.parse(url)


def test_options_of_the_comment_come_from_environment_and_flags() -> None:
    options = load_options(
        ["comment", "--comment-token", SECRET.replace("latest", "3")], MINIMAL, lambda _: "]["
    )
    assert options.comment is not None
    assert options.comment.comment_token.endswith("/versions/3")
    assert options.comment.pull_request == PullRequest(
        "github", MINIMAL["NB_PULL_REQUEST"], "https://api.github.com", "acme/rides", 7
    )
    assert (options.run_id, options.gcs_location.prefix) == ("b1", "ci")
    assert load_options(["comment"], {**MINIMAL, "NB_RUN_ID": "mine"}, lambda _: None).run_id == "mine"


def test_what_made_the_run_red_does_not_stop_the_comment() -> None:
    wrong = {
        "NB_TIMEOUT": "x",
        "NB_TIMEOUTS": "1",
        "NB_NOTEBOOKS": "../x.ipynb",
        "NB_VM_SERVICE_ACCOUNT": "me",
    }
    assert load_options(["comment"], {**MINIMAL, **wrong}, lambda _: "][").warnings == ()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *(
            pytest.param(name, "", id=f"no {name}")
            for name in ("NB_PULL_REQUEST", "NB_COMMENT_TOKEN", "NB_GCS_LOCATION", "BUILD_ID", "COMMIT_SHA")
        ),
        ("COMMIT_SHA", "main"),
        ("NB_GCS_LOCATION", "my-bucket"),
    ],
)
def test_a_missing_or_wrong_option_is_a_mistake(variable: str, value: str) -> None:
    with pytest.raises(BadInput) as caught:
        load_options(["comment"], {**MINIMAL, variable: value}, lambda _: None)
    assert [problem.variable for problem in caught.value.problems] == [variable]


def test_a_flag_without_value_does_not_make_others_missing() -> None:
    with pytest.raises(BadInput) as caught:
        load_options(["comment", "--pull-request"], {"BUILD_ID": "b1", "COMMIT_SHA": COMMIT}, lambda _: None)
    assert [problem.variable for problem in caught.value.problems] == ["--pull-request"]


def test_a_token_in_place_of_its_secret_is_not_repeated() -> None:
    with pytest.raises(BadInput) as caught:
        load_options(["comment"], {**MINIMAL, "NB_COMMENT_TOKEN": "ghp_abcdef"}, lambda _: None)
    assert "ghp" not in str(caught.value)
    with pytest.raises(InvalidValue):
        secret_version.parse(["ghp_abcdef"])


def test_only_the_comment_has_these_flags() -> None:
    with pytest.raises(BadInput, match="--comment-token: no such flag"):
        load_options(["plan", "--comment-token", SECRET], MINIMAL, lambda _: None)
    with pytest.raises(BadInput, match="--timeout: no such flag"):
        load_options(["comment", "--timeout", "5"], MINIMAL, lambda _: None)
    file = f"comment_token: {SECRET}\nnotebooks: [demo.ipynb]\n"
    with pytest.raises(BadInput, match="comment_token"):
        load_options(["plan"], MINIMAL, lambda name: file if name == "notebooks.yaml" else None)


def test_a_run_accepts_the_options_of_the_comment_in_its_environment() -> None:
    env = {
        **MINIMAL,
        "NB_NOTEBOOKS": "demo.ipynb",
        "NB_VM_SERVICE_ACCOUNT": "notebook-vm@my-project.iam.gserviceaccount.com",
    }
    options = load_options(["run"], env, lambda _: None)
    assert (options.comment, options.warnings) == (None, ())


@pytest.mark.parametrize("length", [0, 100, MAX_CHARACTERS - 100, MAX_CHARACTERS, 10 * MAX_CHARACTERS])
def test_a_comment_is_never_too_long(length: int) -> None:
    text = comment_text("x" * length, "https://x.example/")
    assert len(text) <= MAX_CHARACTERS
    assert ("The rest is in the" in text) == (length >= MAX_CHARACTERS - 50)


def test_the_page_names_the_limits_that_the_code_has() -> None:
    page = (ROOT / "docs" / "pull-request-comment.md").read_text(encoding="utf-8")
    assert "first 2,000 comments" in page
    assert re.search(r"allowFailure: true\n  - id: comment", page)
