"""Artifact Registry by Google's own discovery client: which digest a tag means, and who may ask."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

from localcloud.cloud import Cloud
from localcloud.iam import PROJECT, PROJECT_NUMBER, email
from tests.localcloud.cloudbuild.test_whole_cloud import run

REPOSITORY = f"projects/{PROJECT}/locations/us-central1/repositories/notebook-builder"
URI = f"us-central1-docker.pkg.dev/{PROJECT}/notebook-builder"
PACKAGE = f"{REPOSITORY}/packages/notebook-builder"


Repositories = Callable[..., Any]


@pytest.fixture
def repositories(cloud: Cloud) -> Iterator[Repositories]:
    """Google's client of the API's repositories, as an account; None is the owner."""
    with contextlib.ExitStack() as stack:

        def opened(account: str | None = "deployer") -> Any:
            token = (
                Credentials(token=cloud.iam.token(email(account))[0]) if account else AnonymousCredentials()
            )
            client = build(
                "artifactregistry",
                "v1",
                credentials=token,
                client_options={"api_endpoint": cloud.url},
                static_discovery=True,
            )
            stack.callback(client.close)
            return client.projects().locations().repositories()

        yield opened


@pytest.fixture
def digest(cloud: Cloud) -> str:
    """The checkout's, as the cloud has it: what is being edited may have another one by now."""
    return cloud._runners["process"].images.digest("notebook-builder") or ""


def refused(call: Any) -> tuple[int, str]:
    with pytest.raises(HttpError) as caught:
        call.execute()
    return caught.value.status_code, str(caught.value.reason)


def test_any_tag_of_our_own_image_is_this_checkout(repositories: Repositories, digest: str) -> None:
    tags = repositories().packages().tags()
    for package in ("notebook-builder", "team%2Ftags%2Fnotebook-builder"):
        for tag in ("1", "latest"):
            name = f"{REPOSITORY}/packages/{package}/tags/{tag}"
            version = f"{REPOSITORY}/packages/{package}/versions/{digest}"
            assert tags.get(name=name).execute() == {"name": name, "version": version}


def test_the_project_may_be_named_by_its_number(repositories: Repositories, digest: str) -> None:
    name = f"{PACKAGE}/tags/1".replace(PROJECT, PROJECT_NUMBER)
    found = repositories().packages().tags().get(name=name).execute()
    assert found["version"] == f"{PACKAGE}/versions/{digest}"


def test_a_repository_an_image_and_its_version_are_described(
    cloud: Cloud, repositories: Repositories, digest: str
) -> None:
    found = repositories()
    assert found.get(name=REPOSITORY).execute() == {
        "name": REPOSITORY,
        "format": "DOCKER",
        "mode": "STANDARD_REPOSITORY",
        "registryUri": URI,
    }
    image = {
        "name": f"{REPOSITORY}/dockerImages/notebook-builder@{digest}",
        "uri": f"{URI}/notebook-builder@{digest}",
        "tags": ["latest"],
    }
    assert found.dockerImages().get(name=image["name"]).execute() == image
    assert found.dockerImages().list(parent=REPOSITORY).execute() == {"dockerImages": [image]}
    tag = {"name": f"{PACKAGE}/tags/latest", "version": f"{PACKAGE}/versions/{digest}"}
    assert found.packages().tags().list(parent=PACKAGE).execute() == {"tags": [tag]}
    versions = found.packages().versions()
    version = versions.get(name=tag["version"]).execute()
    assert abs(datetime.fromisoformat(version["createTime"]).timestamp() - cloud.clock.now()) < 60
    assert version == {
        "name": tag["version"],
        "createTime": version["createTime"],
        "metadata": {"name": image["name"]},
    }
    assert versions.get(name=tag["version"], view="FULL").execute() == version | {"relatedTags": [tag]}


OTHER = "sha256:" + "0" * 64
MISSING: dict[str, Callable[[Any], Any]] = {
    "package": lambda found: found.packages().tags().get(name=f"{REPOSITORY}/packages/other/tags/1"),
    "package's tags": lambda found: found.packages().tags().list(parent=f"{REPOSITORY}/packages/other"),
    "tag": lambda found: found.packages().tags().get(name=f"{PACKAGE}/tags/~"),
    "version": lambda found: found.packages().versions().get(name=f"{PACKAGE}/versions/{OTHER}"),
    "version that is no digest": lambda found: found.packages().versions().get(name=f"{PACKAGE}/versions/1"),
    "image": lambda found: found.dockerImages().get(name=f"{REPOSITORY}/dockerImages/notebook-builder@{OTHER}"),
    "repository": lambda found: found.get(name=REPOSITORY[:-1] + "_"),
    "location": lambda found: found.get(name=REPOSITORY.replace("us-central1", "moon")),
}  # fmt: skip


@pytest.mark.parametrize("missing", MISSING)
def test_what_is_not_there_is_a_404(repositories: Repositories, missing: str) -> None:
    assert refused(MISSING[missing](repositories())) == (404, "Requested entity was not found.")


def test_without_the_permission_it_is_a_403_that_names_the_repository(repositories: Repositories) -> None:
    called: dict[str, Callable[[Any], Any]] = {
        "repositories.get": lambda found: found.get(name=REPOSITORY),
        "tags.get": lambda found: found.packages().tags().get(name=f"{PACKAGE}/tags/1"),
        "tags.list": lambda found: found.packages().tags().list(parent=PACKAGE),
        "versions.get": lambda found: found.packages().versions().get(name=f"{PACKAGE}/versions/1"),
        "dockerimages.get": lambda found: found.dockerImages().get(name=f"{REPOSITORY}/dockerImages/a@{OTHER}"),
        "dockerimages.list": lambda found: found.dockerImages().list(parent=REPOSITORY),
    }  # fmt: skip
    for permission, call in called.items():
        assert refused(call(repositories("function"))) == (
            403,
            (
                f"Permission 'artifactregistry.{permission}' denied on resource "
                f"'//artifactregistry.googleapis.com/{REPOSITORY}' (or it may not exist)."
            ),
        )
    elsewhere = f"{PACKAGE}/tags/1".replace(PROJECT, "other")
    assert refused(repositories().packages().tags().get(name=elsewhere))[0] == 403
    assert refused(repositories(None).packages().tags().get(name=elsewhere))[0] == 404


def test_the_caller_may_ask_for_its_permissions(repositories: Repositories) -> None:
    body = {"permissions": ["artifactregistry.tags.get", "artifactregistry.tags.update"]}
    asked = {account: repositories(account) for account in ("deployer", "function-build", "vm")}
    held = {
        name: found.testIamPermissions(resource=REPOSITORY, body=body).execute()
        for name, found in asked.items()
    }
    assert held == {"deployer": {"permissions": body["permissions"][:1]}, "function-build": body, "vm": {}}


def test_what_changes_a_repository_is_a_501_as_is_a_filter(repositories: Repositories) -> None:
    found = repositories()
    assert refused(found.delete(name=REPOSITORY))[0] == 501
    assert refused(found.packages().tags().list(parent=PACKAGE, filter='name="x"'))[0] == 501


def test_a_build_runs_the_image_that_a_tag_means_by_its_digest_and_no_other(
    cloud: Cloud, repositories: Repositories, digest: str
) -> None:
    name = f"{PACKAGE}/tags/1"
    version = repositories().packages().tags().get(name=name).execute()["version"]
    image = f"{URI}/notebook-builder@{version.rpartition('/')[2]}"
    build, log = run(cloud, {"steps": [{"name": image, "args": ["options"]}]})
    assert build.status.name == "SUCCESS", log
    assert "NB_EXPECT" in log
    assert f"Already have image (with digest): {image}" in log
    build, log = run(cloud, {"steps": [{"name": image.replace(digest, OTHER), "args": ["options"]}]})
    assert build.status.name == "FAILURE"
    assert f'manifest unknown: Failed to fetch "{OTHER}"; the checkout in ' in log
    assert f"is {digest}, another one than was deployed" in log
