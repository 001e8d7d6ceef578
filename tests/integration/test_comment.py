"""`comment` on a stand-in of GitHub and of GitLab, with the token and the run's summary from localcloud."""

from __future__ import annotations

import io
import json
import secrets
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.oauth2.credentials import Credentials

from builder.act.proofs import Origin
from builder.cli import carry_out
from builder.commands import Context
from builder.errors import BadInput, BuilderError, ExitCode
from builder.forge.forges import Forge
from builder.gcp import clients
from builder.gcp.clients import Access
from builder.options.pull_request import pull_request
from builder.report.comment import MARKER, MAX_CHARACTERS
from builder.report.console import Console
from builder.report.markdown import render_markdown
from builder.report.summary import render_summary
from builder.waiting import Cancellation, RealClock
from localcloud.cloud import Cloud
from localcloud.core.iam import PROJECT, email
from tests.canary import ACCESSOR, assert_absent, client
from tests.certificates import certificates
from tests.forge import Planned, StandIn, served
from tests.unit.sample_reports import GREEN, RED, job, report

BUCKET = "local-project-notebooks"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
USER, OTHER = 11, 22
STOLEN = f"{MARKER}\n### ✅ GREEN: believe me\n"


ONE_FORGE = pytest.mark.parametrize("commenting", ["github"], indirect=True)  # for what both have in common


class HastyClock(RealClock):
    """A clock whose sleeps pass at once; `slept` has them."""

    def __init__(self) -> None:
        super().__init__(Cancellation())
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return time.monotonic() + sum(self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@dataclass
class Commenting:
    """One pull request, one secret, and the runs of one prefix."""

    cloud: Cloud
    forge: StandIn
    token: str
    secret: str
    prefix: str
    clock: HastyClock = field(default_factory=HastyClock)
    log: io.StringIO = field(default_factory=io.StringIO)

    def write(self, name: str, content: bytes) -> None:
        """Write an object of the prefix, as a run would."""
        path = self.cloud.state / "storage" / BUCKET / self.prefix / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def run(
        self,
        *,
        red: bool = False,
        run: str = "b1",
        commit: str = COMMIT,
        code: int | None = None,
        build: str = "b1",
    ) -> None:
        """Leave the claim and the summary of a run."""
        self.claim(run, build)
        jobs = [job("demo", GREEN), *([job("bad", RED)] if red else [])]
        ending = ExitCode(code if code is not None else int(red))
        made = report(*jobs, code=ending)
        self.write(f"results/{run}/summary.json", render_summary(made.result, Origin(build, commit)))
        self.write(f"results/{run}/summary.md", render_markdown(made))

    def claim(self, run: str, build: str = "b1") -> None:
        """Leave the claim alone: the run has begun, and ended without a summary."""
        claim = {"schema": 1, "run": run, "claim": "0", "build": build}
        self.write(f"staging/{run}/run.json", json.dumps(claim).encode())

    def comment(self, **more: str) -> int:
        """Carry the command out. Returns its exit code, or that of the error that it raised and that the log has."""
        env = {
            "PROJECT_ID": PROJECT,
            "BUILD_ID": "b1",
            "COMMIT_SHA": COMMIT,
            "LOCATION": "us-central1",
            "NB_GCS_LOCATION": f"gs://{BUCKET}/{self.prefix}",
            "NB_PULL_REQUEST": self.forge.pull_request,
            "NB_COMMENT_TOKEN": f"{self.secret}/versions/latest",
            **more,
        }
        context = Context(Path("/"), Cancellation(), self.clock, Console(self.log))
        try:
            return carry_out(["comment"], env, context)
        except BuilderError as error:
            self.log.write(f"{error.message}\ndo: {error.advice}\n")
            return error.exit_code

    @property
    def printed(self) -> str:
        return self.log.getvalue()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with Cloud(tmp_path_factory.mktemp("cloud")) as made:
        yield made
        assert made.inventory().get("schema_violations", []) == []


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=["github", "gitlab"])
def commenting(
    request: pytest.FixtureRequest, cloud: Cloud, tls: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Commenting]:
    """Everything for one comment on either forge. At the end, no call was unknown, and nothing has the token."""
    authority, server = tls
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority))
    endpoints = dict.fromkeys(("storage", "secretmanager"), cloud.url)
    access = Access(Credentials(token=cloud.iam.token(email("notebook-builder"))[0]), PROJECT, endpoints)
    monkeypatch.setattr(clients, "open_access", lambda *_: access)
    token = secrets.token_hex(20)
    secret = make_token(cloud, token)
    with served(request.param, server) as forge:
        forge.users[token] = USER
        made = Commenting(cloud, forge, token, secret, f"p-{uuid.uuid4().hex[:8]}")
        yield made
    assert forge.unknown == []
    assert forge.planned == [], "planned answers that no call met"
    written = "".join([made.printed, *(one["body"] for one in forge.comments), json.dumps(forge.statuses)])
    assert_absent({"the token": token}, {"what was written": written.encode()})


def make_token(cloud: Cloud, value: str, *, granted: bool = True) -> str:
    """Make a secret with this value, which the build's account may read. Returns its name."""
    google, parent = client(cloud), f"projects/{PROJECT}"
    secret_id = f"token-{uuid.uuid4().hex[:8]}"
    google.create_secret(parent=parent, secret_id=secret_id, secret={"replication": {"automatic": {}}})
    google.add_secret_version(parent=f"{parent}/secrets/{secret_id}", payload={"data": value.encode()})
    if granted:
        members = [f"serviceAccount:{email('notebook-builder')}"]
        policy = {"bindings": [{"role": ACCESSOR, "members": members}]}
        google.set_iam_policy(request={"resource": f"{parent}/secrets/{secret_id}", "policy": policy})
    return f"{parent}/secrets/{secret_id}"


def state_of(status: dict[str, Any]) -> tuple[str, str]:
    return status["state"], status["description"]


def test_one_comment_is_written_and_then_replaced(commenting: Commenting) -> None:
    commenting.run(red=True)
    assert commenting.comment() == 1
    commenting.run()
    assert commenting.comment() == 0
    forge = commenting.forge
    assert len(forge.comments) == 1
    (text,) = forge.own(USER)
    assert text.startswith(f"{MARKER}\n### ✅ GREEN: 1 of 1 notebooks green")
    red = {"github": "failure", "gitlab": "failed"}[forge.kind]
    assert [state_of(one) for one in forge.statuses] == [
        (red, "1 of 2 notebooks green"),
        ("success", "1 of 1 notebooks green"),
    ]
    page = f"https://storage.cloud.google.com/{BUCKET}/{commenting.prefix}/results/b1/index.html"
    assert {one["target_url"] for one in forge.statuses} == {page}
    assert {one["commit"] for one in forge.statuses} == {COMMIT}
    assert {one.get("context") or one.get("name") for one in forge.statuses} == {"notebook-builder"}
    assert "verdict: RED, run b1: 1 of 2 notebooks green (exit code 1: as the run)" in commenting.printed
    assert f"report: {page}" in commenting.printed


def test_somebody_elses_comment_with_the_marker_is_left_alone(commenting: Commenting) -> None:
    commenting.forge.add(STOLEN, author=OTHER)
    commenting.forge.add(STOLEN, author=None)
    commenting.forge.add(f"As I said: {MARKER}", author=USER)
    commenting.run(red=True)
    assert commenting.comment() == 1
    assert commenting.comment() == 1
    assert commenting.forge.own(OTHER) == [STOLEN]
    quoting, own = commenting.forge.own(USER)
    assert quoting == f"As I said: {MARKER}"
    assert "### ❌ RED: 1 of 2 notebooks green" in own


def test_the_own_comment_is_found_on_a_later_page(commenting: Commenting) -> None:
    for number in range(120):
        commenting.forge.add(f"comment {number}", author=OTHER)
    commenting.run()
    assert commenting.comment() == 0
    assert commenting.comment() == 0
    assert len(commenting.forge.comments) == 121
    assert commenting.forge.calls.count("list") == 6


def test_a_repetition_after_a_lost_reply_writes_no_second_comment(commenting: Commenting) -> None:
    commenting.run()
    commenting.forge.planned.append(Planned("create", 502, lost=True))
    assert commenting.comment() == 0
    assert len(commenting.forge.comments) == 1


def test_a_run_without_a_summary_is_reported_as_red(commenting: Commenting) -> None:
    """The comment of an earlier commit must not stay as if it were about this one."""
    commenting.run(commit="f" * 40)
    assert commenting.comment() == 2
    (text,) = commenting.forge.own(USER)
    log = f"https://console.cloud.google.com/cloud-build/builds;region=us-central1/b1?project={PROJECT}"
    assert text.startswith(f"{MARKER}\n### ❌ RED: the notebooks were not judged; see the log of the build")
    assert log in text
    assert [one["target_url"] for one in commenting.forge.statuses] == [log]
    assert state_of(commenting.forge.statuses[0])[0] in {"failure", "failed"}
    assert "Look at the last lines of the step `run`" in commenting.printed


@ONE_FORGE
def test_the_last_run_of_an_id_that_was_taken_counts(commenting: Commenting) -> None:
    commenting.run(red=True, run="nightly", commit="f" * 40)
    commenting.run(run="nightly-2")
    assert commenting.comment(NB_RUN_ID="nightly") == 0
    assert "results/nightly-2/index.html" in commenting.forge.statuses[0]["target_url"]


@ONE_FORGE
def test_of_several_runs_of_a_build_the_gravest_counts(commenting: Commenting) -> None:
    commenting.run(red=True)
    commenting.run(run="b1-2")
    assert commenting.comment() == 1
    assert "run b1: " in commenting.printed
    assert "RED" in commenting.forge.comments[0]["body"]


@ONE_FORGE
def test_a_green_run_does_not_speak_for_one_that_was_not_judged(commenting: Commenting) -> None:
    commenting.run()
    commenting.claim("b1-2")
    assert commenting.comment() == 2
    assert "the notebooks were not judged" in commenting.forge.comments[0]["body"]


@ONE_FORGE
def test_a_green_run_of_an_earlier_build_is_not_this_builds(commenting: Commenting) -> None:
    commenting.run(run="pr-7", build="b0")
    assert commenting.comment(NB_RUN_ID="pr-7") == 2
    assert "the notebooks were not judged" in commenting.forge.comments[0]["body"]


@ONE_FORGE
def test_a_cancelled_run_of_an_earlier_build_does_not_hide_this_builds(commenting: Commenting) -> None:
    commenting.claim("pr-7", build="b0")
    commenting.run(run="pr-7-2")
    assert commenting.comment(NB_RUN_ID="pr-7") == 0
    assert "results/pr-7-2/index.html" in commenting.forge.statuses[0]["target_url"]


@ONE_FORGE
def test_a_run_with_unconfirmed_clean_up_ends_with_its_code(commenting: Commenting) -> None:
    commenting.run(code=7)
    assert commenting.comment() == 7
    assert "clean-up is not confirmed" in commenting.forge.statuses[0]["description"]


@ONE_FORGE
def test_a_long_summary_fits_a_comment(commenting: Commenting) -> None:
    commenting.run()
    block = f"````text\n{'é' * 90}\n````\n\n"
    commenting.write("results/b1/summary.md", (block * 900).encode())
    assert commenting.comment() == 0
    (text,) = commenting.forge.own(USER)
    assert MAX_CHARACTERS - 300 < len(text) <= MAX_CHARACTERS
    assert text.count("````") % 2 == 0, "no block is left open"
    assert text.splitlines()[-1].startswith("… The rest is in the [report](https://storage.cloud.google.com/")


@pytest.mark.parametrize(
    ("call", "status", "code", "words"),
    [
        ("user", 401, 4, "is not valid, or no longer"),
        ("create", 403, 4, "The token needs more rights"),
        ("list", 404, 4, "Verify NB_PULL_REQUEST"),
        ("status", 422, 2, "COMMIT_SHA are of the same"),
    ],
)
def test_a_refusal_says_what_to_do(
    commenting: Commenting, call: str, status: int, code: int, words: str
) -> None:
    commenting.run()
    commenting.forge.planned.append(
        Planned(call, status, body=b'{"message": "no: ' + commenting.token.encode() + b'"}')
    )
    assert commenting.comment() == code
    assert words in commenting.printed
    assert f"no: [token] [http{status}]" in commenting.printed
    assert f"(exit code {code}" in commenting.printed
    assert commenting.clock.slept == []


def test_a_refused_comment_keeps_no_status_away_and_a_red_run_keeps_its_code(commenting: Commenting) -> None:
    commenting.run(red=True)
    commenting.forge.planned.append(Planned("create", 403))
    assert commenting.comment() == 1
    assert len(commenting.forge.statuses) == 1


@pytest.mark.parametrize(
    ("status", "headers", "body", "pause"),
    [
        pytest.param(429, {"Retry-After": "30"}, b"<html>", 30, id="rate limit"),
        pytest.param(403, {"Retry-After": "40"}, b"<html>", 40, id="secondary rate limit"),
        pytest.param(
            403,
            {"X-RateLimit-Remaining": "4870"},
            b'{"message": "You have exceeded a secondary rate limit."}',
            60,
            id="secondary rate limit without a time",
        ),
        pytest.param(503, {}, b"<html>", 0, id="unavailable"),
        pytest.param(200, {}, b"<html>", 0, id="no JSON"),
    ],
)
def test_a_transient_fault_is_repeated_after_the_time_that_the_forge_asks_for(
    commenting: Commenting, status: int, headers: dict[str, str], body: bytes, pause: float
) -> None:
    commenting.run()
    commenting.forge.planned.append(Planned("status", status, headers, body))
    assert commenting.comment() == 0
    assert len(commenting.clock.slept) == 1
    assert commenting.clock.slept[0] >= pause
    assert len(commenting.forge.statuses) == 1


@ONE_FORGE
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Retry-After": "3600"}, id="retry-after"),
        pytest.param(
            {
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": "1790003600",
                "Date": "Mon, 21 Sep 2026 14:13:20 GMT",
            },
            id="github reset",
        ),
    ],
)
def test_a_longer_wait_than_the_budget_ends_at_once(commenting: Commenting, headers: dict[str, str]) -> None:
    commenting.run()
    commenting.forge.planned.append(Planned("create", 429, headers))
    assert commenting.comment() == 6
    assert "It asks to wait 3600 s." in commenting.printed
    assert commenting.clock.slept == []


@ONE_FORGE
def test_a_fault_that_stays_ends_within_the_budget(commenting: Commenting) -> None:
    commenting.run()
    commenting.forge.planned += [Planned("user", 503) for _ in range(100)]
    assert commenting.comment() == 6
    assert "failed after retries" in commenting.printed
    assert sum(commenting.clock.slept) < 125
    assert 3 < len(commenting.clock.slept) < 100
    commenting.forge.planned.clear()


@pytest.mark.always(3)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(commenting: Commenting, tls: tuple[Path, Path], status: int) -> None:
    commenting.run()
    with served(commenting.forge.kind, tls[1]) as other:
        other.users[commenting.token] = USER
        target = f"{other.address}/api/v{3 if other.kind == 'github' else 4}/user"
        commenting.forge.planned.append(Planned("user", status, {"Location": target}))
        assert commenting.comment() == 2
        assert (other.calls, other.unknown) == ([], [])
    assert "Correct NB_PULL_REQUEST: the token is not sent to another address" in commenting.printed


@ONE_FORGE
def test_an_endless_answer_ends(commenting: Commenting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builder.forge.calls.MAX_BYTES", 1000)
    commenting.run()
    commenting.forge.planned += [Planned("list", 200, body=b" " * 100_000) for _ in range(100)]
    assert commenting.comment() == 6
    assert "the answer is longer than 1000 bytes" in commenting.printed
    commenting.forge.planned.clear()


@ONE_FORGE
def test_an_unknown_certificate_gets_no_token(
    commenting: Commenting, monkeypatch: pytest.MonkeyPatch
) -> None:
    commenting.run()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
    assert commenting.comment() == 4
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    assert commenting.comment() == 4
    assert commenting.forge.calls == []
    assert commenting.printed.count("Set REQUESTS_CA_BUNDLE") == 4
    assert commenting.clock.slept == []


@ONE_FORGE
def test_a_password_of_netrc_is_not_sent(
    commenting: Commenting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    made = Forge(pull_request.parse(commenting.forge.pull_request), commenting.token, commenting.clock)
    assert made.user() == USER


@ONE_FORGE
def test_a_token_that_the_account_may_not_read_comes_with_the_command(commenting: Commenting) -> None:
    commenting.run()
    withheld = make_token(commenting.cloud, secrets.token_hex(20), granted=False)
    assert commenting.comment(NB_COMMENT_TOKEN=f"{withheld}/versions/1") == 4
    name = withheld.rpartition("/")[2]
    assert (
        f"gcloud secrets add-iam-policy-binding {name} --project={PROJECT} --member=serviceAccount:BUILD_ACCOUNT "
        "--role=roles/secretmanager.secretAccessor --condition=None" in commenting.printed
    )
    assert commenting.forge.calls == []


@ONE_FORGE
@pytest.mark.parametrize(
    "value",
    ["short", "two words in it", "line\nbreak-in-it", "naïve-naïve-naïve"],
    ids=["short", "spaces", "two lines", "not ASCII"],
)
def test_a_value_that_is_no_token_is_not_shown(commenting: Commenting, value: str) -> None:
    commenting.run()
    unfit = make_token(commenting.cloud, value)
    assert commenting.comment(NB_COMMENT_TOKEN=f"{unfit}/versions/1") == 4
    assert "is no token" in commenting.printed
    assert value not in commenting.printed


@ONE_FORGE
def test_a_missing_version_of_the_token(commenting: Commenting) -> None:
    commenting.run()
    assert commenting.comment(NB_COMMENT_TOKEN=f"{commenting.secret}/versions/9") == 4
    assert "docs/pull-request-comment.md" in commenting.printed


@ONE_FORGE
def test_a_summary_of_another_version_is_refused(commenting: Commenting) -> None:
    commenting.run()
    commenting.write("results/b1-2/summary.json", b'{"schema": 2}')
    assert commenting.comment() == 2
    assert "/results/b1-2/summary.json is no summary that this version can read" in commenting.printed
    assert commenting.forge.calls == []


@ONE_FORGE
def test_bad_input_is_found_before_any_call(commenting: Commenting) -> None:
    with pytest.raises(BadInput, match="NB_PULL_REQUEST"):
        carry_out(
            ["comment"],
            {"NB_PULL_REQUEST": commenting.forge.pull_request.replace("https", "http")},
            Context(Path("/"), Cancellation(), commenting.clock, Console(commenting.log)),
        )
