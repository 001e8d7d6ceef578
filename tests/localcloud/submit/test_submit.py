"""`python -m localcloud submit` at a terminal: real builds, exit codes, messages."""

import re
import threading
import urllib.request
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from google.cloud import storage
from google.oauth2.credentials import Credentials

from localcloud.cli.submit.api import LocalCloud
from localcloud.cloud import Cloud
from localcloud.core.iam import EVERYONE, PROJECT
from localcloud.profile import EMPTY
from tests.localcloud.submit.repo import Repo
from tests.localcloud.submit.terminal import builds, built, submit


def test_a_green_build_on_a_cloud_of_its_own(folder: Path) -> None:
    (folder / "greeting").write_text("hello from a file")
    done = submit(built(folder, "cat greeting; echo"))
    assert done.returncode == 0, done.stderr
    warning, *said = done.stderr.splitlines()
    assert warning.startswith("localcloud is no sandbox")
    assert said[0] == "Creating temporary archive of 2 file(s)."
    source = re.fullmatch(
        rf"Uploading tarball of \[{folder}\] to \[(gs://local-project-notebooks/source/[\d.]+-[0-9a-f]+\.tgz)\]",
        said[1],
    )
    assert source
    created = re.fullmatch(
        r"Created \[https://cloudbuild.googleapis.com/v1/projects/local-project/locations/global/builds/(.+)\]\.",
        said[2],
    )
    assert created
    assert re.fullmatch(
        rf"Logs are available at \[ http://127.0.0.1:\d+/_localcloud/builds/{created[1]}/log \]\.", said[3]
    )
    shown = done.stdout.splitlines()
    assert shown[0] == " REMOTE BUILD OUTPUT ".center(80, "-")
    assert shown[1] == f'starting build "{created[1]}"'
    assert "hello from a file" in shown
    assert shown[-4:] == ["DONE", "-" * 80, "", f"build {created[1]}: SUCCESS"]


def test_a_red_build_on_a_cloud_that_is_there(folder: Path, cloud: Cloud, there: Mapping[str, str]) -> None:
    done = submit(built(folder, "echo so far; exit 3"), **there)
    assert done.returncode == 1
    assert "so far" in done.stdout
    assert "BUILD FAILURE: " in done.stderr
    assert re.search(
        r'^ERROR: \(localcloud submit\) build \S+ completed with status "FAILURE"$', done.stderr, re.MULTILINE
    )
    assert done.stdout.splitlines()[-1].endswith("FAILURE")
    assert builds(cloud) == ["FAILURE"]
    assert [item["bucket"] for item in cloud.inventory()["storage.objects"]] == ["local-project-notebooks"]


def test_the_printed_address_serves_the_log(folder: Path, cloud: Cloud, there: Mapping[str, str]) -> None:
    done = submit(built(folder, "echo hello"), **there)
    address = re.search(r"Logs are available at \[ (\S+) \]", done.stderr)
    assert address
    with urllib.request.urlopen(address[1]) as answer:
        log = answer.read().decode()
    assert "hello" in log
    assert log in done.stdout


def test_a_broken_file_is_refused_before_anything_is_sent(
    folder: Path, cloud: Cloud, there: Mapping[str, str]
) -> None:
    file = folder / "cloudbuild.yaml"
    file.write_text("steps:\n- name: ubuntu\n  arg: [$_X]\ntimeout: 1h\n")
    done = submit(folder, **there)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"{file}:3: steps[0].arg: Invalid JSON payload received. Unknown name \"arg\" at 'build.steps[0]': Cannot find field.",
        f"{file}:4: timeout: Invalid value for field 'build.timeout': '1h'. Must be a duration in seconds, such as \"600s\".",
        f"ERROR: (localcloud submit) {file} has 2 faults; nothing was sent",
    ]
    assert cloud.inventory()["calls"] == {}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param([], "there is no build file", id="no build file"),
        pytest.param(["--config", "/"], "cannot be read", id="folder as build file"),
        pytest.param(["--commit"], "not a git repository", id="no git repository"),
        pytest.param(["--substitutions", "_A"], "is not KEY=VALUE", id="substitution without a value"),
    ],
)
def test_bad_input(arguments: list[str], words: str, folder: Path) -> None:
    done = submit(*arguments, folder)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_an_account_that_does_not_exist_is_bad_input(folder: Path, there: Mapping[str, str]) -> None:
    built(folder, "true", "options: {logging: CLOUD_LOGGING_ONLY}\n")
    account = f"projects/{PROJECT}/serviceAccounts/nobody@{PROJECT}.iam.gserviceaccount.com"
    done = submit("--service-account", account, folder, **there)
    assert done.returncode == 2, done.stderr
    assert "was not found" in done.stderr


def test_a_cloud_that_is_gone(folder: Path) -> None:
    done = submit(built(folder, "true"), LOCALCLOUD_URL="http://127.0.0.1:9")
    assert done.returncode == 2
    assert "no localcloud answers at http://127.0.0.1:9" in done.stderr


def test_a_cloud_without_its_token(folder: Path, there: Mapping[str, str]) -> None:
    done = submit(built(folder, "true"), LOCALCLOUD_URL=there["LOCALCLOUD_URL"])
    assert done.returncode == 2
    assert "LOCALCLOUD_OWNER_TOKEN is not set" in done.stderr


def test_state_means_a_cloud_of_its_own(folder: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    done = submit("--state", state, built(folder, "echo hello"), LOCALCLOUD_URL="http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    assert len(list((state / "storage" / "local-project-notebooks" / "source").iterdir())) == 1


@pytest.mark.parametrize(
    "flag",
    [("--docker-network", "host"), ("--docker-socket",), ("--prefix", "team")],
    ids=["network", "socket", "prefix"],
)
def test_a_flag_of_a_cloud_is_for_a_cloud_of_its_own(
    folder: Path, there: Mapping[str, str], flag: tuple[str, ...]
) -> None:
    done = submit(*flag, built(folder, "true"), **there)
    assert done.returncode == 2
    assert f"{flag[0]} applies only to a cloud that submit starts" in done.stderr


def test_the_runner_can_be_chosen(folder: Path, there: Mapping[str, str]) -> None:
    (folder / "cloudbuild.yaml").write_text("steps: [{name: 'localhost:1/none'}]\n")
    default, docker = submit(folder, **there), submit("--runner", "docker", folder, **there)
    assert (default.returncode, docker.returncode) == (1, 1)
    words = "cannot run as a process"
    assert (words in default.stdout, words in docker.stdout) == (True, False)


def test_a_refusal_of_google_is_printed_in_its_words(folder: Path, there: Mapping[str, str]) -> None:
    done = submit("--region", "nowhere-1", built(folder, "true"), **there)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert (
        last == "ERROR: (localcloud submit) Permission denied on 'locations/nowhere-1' (or it may not exist)."
    )


def test_the_workspace_has_the_submitted_files(folder: Path, there: Mapping[str, str]) -> None:
    (folder / ".gcloudignore").write_text("*.csv\n!keep.csv\n")
    for name in ("a.csv", "keep.csv", ".git/config"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("")
    script = "ls -A | tr '\\n' ' '; ls .git"
    done = submit(built(folder, script), **there)
    assert done.returncode == 0, done.stderr
    assert ".gcloudignore .git cloudbuild.yaml keep.csv config\n" in done.stdout


def test_no_source(folder: Path, there: Mapping[str, str]) -> None:
    done = submit("--no-source", built(folder, "ls -A | wc -l"), **there)
    assert done.returncode == 0, done.stderr
    assert "\n0\n" in done.stdout
    assert "Uploading" not in done.stderr


def test_substitutions_region_and_another_file(folder: Path, there: Mapping[str, str]) -> None:
    (folder / "other.json").write_text(
        '{"steps": [{"name": "bash", "args": ["echo", "$_CITIES in $LOCATION"]}], "substitutions": {"_CITIES": "none"}}'
    )
    done = submit(
        *("--config", folder / "other.json", "--region", "us-east1"),
        *("--substitutions", "^;^_CITIES=Paris, Rome", folder),
        **there,
    )
    assert done.returncode == 0, done.stderr
    assert "Paris, Rome in us-east1\n" in done.stdout
    assert "projects/local-project/locations/us-east1/builds/" in done.stderr


def test_a_commit_is_built_as_it_was_committed(repo: Repo, there: Mapping[str, str]) -> None:
    script = "cat data; ls -A\necho $COMMIT_SHA $SHORT_SHA $BRANCH_NAME ${TAG_NAME:-no tag}"
    built(repo.folder, script, "  automapSubstitutions: true\n")
    sha = repo.commit(data="committed\n")
    repo.write({"data": "changed\n", "new": "", ".gcloudignore": "data\n", "cloudbuild.yaml": "broken: ["})
    done = submit("--commit", repo.folder, **there)
    assert done.returncode == 0, done.stderr
    assert "committed\ncloudbuild.yaml\ndata\n" in done.stdout
    assert f"{sha} {sha[:7]} main no tag\n" in done.stdout
    assert f"Uploading tarball of [{sha[:12]}:.]" in done.stderr


def test_a_branch_that_is_not_there_is_only_a_name(repo: Repo, there: Mapping[str, str]) -> None:
    repo.commit(data="committed\n")
    built(repo.folder, 'cat data; echo "<$BRANCH_NAME $COMMIT_SHA>"', "  automapSubstitutions: true\n")
    repo.write({"data": "changed\n"})
    done = submit("--branch", "feature", repo.folder, **there)
    assert done.returncode == 0, done.stderr
    assert "changed\n<feature >\n" in done.stdout


def test_the_build_file_is_in_the_commit(repo: Repo, tmp_path: Path) -> None:
    repo.commit(data="committed\n")
    outside = tmp_path / "other.yaml"
    outside.write_text("steps: [{name: bash}]")
    done = submit("--commit", "--config", outside, repo.folder)
    assert done.returncode == 2
    assert "is not in the repository" in done.stderr
    built(repo.folder, "true")
    done = submit("--commit", repo.folder)
    assert done.returncode == 2
    assert "has no build file cloudbuild.yaml; commit it" in done.stderr


def test_help_has_an_example() -> None:
    done = submit("--help")
    assert done.returncode == 0
    assert "python -m localcloud submit --config" in done.stdout


def test_a_folder_goes_to_a_staging_folder_that_the_build_s_account_may_read(
    folder: Path, cloud: Cloud, there: Mapping[str, str]
) -> None:
    built(folder, "true")
    missing = submit("--gcs-source-staging-dir", "gs://local-project_cloudbuild/source", folder, **there)
    assert missing.returncode == 2
    assert "the bucket gs://local-project_cloudbuild does not exist" in missing.stderr
    assert "--gcs-source-staging-dir" in missing.stderr
    client = storage.Client(
        PROJECT, Credentials(token=cloud.iam.owner_token), client_options={"api_endpoint": cloud.url}
    )
    client.create_bucket("local-project_cloudbuild")
    closed = submit("--gcs-source-staging-dir", "gs://local-project_cloudbuild/source/", folder, **there)
    assert closed.returncode == 2
    assert "could not resolve source" in closed.stderr
    assert "does not have storage.objects.get access" in closed.stderr
    assert builds(cloud) == []


def test_the_bucket_of_commits_is_repaired(cloud: Cloud) -> None:
    """An earlier `submit` was killed after it had made the bucket."""
    storage.Client(
        PROJECT, Credentials(token=cloud.iam.owner_token), client_options={"api_endpoint": cloud.url}
    ).create_bucket("local-project_commits")
    threads = [threading.Thread(target=connect, args=(cloud,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = cloud.iam.policies.get("projects/_/buckets/local-project_commits")
    assert found["bindings"] == [{"role": "roles/storage.objectViewer", "members": [EVERYONE]}]
    before = found["etag"]
    connect(cloud)
    assert cloud.iam.policies.get("projects/_/buckets/local-project_commits")["etag"] == before


def connect(cloud: Cloud) -> None:
    LocalCloud(cloud.url, cloud.iam.owner_token, "global", None).connect_repository()


def test_a_commit_needs_no_bucket_of_the_project(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "repo")
    repo.commit(**{"cloudbuild.yaml": "steps:\n- name: bash\n  script: echo hello\n"})
    state = tmp_path / "state"
    with Cloud(state, profile=replace(EMPTY, services=EMPTY.services | {"cloudbuild.googleapis.com"})) as new:
        done = submit("--commit", "HEAD", repo.folder, **new.environment())
    assert done.returncode == 0, done.stderr
    assert "gs://local-project_commits/" in done.stdout
