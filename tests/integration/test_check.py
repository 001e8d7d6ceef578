"""The preflight on a local cloud.

Each fault is told, with its exit code and the command that mends it; nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from google.cloud.storage import Client
from google.oauth2.credentials import Credentials

from builder.check.row import State
from builder.options.message import Message
from localcloud.cloud import Cloud
from localcloud.core.iam import PROJECT, Grant, email
from localcloud.profile import FIRST_BUCKET, GRANTS
from localcloud.profile.accounts import PREFIX
from tests.granting import UNDEPLOYED, granting, narrowed
from tests.integration.preflight import BUILDER, LOCATION, VM, Seen, preflight

BUCKET = f"gs://{FIRST_BUCKET}"
READING = (".get", ".list", ".testIamPermissions", ".getFromFamily")
_BINDING = "add-iam-policy-binding"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with Cloud(tmp_path_factory.mktemp("cloud")) as made:
        yield made
        found = made.inventory()
        assert (found.get("schema_violations", []), found.get("internal_errors", [])) == ([], [])
        assert found["compute.instances"] == []


def test_what_is_in_order_is_told_row_by_row_and_nothing_is_changed(cloud: Cloud, tmp_path: Path) -> None:
    before, objects = cloud.inventory()["calls"], cloud.inventory()["storage.objects"]
    seen = preflight(
        cloud,
        tmp_path,
        {
            "NB_ZONES": "us-central1",
            "NB_MACHINE_TYPE": "n1-standard-4",
            "NB_ACCELERATOR": "nvidia-tesla-t4:1",
        },
    )
    assert seen.code == 0, seen.printed
    assert {row.what for row in seen.rows(State.OK)} == {
        "account", "API", "permissions", "bucket", "folders", "uniform access", "VM's account", "act as", "image family",
        "machine type", "accelerator", "network", "subnetwork", "quota",
    }  # fmt: skip
    (rights,) = seen.rows(State.UNKNOWN)
    assert (rights.what, rights.where) == ("VM's rights", VM)
    assert f"gcloud storage buckets get-iam-policy {BUCKET}" in rights.fix
    lines = seen.printed.splitlines()
    assert lines[0] == f"check as {BUILDER} in project {PROJECT}, {LOCATION}; nothing is changed"
    assert lines[-1].startswith("verdict: GREEN, this plan can run: ")
    assert seen.row("quota", "us-central1 CPUS").found == "limit 200, in use 0; the VM needs 4"
    assert seen.row("quota", "us-central1 NVIDIA_T4_GPUS").found.endswith("the VM needs 1")
    assert [row.where for row in seen.found.rows if row.what == "machine type"] == [
        f"us-central1-{letter}" for letter in "abcf"
    ]
    made = {method for method, count in cloud.inventory()["calls"].items() if count > before.get(method, 0)}
    assert made
    # The insert names a generation that no object has, and is refused (412).
    assert [method for method in made if not method.endswith(READING)] == ["storage.objects.insert"]
    assert cloud.inventory()["storage.objects"] == objects


@pytest.mark.parametrize(
    ("options", "code", "what", "words", "command"),
    [
        pytest.param(
            {"NB_IMAGE_FAMILY": "common-cu128-ubuntu-2404-nvidia-570"},
            2,
            "image family",
            "current families: common-cu129-ubuntu-2204-nvidia-580, common-cu129-ubuntu-2404-nvidia-580, pytorch-",
            "gcloud compute images list --project=deeplearning-platform-release --no-standard-images",
            id="unknown image family",
        ),
        pytest.param(
            {"NB_IMAGE": "tf-2-17-cu123-debian-11-v20250701"},
            2,
            "image",
            "obsolete",
            "gcloud compute images list",
            id="obsolete image",
        ),
        pytest.param(
            {"NB_SUBNETWORK": "custom-central"},
            4,
            "subnetwork",
            "Private Google Access is off",
            (
                f"gcloud compute networks subnets update custom-central --project={PROJECT} --region=us-central1 "
                "--enable-private-ip-google-access"
            ),
            id="subnetwork without Google access",
        ),
        pytest.param(
            {"NB_SUBNETWORK": "nothing"},
            4,
            "subnetwork",
            "does not exist in this region",
            f"gcloud compute networks subnets create nothing --project={PROJECT}",
            id="missing subnetwork",
        ),
        pytest.param(
            {"NB_NETWORK": "nothing"},
            4,
            "network",
            "does not exist",
            f"gcloud compute networks create nothing --project={PROJECT} --subnet-mode=auto",
            id="missing network",
        ),
        pytest.param(
            {"NB_NETWORK": "custom"},
            4,
            "network",
            "NB_SUBNETWORK to one of its subnetworks (custom-central, custom-west)",
            f"gcloud compute networks subnets list --project={PROJECT} --network=custom",
            id="network without automatic subnetworks",
        ),
        pytest.param(
            {"NB_GCS_LOCATION": "gs://nb-not-there/ci"},
            4,
            "bucket",
            "does not exist",
            (
                f"gcloud storage buckets create gs://nb-not-there --project={PROJECT} --location=us-central1 "
                "--uniform-bucket-level-access --public-access-prevention"
            ),
            id="missing bucket",
        ),
        pytest.param(
            {"NB_VM_SERVICE_ACCOUNT": email("notebook-deployer")},
            4,
            "act as",
            "missing: iam.serviceAccounts.actAs",
            (
                f"gcloud iam service-accounts {_BINDING} {email('notebook-deployer')} --member=serviceAccount:{BUILDER} "
                "--role=roles/iam.serviceAccountUser --condition=None"
            ),
            id="no permission to act as",
        ),
        pytest.param(
            {"NB_EXTERNAL_IP": "true"},
            4,
            "permissions",
            "missing: compute.subnetworks.useExternalIp",
            (
                f"gcloud iam roles update notebookBuilder --project={PROJECT} "
                "--add-permissions=compute.subnetworks.useExternalIp"
            ),
            id="no permission for an external address",
        ),
        pytest.param(
            {"NB_ZONES": "us-nowhere1"},
            4,
            "region",
            "regions/us-nowhere1' was not found",
            "gcloud compute regions list",
            id="missing region",
        ),
        pytest.param(
            {"NB_ZONES": "us-central1-z"},
            3,
            "machine type",
            "there is no such zone",
            "gcloud compute zones list",
            id="missing zone",
        ),
        pytest.param(
            {"NB_MACHINE_TYPE": "e2-standart-4"},
            2,
            "machine type",
            "Compute Engine has e2-standart-4 in no zone; did you mean e2-standard-4 or ",
            "gcloud compute machine-types list",
            id="mistyped machine type",
        ),
        pytest.param(
            {"NB_MACHINE_TYPE": "n1-standard-4", "NB_ACCELERATOR": "nvidia-tesla-p100:1"},
            3,
            "accelerator",
            "there is no nvidia-tesla-p100 in this zone; it is in ",
            'gcloud compute accelerator-types list --filter="name=nvidia-tesla-p100"',
            id="missing accelerator",
        ),
    ],
)
def test_one_fault_is_one_row_with_its_command(
    cloud: Cloud, tmp_path: Path, *, options: dict[str, str], code: int, what: str, words: str, command: str
) -> None:
    seen = preflight(cloud, tmp_path, options)
    (row,) = seen.rows(State.FAIL)
    assert (seen.code, row.what) == (code, what), seen.printed
    assert words in row.found
    assert row.fix.startswith(command)
    lines = seen.printed.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("FAIL"))
    assert lines[at + 1].strip() == f"do: {row.fix}"
    assert f"(exit code {code}: " in lines[-1]


def test_a_zone_that_another_one_makes_up_for_is_no_failure(cloud: Cloud, tmp_path: Path) -> None:
    seen = preflight(
        cloud, tmp_path, {"NB_ZONES": "us-central1-f,us-central1-a", "NB_MACHINE_TYPE": "g2-standard-8"}
    )
    assert (seen.code, seen.failed()) == (0, [])
    (row,) = seen.rows(State.NO)
    assert (row.what, row.where) == ("machine type", "us-central1-f")
    seen = preflight(cloud, tmp_path, {"NB_ZONES": "us-central1-f", "NB_MACHINE_TYPE": "g2-standard-8"})
    assert (seen.code, seen.failed()) == (3, [("machine type", "us-central1-f")])
    seen = preflight(
        cloud,
        tmp_path,
        {"NB_SUBNETWORK": "custom-west", "NB_ZONES": "us-central1,europe-west4", "NB_EXTERNAL_IP": "true"},
    )
    assert [row.where for row in seen.rows(State.NO)] == ["us-central1/custom-west"]


def test_faults_are_told_together_and_the_gravest_is_the_exit_code(cloud: Cloud, tmp_path: Path) -> None:
    options = {"NB_MACHINE_TYPE": "e2-standard-5", "NB_IMAGE_FAMILY": "tf-latest-gpu"}
    seen = preflight(cloud, tmp_path, options)
    assert (seen.code, [what for what, _ in seen.failed()]) == (2, ["image family", "machine type"])
    seen = preflight(
        cloud, tmp_path, {**options, "NB_NETWORK": "nothing", "NB_GCS_LOCATION": "gs://nb-not-there/ci"}
    )
    assert seen.code == 4
    assert [what for what, _ in seen.failed()] == ["bucket", "image family", "machine type", "network"]


def _grants(*dropped: tuple[str, str], plus: Sequence[Grant] = ()) -> list[Grant]:
    """The documented grants but for these roles of the builder on places that hold a text."""
    left = [
        grant
        for grant in GRANTS
        if not (
            grant.account == "notebook-builder"
            and any(grant.role.endswith(role) and place in grant.on for role, place in dropped)
        )
    ]
    assert len(left) < len(GRANTS) or not dropped
    return [*left, *plus]


@pytest.mark.parametrize(
    ("grants", "code", "row", "words", "command"),
    [
        (
            _grants(("notebookBuilder", "")),
            4,
            ("permissions", f"projects/{PROJECT}"),
            "missing: compute.instances.create, ",
            (
                f"gcloud projects {_BINDING} {PROJECT} --member=serviceAccount:{BUILDER} "
                f"--role=projects/{PROJECT}/roles/notebookBuilder --condition='title=nb-instances,"
            ),
        ),
        (
            _grants(("objectUser", "")),
            4,
            ("permissions", BUCKET),
            "missing: storage.objects.create, storage.objects.delete",
            f"setup/repo.sh --project {PROJECT} --region us-central1 --bucket {FIRST_BUCKET} --prefix ",
        ),
        (
            _grants(("serviceAccountUser", "")),
            4,
            ("act as", VM),
            "missing: iam.serviceAccounts.actAs",
            f"gcloud iam service-accounts {_BINDING} {VM}",
        ),
        (
            _grants(("bucketViewer", "")),
            0,
            ("bucket", BUCKET),
            "does not have storage.buckets.get access",
            (
                f"gcloud storage buckets {_BINDING} {BUCKET} --member=serviceAccount:{BUILDER} "
                "--role=roles/storage.bucketViewer --condition=None"
            ),
        ),
    ],
    ids=["role", "objects", "act-as", "bucket-viewer"],
)
def test_a_role_that_is_missing_is_named_with_the_command_that_grants_it(
    tmp_path: Path, *, grants: list[Grant], code: int, row: tuple[str, str], words: str, command: str
) -> None:
    with Cloud(tmp_path / "cloud", profile=granting(grants, PREFIX)) as cloud:
        seen = preflight(cloud, tmp_path)
    assert seen.code == code, seen.printed
    found = seen.row(*row)
    assert found.state is (State.FAIL if code else State.UNKNOWN)
    assert words in found.found
    assert found.fix.startswith(command)


_RUNS = ("kits", "staging", "open", "results")


@pytest.mark.parametrize("folder", [*_RUNS, "all"])
def test_a_prefix_whose_grant_is_missing_is_named_with_the_command_that_makes_it(
    tmp_path: Path, folder: str
) -> None:
    """The account has all roles of the project, and writes below another prefix, or below some folders of this one."""
    grants = list(GRANTS) if folder == "all" else narrowed("notebook-builder", folder)
    with Cloud(tmp_path / "cloud", profile=granting(grants, "other" if folder == "all" else PREFIX)) as cloud:
        seen = preflight(cloud, tmp_path)
    missing = _RUNS if folder == "all" else (folder,)
    assert (seen.code, seen.failed()) == (4, [("folders", LOCATION)]), seen.printed
    row = seen.row("folders")
    assert row.found == f"missing: storage.objects.create below {', '.join(f'{each}/' for each in missing)}"
    assert row.fix == (
        f"setup/repo.sh --project {PROJECT} --region us-central1 --bucket {FIRST_BUCKET} --prefix {PREFIX}"
    )


@pytest.mark.parametrize("folder", ["versions", "locks"])
def test_a_scheduled_run_s_folders_are_asked_for_too(tmp_path: Path, folder: str) -> None:
    everything = preflight_of_event(tmp_path, "all", GRANTS)
    assert everything.code == 0, everything.printed
    seen = preflight_of_event(tmp_path, "narrowed", narrowed("notebook-scheduler", folder))
    assert (seen.code, seen.failed()) == (4, [("folders", LOCATION)]), seen.printed
    assert seen.row("folders").found == f"missing: storage.objects.create below {folder}/"
    assert seen.row("folders").fix.endswith(f" --prefix {PREFIX} --schedule")


def preflight_of_event(folder: Path, state: str, grants: Sequence[Grant]) -> Seen:
    """The preflight of the account of scheduled builds, for a message on the topic, on a cloud with a new state."""
    with Cloud(folder / state, profile=granting(grants, PREFIX)) as cloud:
        return preflight(cloud, folder, account=email("notebook-scheduler"), message=Message())


@pytest.mark.parametrize(
    ("grants", "words"),
    [
        pytest.param((*GRANTS, *UNDEPLOYED), "results/", id="undeployed"),
        pytest.param(GRANTS, "results/, not below proofs/: a run leaves no proofs", id="deployed"),
    ],
)
def test_proofs_that_the_account_cannot_write_are_told_and_no_fault(
    tmp_path: Path, grants: Sequence[Grant], words: str
) -> None:
    with Cloud(tmp_path / "cloud", profile=granting(grants, PREFIX)) as cloud:
        seen = preflight(cloud, tmp_path)
    assert (seen.code, seen.row("folders").state) == (0, State.OK)
    assert seen.row("folders").found.endswith(words)


def test_an_account_that_is_not_there_is_told_to_who_may_see_it(tmp_path: Path) -> None:
    ghost = email("nobody-here")
    accounts = Grant("notebook-builder", "roles/iam.serviceAccountUser", f"projects/{PROJECT}")
    with Cloud(tmp_path / "cloud", profile=granting(_grants(plus=[accounts]), PREFIX)) as cloud:
        seen = preflight(cloud, tmp_path, {"NB_VM_SERVICE_ACCOUNT": ghost})
    assert seen.code == 4
    row = seen.row("VM's account")
    assert (row.state, row.found) == (State.FAIL, f"Unknown service account: {ghost}.")
    assert row.fix == f"gcloud iam service-accounts create nobody-here --project={PROJECT}"


def test_a_bucket_without_uniform_access_is_told(tmp_path: Path) -> None:
    with Cloud(tmp_path / "cloud") as cloud:
        owner, options = Credentials(token=cloud.iam.owner_token), {"api_endpoint": cloud.url}
        with Client(project=PROJECT, credentials=owner, client_options=options) as client:
            bucket = client.bucket(FIRST_BUCKET)
            bucket.iam_configuration.uniform_bucket_level_access_enabled = False
            bucket.patch()
        seen = preflight(cloud, tmp_path)
    assert (seen.code, seen.failed()) == (4, [("uniform access", BUCKET)])
    assert (
        seen.row("uniform access").fix
        == f"gcloud storage buckets update {BUCKET} --uniform-bucket-level-access"
    )


@pytest.mark.parametrize(
    ("quotas", "options", "where", "wanted"),
    [
        pytest.param({"CPUS": 0}, {}, "us-central1 CPUS", "4 --dimensions=region=us-central1", id="CPUs"),
        pytest.param(
            {"INSTANCES": 0}, {}, "us-central1 INSTANCES", "1 --dimensions=region=us-central1", id="VMs"
        ),
        pytest.param(
            {"SSD_TOTAL_GB": 40},
            {},
            "us-central1 SSD_TOTAL_GB",
            "50 --dimensions=region=us-central1",
            id="disk",
        ),
        pytest.param(
            {"CPUS_ALL_REGIONS": 2}, {}, "all regions CPUS_ALL_REGIONS", "4", id="CPUs of all regions"
        ),
        pytest.param(
            {"GPUS_ALL_REGIONS": 0},
            {"NB_MACHINE_TYPE": "g2-standard-8"},
            "all regions GPUS_ALL_REGIONS",
            "1",
            id="GPUs of all regions",
        ),
        pytest.param(
            {"NVIDIA_L4_GPUS": 0, "PREEMPTIBLE_NVIDIA_L4_GPUS": 0},
            {"NB_MACHINE_TYPE": "g2-standard-8"},
            "us-central1 NVIDIA_L4_GPUS",
            "1 --dimensions=region=us-central1",
            id="L4",
        ),
        pytest.param(
            {"NVIDIA_L4_GPUS": 4, "PREEMPTIBLE_NVIDIA_L4_GPUS": 1},
            {"NB_MACHINE_TYPE": "g2-standard-24", "NB_PROVISIONING": "spot"},
            "us-central1 PREEMPTIBLE_NVIDIA_L4_GPUS",
            "2 --dimensions=region=us-central1",
            id="Spot L4",
        ),
    ],
)
def test_a_quota_that_is_too_small_is_3_with_the_command_that_asks_for_more(
    tmp_path: Path, quotas: dict[str, float], options: dict[str, str], where: str, wanted: str
) -> None:
    with Cloud(tmp_path / "cloud", quotas=quotas) as cloud:
        seen = preflight(cloud, tmp_path, options)
    assert (seen.code, seen.failed()) == (3, [("quota", where)]), seen.printed
    fix = seen.row("quota", where).fix
    assert fix.startswith(f"gcloud beta quotas preferences create --project={PROJECT} ")
    assert fix.endswith(f"--preferred-value={wanted} --email=EMAIL")


def test_quotas_are_compared_with_what_runs_at_a_time(tmp_path: Path) -> None:
    names = [f"n{number}.ipynb" for number in range(4)]
    with Cloud(tmp_path / "cloud", quotas={"CPUS": 11}) as cloud:
        seen = preflight(cloud, tmp_path, {"NB_CONCURRENCY": "3"}, notebooks=names)
        assert (seen.code, seen.failed()) == (3, [("quota", "us-central1 CPUS")])
        assert seen.row("quota", "us-central1 CPUS").found == "limit 11, in use 0; 3 VMs at a time need 12"
        seen = preflight(cloud, tmp_path, {"NB_CONCURRENCY": "2"}, notebooks=names)
        assert seen.code == 0
        seen = preflight(
            cloud, tmp_path, {"NB_CONCURRENCY": "3", "NB_ZONES": "us-central1,us-east1"}, notebooks=names
        )
        assert (seen.code, len(seen.rows(State.NO))) == (0, 2)


def _disabled(service: str, methods: str) -> dict[str, Any]:
    """Return Google's answer to every call of an API that is not enabled."""
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "SERVICE_DISABLED",
        "domain": "googleapis.com",
        "metadata": {"service": f"{service}.googleapis.com"},
    }
    args = {"status": 403, "reason": "accessNotConfigured", "message": "It is disabled.", "details": [info]}
    return {"method": methods, "action": "error", "times": 99, "args": args}


@pytest.mark.parametrize(
    ("service", "code"), [("compute", 4), ("storage", 4), ("iam", 0), ("cloudresourcemanager", 0)]
)
def test_an_api_that_is_not_enabled_is_one_row_and_what_hangs_on_it_is_unknown(
    tmp_path: Path, service: str, code: int
) -> None:
    with Cloud(tmp_path / "cloud", faults=[_disabled(service, f"{service}.*")]) as cloud:
        seen = preflight(cloud, tmp_path)
    row = seen.row("API", service)
    assert seen.code == code, seen.printed
    assert seen.rows(State.FAIL) == ([row] if code else [])
    assert row.fix == f"gcloud services enable {service}.googleapis.com --project={PROJECT}"
    told = [
        item for item in seen.rows(State.UNKNOWN) if f"{service}.googleapis.com is not enabled" in item.found
    ]
    assert told
    assert [item for item in seen.rows(State.OK) if item.what != "account"]


@pytest.mark.parametrize("service", ["compute", "storage", "iam", "cloudresourcemanager"])
def test_an_api_that_does_not_answer_is_6_and_the_others_are_told(tmp_path: Path, service: str) -> None:
    lost = {"method": f"{service}.*", "action": "error", "times": 999, "args": {"status": 503}}
    with Cloud(tmp_path / "cloud", faults=[lost]) as cloud:
        seen = preflight(cloud, tmp_path, budget=0.2)
    assert (seen.code, seen.failed()) == (6, [("API", f"{service}.googleapis.com")]), seen.printed
    assert "did not answer" in seen.row("API", service).found
    assert len([row for row in seen.found.rows if row.what == "API" and row.state is State.OK]) == 3


def test_one_call_that_fails_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    faults: list[dict[str, Any]] = [
        {"method": "compute.machineTypes.get", "action": "error", "args": {"status": 503}},
        {"method": "cloudresourcemanager.*", "action": "drop_before"},
        {"method": "iam.*", "action": "drop_after", "times": 2},
    ]
    with Cloud(tmp_path / "cloud", faults=faults) as cloud:
        seen = preflight(cloud, tmp_path)
        assert all(fault["consumed"] for fault in cloud.inventory()["faults"])
    assert seen.code == 0, seen.printed


def test_a_right_to_look_that_is_missing_is_named_where_it_is_missed(tmp_path: Path) -> None:
    message = f"Required 'compute.regions.get' permission for 'projects/{PROJECT}/regions/us-central1'"
    refusal = {"status": 403, "reason": "forbidden", "message": message}
    with Cloud(
        tmp_path / "cloud", faults=[{"method": "compute.regions.get", "action": "error", "args": refusal}]
    ) as cloud:
        seen = preflight(cloud, tmp_path)
    assert (seen.code, seen.failed()) == (4, [("region", "us-central1")])
    assert seen.row("region").fix.endswith("--add-permissions=compute.regions.get")
