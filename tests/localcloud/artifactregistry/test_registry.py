"""Artifact Registry by Google's own discovery client: the digest of a tag, and the permissions."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

from localcloud.cloud import Cloud
from localcloud.core.iam import PROJECT, PROJECT_NUMBER, email
from localcloud.profile import EMPTY
from tests.localcloud.cloudbuild.test_whole_cloud import run

REPOSITORY = f"projects/{PROJECT}/locations/us-central1/repositories/notebook-builder"
URI = f"us-central1-docker.pkg.dev/{PROJECT}/notebook-builder"
PACKAGE = f"{REPOSITORY}/packages/notebook-builder"


Repositories = Callable[..., Any]


@pytest.fixture
def repositories(cloud: Cloud) -> Iterator[Repositories]:
    """Google's client of the API's repositories, as an account; None is the owner."""
    with contextlib.ExitStack() as stack:

        def opened(account: str | None = "notebook-deployer") -> Any:
            token = (
                Credentials(token=cloud.iam.token(email(account))[0])
                if account
                else Credentials(token=cloud.iam.owner_token)
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
    """The checkout's digest, as the cloud has it. A file edited since may have changed the present one."""
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


def test_a_repository_and_a_version_are_described(
    cloud: Cloud, repositories: Repositories, digest: str
) -> None:
    found = repositories()
    assert found.get(name=REPOSITORY).execute() == {
        "name": REPOSITORY,
        "format": "DOCKER",
        "mode": "STANDARD_REPOSITORY",
        "registryUri": URI,
    }
    name = f"{PACKAGE}/versions/{digest}"
    version = found.packages().versions().get(name=name).execute()
    assert abs(datetime.fromisoformat(version["createTime"]).timestamp() - cloud.clock.now()) < 60
    assert version == {"name": name, "createTime": version["createTime"]}


OTHER = "sha256:" + "0" * 64
MISSING: dict[str, Callable[[Any], Any]] = {
    "package": lambda found: found.packages().tags().get(name=f"{REPOSITORY}/packages/other/tags/1"),
    "tag": lambda found: found.packages().tags().get(name=f"{PACKAGE}/tags/~"),
    "version": lambda found: found.packages().versions().get(name=f"{PACKAGE}/versions/{OTHER}"),
    "version that is no digest": lambda found: found.packages().versions().get(name=f"{PACKAGE}/versions/1"),
    "repository": lambda found: found.get(name=REPOSITORY[:-1] + "_"),
    "location": lambda found: found.get(name=REPOSITORY.replace("us-central1", "moon")),
}  # fmt: skip


@pytest.mark.parametrize("missing", MISSING)
def test_a_missing_resource_is_a_404(repositories: Repositories, missing: str) -> None:
    assert refused(MISSING[missing](repositories(None))) == (404, "Requested entity was not found.")


def test_without_the_permission_it_is_a_403_that_names_the_repository(repositories: Repositories) -> None:
    called: dict[str, Callable[[Any], Any]] = {
        "repositories.get": lambda found: found.get(name=REPOSITORY),
        "tags.get": lambda found: found.packages().tags().get(name=f"{PACKAGE}/tags/1"),
        "versions.get": lambda found: found.packages().versions().get(name=f"{PACKAGE}/versions/1"),
    }
    for permission, call in called.items():
        assert refused(call(repositories("notebook-function"))) == (
            403,
            (
                f"Permission 'artifactregistry.{permission}' denied on resource "
                f"'//artifactregistry.googleapis.com/{REPOSITORY}' (or it may not exist)."
            ),
        )
    elsewhere = f"{PACKAGE}/tags/1".replace(PROJECT, "other")
    assert refused(repositories().packages().tags().get(name=elsewhere))[0] == 403
    assert refused(repositories(None).packages().tags().get(name=elsewhere))[0] == 403


def test_the_caller_may_ask_for_its_permissions(repositories: Repositories) -> None:
    body = {"permissions": ["artifactregistry.tags.get", "artifactregistry.tags.update"]}
    asked = {
        account: repositories(account) for account in ("notebook-deployer", "image-builder", "notebook-vm")
    }
    held = {
        name: found.testIamPermissions(resource=REPOSITORY, body=body).execute()
        for name, found in asked.items()
    }
    assert held == {
        "notebook-deployer": {"permissions": body["permissions"][:1]},
        "image-builder": body,
        "notebook-vm": {},
    }


def test_what_is_not_covered_is_a_501(repositories: Repositories, digest: str) -> None:
    found = repositories()
    assert refused(found.patch(name=REPOSITORY, body={}))[0] == 501
    assert refused(found.packages().tags().list(parent=PACKAGE))[0] == 501
    version = f"{PACKAGE}/versions/{digest}"
    assert refused(found.packages().versions().get(name=version, view="FULL"))[0] == 501


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


@pytest.fixture
def new_project(tmp_path: Path) -> Iterator[Callable[[], Cloud]]:
    """Start a new project with Artifact Registry enabled; a second call is a restart."""
    running: list[Cloud] = []
    service = "artifactregistry.googleapis.com"

    def start() -> Cloud:
        while running:
            running.pop().close()
        running.append(Cloud(tmp_path / "new", profile=replace(EMPTY, services=EMPTY.services | {service})))
        running[0].start()
        return running[0]

    yield start
    running.pop().close()


def test_a_new_project_has_the_repositories_that_were_created(new_project: Callable[[], Cloud]) -> None:
    parent = f"projects/{PROJECT}/locations/us-central1"
    remote = {"pythonRepository": {"publicRepository": "PYPI"}}
    body = {"format": "PYTHON", "mode": "REMOTE_REPOSITORY", "remoteRepositoryConfig": remote}
    with registry(new_project()) as locations:
        found = locations.repositories()
        assert refused(found.get(name=REPOSITORY))[0] == 404
        begun = found.create(parent=parent, repositoryId="pypi", body=body).execute()
        done = locations.operations().get(name=begun["name"]).execute()
        assert (done["done"], done["response"]["format"]) == (True, "PYTHON")
        assert refused(found.create(parent=parent, repositoryId="pypi", body=body))[0] == 409
        for wrong in ("Pypi", "a/b", "/a"):
            assert refused(found.create(parent=parent, repositoryId=wrong, body=body))[0] == 400
    with registry(new_project()) as locations:
        found = locations.repositories()
        name = f"{parent}/repositories/pypi"
        assert found.get(name=name).execute()["mode"] == "REMOTE_REPOSITORY"
        found.delete(name=name).execute()
        assert refused(found.get(name=name))[0] == 404


@contextlib.contextmanager
def registry(cloud: Cloud) -> Iterator[Any]:
    """Yield the locations of Google's client, as the project's owner, at the address of the service."""
    address = cloud.environment()["CLOUDSDK_API_ENDPOINT_OVERRIDES_ARTIFACTREGISTRY"]
    credentials, options = Credentials(token=cloud.iam.owner_token), {"api_endpoint": address}
    with build("artifactregistry", "v1", credentials=credentials, client_options=options) as client:
        yield client.projects().locations()
