"""The gcloud commands of the pages and of the product's texts.

Gcloud takes them, and they do what they say on a new project.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from builder.options.environment import SERVICES
from localcloud.profile.table import table
from tests import gcloud_commands, setup_scripts
from tests.gcloud_commands import PAGES, ROOT, Command, split
from tests.patience import PATIENCE
from tests.setup_scripts import NAMES, FakeGcloud

# `gcloud pubsub topics add-iam-policy-binding` takes no condition, so its policies have none.
WITHOUT_CONDITIONS = ("pubsub", "topics")
BINDING = "add-iam-policy-binding"
ACCOUNT_ID = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
# An account in a page's text or build file, whatever its project is called.
NAMED_ACCOUNT = re.compile(
    r"\b([a-z][\w-]*)@(?:(?:\$\{?PROJECT(?:_ID)?\}?|PROJECT|(?:my|local)-project)\.iam\.gserviceaccount\.com|`)"
)


@functools.cache
def commands(folder: Path) -> tuple[Command, ...]:
    """Return every command, those of docs/setup.md in their order."""
    return (*(each for page in PAGES for each in of_page(page, folder)), *gcloud_commands.printed())


def of_scripts(folder: Path) -> list[Command]:
    """Return the commands of setup/: those of a new project and repository, and those that remove them."""
    fake = FakeGcloud(folder / "fake")
    fake.answer("projects describe *", "123456789012\n")
    mark = "Made by setup/project.sh of Notebook Builder"
    made = FakeGcloud(folder / "made")
    made.answer("projects describe *", "123456789012\n")
    made.answer("iam roles describe *", f"\t{mark}\n")
    made.answer(
        "* get-iam-policy *", "serviceAccount:notebook-vm@my-project.iam.gserviceaccount.com\troles/x\t\t\n"
    )
    made.answer("iam service-accounts list *", f"notebook-vm@my-project.iam.gserviceaccount.com\t{mark}\n")
    made.answer("artifacts repositories describe *", f"{mark}\n")
    made.answer("builds triggers list *", f"my-repo\t{mark}\n")
    made.answer("storage buckets describe *", "my-project-notebooks\n")
    trigger = ("--connection", "my-github", "--url", "https://github.com/my-name/my-repo.git")
    for script, arguments, gcloud, answers in (
        ("project.sh", ("--schedule", "--packages"), fake, ""),
        ("repo.sh", ("--prefix", "my-repo", *trigger), fake, ""),
        ("remove.sh", (), made, "notebook-builder\ngcf-artifacts\npypi\nmy-project-notebooks\n"),
    ):
        done = setup_scripts.run(script, *NAMES, *arguments, gcloud=gcloud, answers=answers)
        assert done.returncode == 0, done.stderr
    return [Command("setup", tuple(words[1:])) for each in (fake, made) for words in each.arguments()]


def of_page(page: str, folder: Path) -> list[Command]:
    """Return the commands of one page; `folder` takes the files that its scripts write."""
    return gcloud_commands.on_page(page, folder)


def lint(given: list[str], folder: Path) -> dict[str, str]:
    """Return what gcloud's own parser says of the commands that it refuses. It calls nobody."""
    file = folder / "commands.json"
    file.write_text(json.dumps([{"id": str(n), "command_string": each} for n, each in enumerate(given)]))
    done = subprocess.run(
        ["gcloud", "meta", "lint-gcloud-commands", f"--commands-file={file}"],
        env={
            **os.environ,
            "CLOUDSDK_CONFIG": str(folder / "config"),
            "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
            "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    answers = json.loads(done.stdout)
    assert len(answers) == len(given)
    return {each["command_string"]: each["error_message"] for each in answers if not each["success"]}


@pytest.mark.needs("gcloud")
def test_gclouds_own_parser_takes_each_command(tmp_path: Path) -> None:
    """The last two are wrong, so that the test can fail."""
    wrong = ["gcloud projects describe my-project --formt=json", "gcloud compute instances creat vm"]
    given = sorted({str(each) for each in (*commands(tmp_path), *of_scripts(tmp_path))})
    refused = lint([*given, *wrong], tmp_path)
    assert list(refused) == wrong, refused


def test_commands_are_found_in_pages_and_in_the_products_texts(tmp_path: Path) -> None:
    files = {each.file for each in commands(tmp_path)}
    assert {
        "docs/setup.md",
        "docs/accounts.md",
        "docs/packages.md",
        "docs/deploy.md",
        "docs/secrets.md",
    } <= files
    assert {
        "builder/gcloud.py",
        "builder/judge/secret_faults.py",
    } <= files
    assert {"builder/act/refusals.py", "builder/act/vm.py", "builder/check/zones.py"} <= files


def test_each_grant_says_its_condition(tmp_path: Path) -> None:
    """R5: without one, gcloud asks, or fails in a script, once the policy has a condition."""
    made = [Command("setup", split(line)) for line in setup_scripts.commands("project.sh", "--schedule")]
    grants = [each for each in (*commands(tmp_path), *made) if BINDING in each.arguments]
    silent = [
        str(each)
        for each in grants
        if each.arguments[:2] != WITHOUT_CONDITIONS and each.flag("condition") is None
    ]
    assert len(grants) > 30
    assert silent == []


def test_each_account_has_an_id_that_iam_takes() -> None:
    """R2: 6 to 30 characters."""
    files = [*PAGES, *(str(path.relative_to(ROOT)) for path in ROOT.glob("examples/*/*.yaml"))]
    named = {
        name for file in files for name in NAMED_ACCOUNT.findall((ROOT / file).read_text(encoding="utf-8"))
    }
    assert {"notebook-builder", "notebook-vm"} <= named
    assert [name for name in sorted(named) if not ACCOUNT_ID.fullmatch(name)] == []


def test_setup_names_no_other_region_than_the_readers() -> None:
    """S3: what fixes a region fails in any other one. Examples of values and defaults may name one."""
    for page in ("docs/setup.md", "docs/accounts.md", "docs/packages.md", "docs/pull-requests.md"):
        scripts = re.findall(
            r"^```sh\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        )
        fixed = [
            line
            for script in scripts
            for line in script.splitlines()
            if re.search(r"\b(us|europe|asia)-[a-z]+\d", line) and "REGION=us-central1" not in line
        ]
        assert fixed == []


def test_setup_enables_each_api_that_a_run_or_a_deployment_calls() -> None:
    """S2 as well: a GitHub connection keeps its token in Secret Manager."""
    needed = {*SERVICES} | {"iam", "eventarc", "containeranalysis", "bigquery"}
    assert {f"{service}.googleapis.com" for service in needed} == {name for _, name in table().apis} - {
        "logging.googleapis.com"
    }


def test_submitted_builds_name_a_folder_that_their_accounts_can_read(tmp_path: Path) -> None:
    """S4: such an account is refused gcloud's default bucket for sources."""
    submitted = [
        each
        for each in commands(tmp_path)
        if "submit" in each.arguments and len(each.arguments) > 3 and "--no-source" not in each.arguments
    ]
    assert len(submitted) == 4
    assert all(
        (each.flag("gcs-source-staging-dir") or "").endswith(("/source", "/image-source"))
        for each in submitted
    )


def test_each_bucket_is_closed_to_the_public_and_takes_conditions(tmp_path: Path) -> None:
    """S8: conditions need uniform access."""
    made = [each for each in commands(tmp_path) if each.arguments[:3] == ("storage", "buckets", "create")]
    assert {each.file for each in made} == {"builder/gcloud.py"}
    (line,) = [
        line
        for line in setup_scripts.commands("project.sh")
        if line.startswith("gcloud storage buckets create")
    ]
    for each in (*made, Command("setup", split(line))):
        assert {"--uniform-bucket-level-access", "--public-access-prevention"} <= set(each.arguments)
