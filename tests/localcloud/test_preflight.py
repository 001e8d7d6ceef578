"""The calls of a preflight: permissions by testIamPermissions, service accounts, the project, a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from google.cloud.storage import Client
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build

from localcloud.cloud import Cloud
from localcloud.core.iam import PROJECT, PROJECT_NUMBER, Grant, email
from localcloud.profile import FIRST_BUCKET, GRANTS
from tests.granting import granting
from tests.patience import PATIENCE

VM = email("notebook-vm")
ACT_AS = "iam.serviceAccounts.actAs"


@dataclass
class Site:
    """A local cloud, and plain calls to it as one of the accounts."""

    cloud: Cloud

    def call(
        self, verb: str, path: str, *, account: str | None = "notebook-builder", body: Any = None
    ) -> tuple[int, Any]:
        token = self.cloud.iam.token(email(account))[0] if account else self.cloud.iam.owner_token
        headers = {"Authorization": f"Bearer {token}"}
        answer = requests.request(
            verb, f"{self.cloud.url}/{path}", json=body, headers=headers, timeout=PATIENCE
        )
        return answer.status_code, answer.json()

    def test(self, path: str, *permissions: str, account: str | None = "notebook-builder") -> tuple[int, Any]:
        return self.call(
            "POST", f"{path}:testIamPermissions", account=account, body={"permissions": list(permissions)}
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    grants = [
        *GRANTS,
        Grant("notebook-deployer", "roles/iam.serviceAccountTokenCreator", f"projects/{PROJECT}"),
    ]
    with Cloud(tmp_path_factory.mktemp("cloud"), profile=granting(grants), quotas={"CPUS": 3}) as cloud:
        yield Site(cloud)
        found = cloud.inventory()
        assert (found.get("schema_violations", []), found.get("internal_errors", [])) == ([], [])


def test_a_project_tells_which_permissions_its_caller_has(site: Site) -> None:
    asked = ("compute.instances.create", "compute.subnetworks.useExternalIp", "compute.zones.list")
    held = {"permissions": ["compute.instances.create", "compute.zones.list"]}
    assert site.test(f"v3/projects/{PROJECT}", *asked) == (200, held)
    assert site.test(f"v3/projects/{PROJECT_NUMBER}", *asked) == (200, held)
    assert site.test(f"v3/projects/{PROJECT}", *asked, account="notebook-vm") == (200, {})
    assert site.test(f"v3/projects/{PROJECT}", *asked, account=None) == (200, {"permissions": list(asked)})


@pytest.mark.parametrize("wrong", ["compute.*", "compute.instances", "nonsense"])
def test_what_is_no_permission_is_a_400(site: Site, wrong: str) -> None:
    status, answer = site.test(f"v3/projects/{PROJECT}", "compute.zones.list", wrong)
    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_a_permission_that_no_role_here_has_is_a_501(site: Site) -> None:
    assert site.test(f"v3/projects/{PROJECT}", "compute.instances.craete")[0] == 501


def test_another_project_is_forbidden(site: Site) -> None:
    status, answer = site.test("v3/projects/other-project", "compute.zones.list")
    assert (status, answer["error"]["status"]) == (403, "PERMISSION_DENIED")


def test_the_project_itself_is_for_those_who_may_see_it(site: Site) -> None:
    assert site.call("GET", f"v3/projects/{PROJECT}")[0] == 403
    status, answer = site.call("GET", f"v3/projects/{PROJECT}", account=None)
    assert (status, answer["projectId"], answer["name"]) == (200, PROJECT, f"projects/{PROJECT_NUMBER}")


def test_the_first_version_of_the_api_answers_as_well(site: Site) -> None:
    asked = ("compute.instances.create", "compute.zones.list", "compute.subnetworks.useExternalIp")
    for project in (PROJECT, PROJECT_NUMBER):
        held = {"permissions": ["compute.instances.create", "compute.zones.list"]}
        assert site.test(f"v1/projects/{project}", *asked) == (200, held)
        assert site.call("GET", f"v1/projects/{project}")[0] == 403
        status, answer = site.call("GET", f"v1/projects/{project}", account=None)
        assert (status, answer["projectId"], answer["projectNumber"]) == (200, PROJECT, PROJECT_NUMBER)
    for status, answer in (
        site.test("v1/projects/other-project", "compute.zones.list"),
        site.call("GET", "v1/projects/other-project", account=None),
    ):
        assert (status, answer["error"]["status"]) == (403, "PERMISSION_DENIED")


def test_googles_own_builder_of_clients_finds_the_first_version(site: Site) -> None:
    options = {"api_endpoint": site.cloud.url}
    with build(
        "cloudresourcemanager",
        "v1",
        credentials=Credentials(token=site.cloud.iam.owner_token),
        client_options=options,
    ) as client:
        assert client.projects().get(projectId=PROJECT).execute()["lifecycleState"] == "ACTIVE"
        body = {"permissions": ["compute.zones.list"]}
        assert client.projects().testIamPermissions(resource=PROJECT, body=body).execute() == body


@pytest.mark.parametrize(
    ("verb", "path", "name"),
    [
        pytest.param("GET", "v1/projects", "cloudresourcemanager.projects.list", id="list of projects"),
        pytest.param(
            "DELETE",
            f"v1/projects/{PROJECT}",
            "cloudresourcemanager.projects.delete",
            id="deletion of a project",
        ),
        pytest.param("GET", "v1/projects/p/schemas", "pubsub.projects.schemas.list", id="Pub/Sub's schemas"),
    ],
)
def test_what_is_missing_below_a_project_is_a_501_that_names_it(
    site: Site, verb: str, path: str, name: str
) -> None:
    status, answer = site.call(verb, path, account=None)
    assert status == 501
    assert f" {name} " in answer["error"]["message"]


@pytest.mark.parametrize("project", [PROJECT, "-"])
def test_an_account_is_told_to_who_may_see_it(site: Site, project: str) -> None:
    path = f"v1/projects/{project}/serviceAccounts"
    status, answer = site.call("GET", f"{path}/{VM}")
    assert (status, answer["email"], answer["name"]) == (200, VM, f"projects/{PROJECT}/serviceAccounts/{VM}")
    assert site.call("GET", f"{path}/{answer['uniqueId']}")[1] == answer
    status, refused = site.call("GET", f"{path}/{email('notebook-deployer')}")
    assert (status, refused["error"]["status"]) == (403, "PERMISSION_DENIED")
    assert "(or it may not exist)" in refused["error"]["message"]


def test_an_account_that_is_not_there_is_a_404_for_who_may_see_accounts_and_a_403_for_others(
    site: Site,
) -> None:
    ghost = f"v1/projects/{PROJECT}/serviceAccounts/{email('ghost')}"
    assert site.call("GET", ghost)[0] == 403
    status, answer = site.call("GET", ghost, account="notebook-deployer")
    assert (status, answer["error"]["message"]) == (404, f"Unknown service account: {email('ghost')}.")
    assert site.test(ghost, ACT_AS) == (200, {})
    assert site.test(ghost, ACT_AS, account=None) == (200, {})


def test_acting_as_an_account_can_be_asked_for(site: Site) -> None:
    path = f"v1/projects/{PROJECT}/serviceAccounts"
    assert site.test(f"{path}/{VM}", ACT_AS) == (200, {"permissions": [ACT_AS]})
    assert site.test(f"{path}/{email('notebook-deployer')}", ACT_AS) == (200, {})


def test_accounts_are_listed_in_pages(site: Site) -> None:
    path = f"v1/projects/{PROJECT}/serviceAccounts"
    assert site.call("GET", path)[0] == 403
    status, first = site.call("GET", f"{path}?pageSize=4", account="notebook-deployer")
    _, second = site.call(
        "GET", f"{path}?pageSize=4&pageToken={first['nextPageToken']}", account="notebook-deployer"
    )
    assert status == 200
    assert "nextPageToken" not in second
    found = [item["email"] for page in (first, second) for item in page["accounts"]]
    assert found == site.cloud.iam.accounts.addresses()
    assert site.call("GET", f"{path}?pageSize=101", account="notebook-deployer")[0] == 400


def test_uniform_access_is_off_unless_somebody_asks_for_it(site: Site) -> None:
    with Client(
        project=PROJECT,
        credentials=Credentials(token=site.cloud.iam.owner_token),
        client_options={"api_endpoint": site.cloud.url},
    ) as client:
        bucket = client.create_bucket("uniform-or-not")
        assert not client.get_bucket(bucket.name).iam_configuration.uniform_bucket_level_access_enabled
        assert client.get_bucket(FIRST_BUCKET).iam_configuration.uniform_bucket_level_access_enabled
        for enabled in (True, False):
            bucket.iam_configuration.uniform_bucket_level_access_enabled = enabled
            bucket.patch()
            found = client.get_bucket(bucket.name).iam_configuration
            assert found.uniform_bucket_level_access_enabled == enabled
        bucket.labels = {"a": "b"}
        bucket.patch()
        assert not client.get_bucket(bucket.name).iam_configuration.uniform_bucket_level_access_enabled


def test_quotas_are_a_choice_of_who_starts_the_cloud(site: Site) -> None:
    _, region = site.call("GET", f"compute/v1/projects/{PROJECT}/regions/us-central1")
    assert {quota["metric"]: quota["limit"] for quota in region["quotas"]}["CPUS"] == 3


def test_public_projects_list_their_images_to_everybody(site: Site) -> None:
    status, answer = site.call("GET", "compute/v1/projects/debian-cloud/global/images", account="notebook-vm")
    assert (status, [image["family"] for image in answer["items"]]) == (200, ["debian-12"])
