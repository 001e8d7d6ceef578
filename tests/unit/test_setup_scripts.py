"""setup/*.sh: their commands, their looks, their mistakes. tests/localcloud has them with the real gcloud."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import pytest
import yaml

from localcloud.cli.submit.checking import faults
from localcloud.cli.submit.reading import read
from tests.setup_scripts import NAMES, FakeGcloud, commands, run

FOLDER = Path(__file__).parent / "setup_commands"
TRIGGER = ("--connection", "my-github", "--url", "https://github.com/my-name/my-repo.git")
# The accounts that the policies of remove.sh's tests name.
BUILDER = "serviceAccount:notebook-builder@my-project.iam.gserviceaccount.com"
MARK = "Made by setup/project.sh of Notebook Builder"


@pytest.fixture(name="gcloud")
def _gcloud(tmp_path: Path) -> FakeGcloud:
    fake = FakeGcloud(tmp_path / "gcloud")
    fake.answer("projects describe *", "123456789012\n")
    return fake


@pytest.mark.parametrize(
    ("name", "script", "arguments"),
    [
        pytest.param("smallest", "project.sh", (), id="smallest"),
        pytest.param("everything", "project.sh", ("--schedule", "--packages"), id="everything"),
        pytest.param("repo", "repo.sh", ("--prefix", "my-repo", *TRIGGER), id="repo"),
        pytest.param(
            "repo_deploys", "repo.sh", ("--prefix", "my-repo", "--schedule", *TRIGGER), id="repo-that-deploys"
        ),
    ],
)
def test_a_dry_run_prints_the_commands_of_a_new_project(
    name: str, script: str, arguments: tuple[str, ...]
) -> None:
    """After a change, `NB_RECORD=1 make test T=tests/unit/test_setup_scripts.py` rewrites the files.

    Their diff shows it.
    """
    file = FOLDER / f"{name}.txt"
    found = "".join(f"{command}\n" for command in commands(script, *arguments))
    if os.environ.get("NB_RECORD"):
        file.write_text(found, encoding="utf-8")
    assert found == file.read_text(encoding="utf-8"), f"{file.name} is stale: NB_RECORD=1 writes it anew"


def test_any_region_works() -> None:
    done = run("project.sh", *NAMES, "--region", "europe-west4", "--schedule", "--packages", "--dry-run")
    assert done.returncode == 0
    assert "us-central1" not in done.stdout
    assert done.stdout.count("--location=europe-west4") > 5


def test_accounts_roles_and_resources_are_made_before_a_grant_names_them() -> None:
    """R4: Google refuses a policy that names an account which is missing."""
    made: set[str] = set()
    for command in commands("project.sh", "--schedule", "--packages"):
        words = command.split()
        if "create" in words:
            made.add(words[words.index("create") + 1].removeprefix("gs://"))
        elif "add-iam-policy-binding" in words:
            role = next(word for word in words if word.startswith("--role=")).rpartition("/")[2]
            member = next(word for word in words if word.startswith("--member=")).rpartition(":")[2]
            target = words[words.index("add-iam-policy-binding") + 1].removeprefix("gs://")
            needed = {member.partition("@")[0], target.partition("@")[0]} - {"my-project"}
            needed |= set() if "--role=roles/" in command else {role}
            assert {name for name in needed if not name.startswith("service-")} <= made, command


def test_all_mistakes_are_printed_at_once() -> None:
    done = run("project.sh", "--project", "My", "--region", "--prefix", "a//b", "--speed", "--bucket=gs://b")
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.partition("usage: ")[0].splitlines()
    assert [line.split()[0] for line in lines] == [
        "--region",
        "--speed",
        "--project",
        "--bucket",
        "--prefix",
    ]


@pytest.mark.parametrize("script", ["project.sh", "repo.sh", "remove.sh"])
def test_help_is_printed(script: str) -> None:
    done = run(script, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: setup/{script} --project")


@pytest.mark.parametrize("prefix", ["source", "image-source/main"])
def test_folders_for_sources_are_no_prefix(prefix: str) -> None:
    done = run("repo.sh", *NAMES, "--prefix", prefix)
    assert done.returncode == 2
    assert f"--prefix is '{prefix}'" in done.stderr


def test_half_a_trigger_is_a_mistake() -> None:
    done = run("repo.sh", *NAMES, "--prefix", "my-repo", "--connection", "my-github")
    assert done.returncode == 2
    assert "--url is ''" in done.stderr


def test_a_grant_waits_until_a_new_account_is_known(gcloud: FakeGcloud) -> None:
    """S5. The fake refuses forever, so that the script gives up after its two minutes."""
    gcloud.answer(
        "projects add-iam-policy-binding *",
        "INVALID_ARGUMENT: Service account notebook-builder@… does not exist.\n",
        refused=True,
    )
    done = run("project.sh", *NAMES, gcloud=gcloud)
    assert done.returncode == 4
    assert gcloud.calls().count("sleep") == 24
    assert done.stderr.count("waiting") == 1
    assert "does not exist" in done.stderr
    assert "run the script again" in done.stderr


def test_nothing_is_asked_of_a_new_project_before_the_apis_are_enabled(gcloud: FakeGcloud) -> None:
    """Only Service Usage is enabled there. With the token of a service account, even `projects describe` is refused."""
    done = run("project.sh", *NAMES, gcloud=gcloud)
    assert done.returncode == 0, done.stderr
    assert [call.split()[1:3] for call in gcloud.calls()[:3]] == [
        ["services", "list"],
        ["services", "enable"],
        ["projects", "describe"],
    ]


def test_another_refusal_ends_the_script_at_once_with_googles_words(gcloud: FakeGcloud) -> None:
    words = "PERMISSION_DENIED: Permission 'iam.serviceAccounts.create' denied.\n"
    gcloud.answer("iam service-accounts create *", words, refused=True)
    done = run("project.sh", *NAMES, gcloud=gcloud)
    assert done.returncode == 4
    assert "sleep" not in gcloud.calls()
    assert words in done.stderr
    assert "refused: gcloud iam service-accounts create notebook-builder" in done.stderr


def test_a_mistyped_project_is_refused_at_once(gcloud: FakeGcloud) -> None:
    words = "PERMISSION_DENIED: Project 'my-project' not found or permission denied.\n"
    gcloud.answer("services list *", words, refused=True)
    done = run("project.sh", *NAMES, gcloud=gcloud)
    assert done.returncode == 4
    assert words in done.stderr
    assert "sleep" not in gcloud.calls()


@pytest.mark.parametrize(
    ("account", "flags", "updated"),
    [
        pytest.param("builder", ("--schedule",), True, id="now it deploys"),
        pytest.param("deployer", ("--schedule",), False, id="it deployed before"),
        pytest.param("deployer", (), False, id="it stays as it is"),
    ],
)
def test_a_trigger_gets_the_account_that_deploys(
    gcloud: FakeGcloud, account: str, flags: tuple[str, ...], *, updated: bool
) -> None:
    """Otherwise each build of a repository that deploys from now on is refused."""
    known = f"projects/my-project/serviceAccounts/notebook-{account}@my-project.iam.gserviceaccount.com"
    gcloud.answer("builds triggers describe my-repo *", f"{known}\n")
    done = run("repo.sh", *NAMES, "--prefix", "my-repo", *TRIGGER, *flags, gcloud=gcloud)
    assert done.returncode == 0, done.stderr
    changes = [call for call in gcloud.calls() if "triggers update" in call or "triggers create" in call]
    wanted = "gcloud builds triggers update github my-repo --project=my-project --region=us-central1"
    named = known.replace("builder", "deployer")
    assert changes == ([f"{wanted} --service-account={named}"] if updated else [])


def test_a_missing_subnetwork_is_named_before_anything_depends_on_it(gcloud: FakeGcloud) -> None:
    gcloud.answer("services list *", "compute.googleapis.com\n")
    done = run("project.sh", *NAMES, "--subnetwork", "mine", gcloud=gcloud)
    assert done.returncode == 4
    assert "no subnetwork 'mine' in us-central1" in done.stderr
    assert "gcloud compute networks create default --project=my-project" in done.stderr


def test_a_missing_subnetwork_of_a_new_project_is_explained_after_the_tries(gcloud: FakeGcloud) -> None:
    """The default network can come a moment after Compute Engine's API, or never."""
    words = "The resource 'projects/p/regions/r/subnetworks/default' is not ready"
    gcloud.answer("compute networks subnets update *", words, refused=True)
    done = run("project.sh", *NAMES, gcloud=gcloud)
    assert done.returncode == 4
    assert gcloud.calls().count("sleep") == 24
    assert words in done.stderr
    assert "gcloud compute networks create default --project=my-project" in done.stderr


def test_the_build_file_at_the_end_names_the_mirror_so_that_a_build_can_leave_it_out(
    gcloud: FakeGcloud,
) -> None:
    done = run("project.sh", *NAMES, "--packages", gcloud=gcloud)
    _, _, rest = done.stdout.partition("write cloudbuild.yaml:\n\n")
    text, _, _ = rest.partition("\n\n")
    file = yaml.load(textwrap.dedent(text), Loader=yaml.CSafeLoader)
    mirror = "https://us-central1-python.pkg.dev/$PROJECT_ID/pypi/simple/"
    assert file["substitutions"] == {"_COMMAND": "run", "_INDEX": mirror}
    assert "NB_INDEX_URL=$_INDEX" in file["options"]["env"]
    assert list(map(str, faults(read("cloudbuild.yaml", text.encode()), {}))) == []


def test_shared_vpc_leaves_the_subnetworks_of_the_project_as_they_are(gcloud: FakeGcloud) -> None:
    gcloud.answer("services list *", "compute.googleapis.com\n")
    done = run("project.sh", *NAMES, "--subnetwork", "none", gcloud=gcloud)
    assert done.returncode == 0, done.stderr
    assert [call for call in gcloud.calls() if " subnets " in call] == []


@pytest.mark.parametrize("flags", [(), ("--external-ip",)], ids=["without", "with"])
def test_only_builds_that_give_vms_an_external_address_may_do_so(flags: tuple[str, ...]) -> None:
    created = [line for line in commands("project.sh", *flags) if line.startswith("gcloud iam roles create")]
    having = [line.split()[4] for line in created if "compute.subnetworks.useExternalIp" in line]
    assert having == (["notebookBuilder"] if flags else [])


def test_a_deleted_role_is_undeleted_and_gets_its_permissions(gcloud: FakeGcloud) -> None:
    gcloud.answer("iam roles describe notebookVmWriter *", "True\tstorage.objects.create\n")
    gcloud.answer("iam roles describe notebookVmReader *", "\tstorage.objects.get\n")
    done = run("project.sh", *NAMES, gcloud=gcloud)
    assert done.returncode == 0, done.stderr
    roles = [
        call for call in gcloud.calls() if call.startswith("gcloud iam roles") and " describe " not in call
    ]
    assert [call.split()[3:5] for call in roles] == [
        ["create", "notebookBuilder"],
        ["create", "notebookBuildReader"],
        ["undelete", "notebookVmWriter"],
        ["update", "notebookVmWriter"],
    ]


def test_builds_that_do_not_deploy_lose_their_proofs_when_a_prefix_is_deployed(gcloud: FakeGcloud) -> None:
    """H1: `deploy` believes the proofs of a prefix."""
    proofs = 'resource.name.startsWith("projects/_/buckets/my-project-notebooks/objects/notebooks/proofs/")'
    gcloud.answer(
        "storage buckets get-iam-policy *",
        f"{BUILDER}\troles/storage.objectUser\tnotebooks-proofs\t{proofs}\n",
    )
    done = run("repo.sh", *NAMES, "--prefix", "notebooks", "--schedule", gcloud=gcloud)
    assert done.returncode == 0, done.stderr
    (revoked,) = [call for call in gcloud.calls() if "remove-iam-policy-binding" in call]
    assert "title=notebooks-proofs" in revoked


def test_a_prefix_that_is_deployed_stays_so_without_the_flag(gcloud: FakeGcloud) -> None:
    deployer = BUILDER.replace("builder", "deployer")
    gcloud.answer(
        "storage buckets get-iam-policy *", f"{deployer}\troles/storage.objectUser\tnotebooks-all\tx\n"
    )
    done = run("repo.sh", *NAMES, "--prefix", "notebooks", gcloud=gcloud)
    assert done.returncode == 0, done.stderr
    assert not [call for call in gcloud.calls() if "proofs" in call]


def test_remove_takes_what_was_made_and_nothing_else(gcloud: FakeGcloud) -> None:
    condition = 'resource.name.startsWith("projects/_/buckets/my-project-notebooks/objects/a/staging/")'
    gcloud.answer(
        "projects get-iam-policy *",
        f"{BUILDER}\tprojects/my-project/roles/notebookBuildReader\t\t\nuser:me@example.com\troles/owner\t\t\n"
        "serviceAccount:other@my-project.iam.gserviceaccount.com\troles/logging.logWriter\t\t\n",
    )
    gcloud.answer("storage buckets get-iam-policy *", f"{BUILDER}\troles/x\ta-write\t{condition}\n")
    gcloud.answer("iam roles describe notebookVmReader *", f"\t{MARK}\n")
    gcloud.answer("iam roles describe notebookVmWriter *", f"True\t{MARK}\n")
    gcloud.answer("iam roles describe notebookBuilder *", "\tMine\n")
    gcloud.answer(
        "iam service-accounts list *",
        f"notebook-vm@my-project.iam.gserviceaccount.com\t{MARK}: read\n"
        "notebook-builder@my-project.iam.gserviceaccount.com\tMine\n",
    )
    gcloud.answer("artifacts repositories describe notebook-builder *", f"{MARK}: the image\n")
    gcloud.answer("artifacts repositories describe gcf-artifacts *", f"{MARK}: functions\n")
    gcloud.answer("builds triggers list *", f"mine\t\nmy-repo\t{MARK}\n")
    gcloud.answer("storage buckets describe *", "my-project-notebooks\n")
    done = run("remove.sh", *NAMES, gcloud=gcloud, answers="no\ngcf-artifacts\n")
    assert done.returncode == 0, done.stderr
    looks = (" describe ", " list", "get-iam-policy")
    changes = [
        call.removeprefix("gcloud ") for call in gcloud.calls() if not any(look in call for look in looks)
    ]
    assert [" ".join(call.split()[:4]) for call in changes] == [
        "builds triggers delete my-repo",
        "projects remove-iam-policy-binding my-project " + f"--member={BUILDER}",
        "storage buckets remove-iam-policy-binding gs://my-project-notebooks",
        "iam roles delete notebookVmReader",
        "iam service-accounts delete notebook-vm@my-project.iam.gserviceaccount.com",
        "artifacts repositories delete gcf-artifacts",
    ]
    assert f"--condition=title=a-write,expression={condition}" in changes[2]
    assert "The bucket gs://my-project-notebooks with all results in it stays." in done.stdout


def test_remove_says_that_it_cannot_see_triggers(gcloud: FakeGcloud) -> None:
    gcloud.answer("builds triggers list *", "PERMISSION_DENIED", refused=True)
    done = run("remove.sh", *NAMES, gcloud=gcloud)
    assert done.returncode == 0, done.stderr
    assert "gcloud cannot list the triggers in us-central1. Delete those" in done.stdout


def test_a_repository_of_the_same_name_elsewhere_is_refused(gcloud: FakeGcloud) -> None:
    """Otherwise the second repository would have no trigger, and the script would say that all is well."""
    gcloud.answer("builds repositories describe my-repo *", "https://github.com/another/my-repo.git\n")
    done = run("repo.sh", *NAMES, "--prefix", "my-repo", *TRIGGER, gcloud=gcloud)
    assert done.returncode == 4
    assert (
        "it is https://github.com/another/my-repo.git, not https://github.com/my-name/my-repo.git"
        in done.stderr
    )
    assert "builds triggers create" not in gcloud.calls()
