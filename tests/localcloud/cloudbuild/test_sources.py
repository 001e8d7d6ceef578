"""A build's source in Cloud Storage, and its images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from google.api_core.exceptions import BadRequest

from localcloud.core.iam import PROJECT, email
from localcloud.engines.build import RunnerError
from localcloud.engines.build_process import ProcessRunner
from localcloud.engines.build_process.runner import ProcessWorker
from localcloud.profile import OWN_IMAGE
from tests.localcloud.cloudbuild.cloud_fixture import BUCKET, CloudFixture, Json, one, shell


def account(name: str) -> Json:
    """Fields that make a build run as an account."""
    return {
        "serviceAccount": f"projects/{PROJECT}/serviceAccounts/{email(name)}",
        "options": {"logging": "NONE"},
    }


def test_the_source_is_in_the_workspace(cloud_fixture: CloudFixture) -> None:
    ended = cloud_fixture.run(one("cat dir/file", source=cloud_fixture.put_source({"dir/file": "content\n"})))
    lines = cloud_fixture.lines(ended["id"])
    generation = str(cloud_fixture.bucket.get_blob("source.tgz").generation)
    assert f"Fetching storage object: gs://{BUCKET}/source.tgz#{generation}" in lines
    assert "content" in lines
    assert "generation" not in ended["source"]["storageSource"]
    resolved = ended["sourceProvenance"]["resolvedStorageSource"]
    assert resolved == {"bucket": BUCKET, "object": "source.tgz", "generation": generation}


def test_the_generation_that_was_asked_for(cloud_fixture: CloudFixture) -> None:
    source = cloud_fixture.put_source({"file": "old"})
    generation = str(cloud_fixture.bucket.get_blob("source.tgz").generation)
    source["storageSource"]["generation"] = generation
    assert cloud_fixture.run(one("grep old file", source=source))["status"] == "SUCCESS"
    cloud_fixture.put_source({"file": "new"})
    with pytest.raises(BadRequest, match="could not resolve source: googleapi: Error 404: No such object"):
        cloud_fixture.create(one("true", source=source))


@pytest.mark.parametrize("bucket", [BUCKET, "other"])
def test_a_missing_source_is_refused_at_once(cloud_fixture: CloudFixture, bucket: str) -> None:
    """Google's words: `could not resolve source: googleapi: Error 404: The specified bucket does not exist.`"""
    source = {"storageSource": {"bucket": bucket, "object": "none.tgz"}}
    with pytest.raises(BadRequest, match=r"could not resolve source: googleapi: Error 404: .*, notFound"):
        cloud_fixture.create(one("true", source=source))


def test_the_builds_account_must_be_able_to_read_the_source(cloud_fixture: CloudFixture) -> None:
    source = cloud_fixture.put_source({"file": "x"})
    words = f"could not resolve source: googleapi: Error 403: {email('notebook-vm')} does not have storage.objects.get access"
    with pytest.raises(BadRequest, match=words):
        cloud_fixture.create(one("true", source=source, **account("notebook-vm")))


def test_a_source_that_goes_away_fails_the_build(cloud_fixture: CloudFixture) -> None:
    source = cloud_fixture.put_source({"file": "x"})
    fault = {
        "method": "storage.objects.get",
        "match": {"alt": "media"},
        "action": "error",
        "args": {"status": 404},
    }
    cloud_fixture.faults.add(fault)
    ended = cloud_fixture.run(one("true", source=source))
    assert ended["status"] == "FAILURE"
    assert "failed to fetch source" in ended["statusDetail"]
    assert "Error 404" in ended["statusDetail"]
    assert [step["status"] for step in ended["steps"]] == ["QUEUED"]


def test_a_source_that_is_no_archive_fails_the_build(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.bucket.blob("source.tgz").upload_from_string("no archive")
    ended = cloud_fixture.run(
        one("true", source={"storageSource": {"bucket": BUCKET, "object": "source.tgz"}})
    )
    assert ended["status"] == "FAILURE"
    assert "cannot be unpacked" in ended["statusDetail"]


@pytest.mark.parametrize("action", ["error", "drop_before"])
def test_a_transient_fault_of_storage_is_tried_again(cloud_fixture: CloudFixture, action: str) -> None:
    source = cloud_fixture.put_source({"file": "x"})
    args = {"status": 503} if action == "error" else {}
    cloud_fixture.faults.add({"method": "storage.objects.get", "times": 2, "action": action, "args": args})
    assert cloud_fixture.run(one("cat file", source=source))["status"] == "SUCCESS"


class PushingWorker(ProcessWorker):
    """A worker whose runner has images."""

    def push(self, image: str, log: Callable[[str], None]) -> str:
        if image.endswith("missing"):
            raise RunnerError(f"image {image} cannot be pushed: there is none")
        log("pushed")
        return "sha256:" + "0" * 64


class Pushing(ProcessRunner):
    def open(self, build_id: str, folder: Path) -> ProcessWorker:  # noqa: ARG002
        return PushingWorker(folder.resolve(), None, self.images)


def test_images_are_pushed(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.runners["pushing"] = Pushing(OWN_IMAGE)
    ended = cloud_fixture.run(one("true", images=["gcr.io/$PROJECT_ID/app"]), runner="pushing")
    (image,) = ended["results"]["images"]
    assert (image["name"], image["digest"]) == (f"gcr.io/{PROJECT}/app", "sha256:" + "0" * 64)
    assert cloud_fixture.lines(ended["id"])[-4:] == [
        "PUSH",
        f"Pushing gcr.io/{PROJECT}/app",
        "pushed",
        "DONE",
    ]


@pytest.mark.parametrize("runner", ["pushing", "process"])
def test_an_image_that_cannot_be_pushed_fails_the_build(cloud_fixture: CloudFixture, runner: str) -> None:
    cloud_fixture.runners["pushing"] = Pushing(OWN_IMAGE)
    ended = cloud_fixture.run({"steps": [shell("true")], "images": ["gcr.io/p/missing"]}, runner=runner)
    assert ended["status"] == "FAILURE"
    assert "gcr.io/p/missing cannot be pushed" in ended["statusDetail"]


OWN_REPOSITORY = f"projects/{PROJECT}/locations/us-central1/repositories/notebook-builder"


@pytest.mark.parametrize(
    ("name", "image", "green"),
    [
        pytest.param("notebook-builder", "us-central1-docker.pkg.dev/$PROJECT_ID/notebook-builder/notebook-builder", True, id="reader"),
        pytest.param("notebook-builder", "europe-west1-docker.pkg.dev/$PROJECT_ID/notebook-builder/notebook-builder", True, id="another region"),
        pytest.param("notebook-trigger", "us-central1-docker.pkg.dev/$PROJECT_ID/notebook-builder/notebook-builder", False, id="no role"),
        pytest.param("notebook-builder", "us-central1-docker.pkg.dev/$PROJECT_ID/other/notebook-builder", False, id="another repository"),
        pytest.param("notebook-trigger", "us-central1-docker.pkg.dev/other-project/r/notebook-builder", True, id="another project"),
    ],
)  # fmt: skip
def test_the_account_of_a_build_needs_the_right_to_pull_a_step_s_image(
    cloud_fixture: CloudFixture, name: str, image: str, *, green: bool
) -> None:
    step = {"name": image, "entrypoint": "true"}
    ended = cloud_fixture.run({"steps": [step], **account(name)})
    assert (ended["status"] == "SUCCESS") == green, ended
    if not green:
        assert ended["steps"][0]["status"] == "FAILURE"
        assert (
            'failed: denied: Permission "artifactregistry.repositories.downloadArtifacts" denied on resource '
            f'"projects/{PROJECT}/locations/us-central1/repositories/'
        ) in ended["statusDetail"]


@pytest.mark.parametrize(("name", "status"), [("notebook-builder", "FAILURE"), ("image-builder", "SUCCESS")])
def test_the_account_of_a_build_needs_the_right_to_push_an_image(
    cloud_fixture: CloudFixture, name: str, status: str
) -> None:
    cloud_fixture.runners["pushing"] = Pushing(OWN_IMAGE)
    images = [f"us-central1-docker.pkg.dev/{PROJECT}/notebook-builder/app:1"]
    ended = cloud_fixture.run(one("true", images=images, **account(name)), runner="pushing")
    assert ended["status"] == status
    denied = f'"artifactregistry.repositories.uploadArtifacts" denied on resource "{OWN_REPOSITORY}"'
    assert (denied in ended.get("statusDetail", "")) == (status == "FAILURE")
