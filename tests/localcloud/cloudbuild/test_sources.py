"""What a build takes from Cloud Storage and what it leaves there: source, artifacts, log; and images."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from google.api_core.exceptions import BadRequest

from localcloud.cloudbuild.process import ProcessRunner
from localcloud.cloudbuild.process.runner import ProcessRoom
from localcloud.cloudbuild.runner import RunnerError
from localcloud.iam import PROJECT, email
from tests.localcloud.cloudbuild.world import BUCKET, Json, World, eventually, one, packed, shell


def account(name: str) -> Json:
    """Fields that make a build run as an account."""
    return {
        "serviceAccount": f"projects/{PROJECT}/serviceAccounts/{email(name)}",
        "options": {"logging": "NONE"},
    }


def test_the_source_is_in_the_workspace(world: World) -> None:
    ended = world.run(one("cat dir/file", source=world.put_source({"dir/file": "content\n"})))
    lines = world.lines(ended["id"])
    generation = str(world.bucket.get_blob("source.tgz").generation)
    assert f"Fetching storage object: gs://{BUCKET}/source.tgz#{generation}" in lines
    assert "content" in lines
    assert "generation" not in ended["source"]["storageSource"]
    resolved = ended["sourceProvenance"]["resolvedStorageSource"]
    assert resolved == {"bucket": BUCKET, "object": "source.tgz", "generation": generation}
    assert set(ended["timing"]) == {"FETCHSOURCE", "BUILD"}


def test_a_zip_is_a_source(world: World) -> None:
    packed_zip = io.BytesIO()
    with zipfile.ZipFile(packed_zip, "w") as archive:
        archive.writestr("file", "zipped\n")
    world.bucket.blob("source.zip").upload_from_string(packed_zip.getvalue())
    source = {"storageSource": {"bucket": BUCKET, "object": "source.zip"}}
    assert "zipped" in world.lines(world.run(one("cat file", source=source))["id"])


def test_the_generation_that_was_asked_for(world: World) -> None:
    source = world.put_source({"file": "old"})
    generation = str(world.bucket.get_blob("source.tgz").generation)
    source["storageSource"]["generation"] = generation
    assert world.run(one("grep old file", source=source))["status"] == "SUCCESS"
    world.put_source({"file": "new"})
    with pytest.raises(BadRequest, match="could not resolve source: googleapi: Error 404: No such object"):
        world.create(one("true", source=source))


@pytest.mark.parametrize("bucket", [BUCKET, "other"])
def test_a_missing_source_is_refused_at_once(world: World, bucket: str) -> None:
    """So Google does it: `could not resolve source: googleapi: Error 404: The specified bucket does not exist.`"""
    source = {"storageSource": {"bucket": bucket, "object": "none.tgz"}}
    with pytest.raises(BadRequest, match=r"could not resolve source: googleapi: Error 404: .*, notFound"):
        world.create(one("true", source=source))


def test_the_builds_account_must_be_able_to_read_the_source(world: World) -> None:
    source = world.put_source({"file": "x"})
    words = f"could not resolve source: googleapi: Error 403: {email('vm')} does not have storage.objects.get access"
    with pytest.raises(BadRequest, match=words):
        world.create(one("true", source=source, **account("vm")))


def test_a_source_that_goes_away_fails_the_build(world: World) -> None:
    source = world.put_source({"file": "x"})
    fault = {
        "method": "storage.objects.get",
        "match": {"alt": "media"},
        "action": "error",
        "args": {"status": 404},
    }
    world.faults.add(fault)
    ended = world.run(one("true", source=source))
    assert (ended["status"], ended["failureInfo"]["type"]) == ("FAILURE", "FETCH_SOURCE_FAILED")
    assert "Error 404" in ended["statusDetail"]
    assert [step["status"] for step in ended["steps"]] == ["QUEUED"]


def test_a_source_that_is_no_archive_fails_the_build(world: World) -> None:
    world.bucket.blob("source.tgz").upload_from_string("no archive")
    ended = world.run(one("true", source={"storageSource": {"bucket": BUCKET, "object": "source.tgz"}}))
    assert ended["failureInfo"]["type"] == "FETCH_SOURCE_FAILED"
    assert "cannot be unpacked" in ended["statusDetail"]


@pytest.mark.parametrize("action", ["error", "drop_before"])
def test_a_passing_fault_of_storage_is_tried_again(world: World, action: str) -> None:
    source = world.put_source({"file": "x"})
    args = {"status": 503} if action == "error" else {}
    world.faults.add({"method": "storage.objects.get", "times": 2, "action": action, "args": args})
    assert world.run(one("cat file", source=source))["status"] == "SUCCESS"


def test_artifacts_are_uploaded_with_a_manifest(world: World) -> None:
    artifacts = {"objects": {"location": f"gs://{BUCKET}/out", "paths": ["a.txt", "sub/*.bin"]}}
    command = "echo a > a.txt; mkdir sub; head -c 10 /dev/zero > sub/b.bin; touch sub/c.bin sub/no"
    ended = world.run(one(command, artifacts=artifacts))
    assert ended["status"] == "SUCCESS", world.log(ended["id"])
    names = ["a.txt", "b.bin", "c.bin"]
    manifest = f"out/artifacts-{ended['id']}.json"
    assert {blob.name for blob in world.bucket.list_blobs()} == {*(f"out/{name}" for name in names), manifest}
    results = ended["results"]
    assert results["numArtifacts"] == "3"
    assert results["artifactManifest"] == f"gs://{BUCKET}/{manifest}"
    lines = [json.loads(line) for line in world.bucket.blob(manifest).download_as_bytes().splitlines()]
    for name, line in zip(names, lines, strict=True):
        blob = world.bucket.get_blob(f"out/{name}")
        assert line["location"] == f"gs://{BUCKET}/out/{name}#{blob.generation}"
        assert line["file_hash"][0]["file_hash"][0]["value"] == blob.md5_hash
    assert set(ended["timing"]) == {"BUILD", "PUSH"}


def test_a_cancelled_build_uploads_nothing_more(world: World) -> None:
    artifacts = {"objects": {"location": f"gs://{BUCKET}", "paths": ["a", "b"]}}
    world.faults.add({"method": "storage.objects.insert", "action": "delay", "args": {"seconds": 1}})
    build_id = world.start(one("touch a b", artifacts=artifacts))
    world.wait_for(build_id, "Uploading path a")
    eventually(lambda: all(fault["consumed"] for fault in world.faults.inventory()))
    assert world.client().cancel_build(project_id=PROJECT, id=build_id).status.name == "CANCELLED"
    eventually(lambda: all(thread.name != "build-work" for thread in threading.enumerate()))
    assert [blob.name for blob in world.bucket.list_blobs()] == ["a"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"paths": ["none"]}, 'no file in /workspace matches the path "none"', id="no such file"),
        pytest.param({"location": "gs://other"}, "Error 404", id="no such bucket"),
    ],
)
def test_artifacts_that_cannot_be_uploaded_fail_the_build(world: World, change: Json, words: str) -> None:
    artifacts = {"objects": {"location": f"gs://{BUCKET}", "paths": ["a"], **change}}
    ended = world.run(one("touch a", artifacts=artifacts))
    assert (ended["status"], ended["failureInfo"]["type"]) == ("FAILURE", "PUSH_FAILED")
    assert words in ended["statusDetail"]
    assert [step["status"] for step in ended["steps"]] == ["SUCCESS"]


def test_artifacts_are_uploaded_as_the_builds_account(world: World) -> None:
    artifacts = {"objects": {"location": f"gs://{BUCKET}/x", "paths": ["a"]}}
    ended = world.run(one("touch a", artifacts=artifacts, **account("vm")))
    assert f"{email('vm')} does not have storage.objects.create access" in ended["statusDetail"]


@pytest.mark.parametrize(
    ("bucket", "name"), [(BUCKET, "log-{}.txt"), (f"gs://{BUCKET}/a/b/", "a/b/log-{}.txt")]
)
def test_the_log_is_an_object_too(world: World, bucket: str, name: str) -> None:
    ended = world.run(one("echo hello", logsBucket=bucket))
    blob = world.bucket.blob(name.format(ended["id"]))
    assert blob.download_as_bytes().decode() == world.log(ended["id"])


@pytest.mark.parametrize("logging", ["CLOUD_LOGGING_ONLY", "NONE"])
def test_the_log_is_no_object_when_it_goes_elsewhere(world: World, logging: str) -> None:
    world.run(one("echo hello", logsBucket=BUCKET, options={"logging": logging}))
    assert list(world.bucket.list_blobs()) == []


def test_a_log_that_cannot_be_written_fails_the_build(world: World) -> None:
    ended = world.run(one("echo hello", logsBucket="gs://other"))
    assert (ended["status"], ended["failureInfo"]["type"]) == ("FAILURE", "LOGGING_FAILURE")
    assert "hello" not in world.log(ended["id"])


def test_a_log_that_cannot_be_written_at_the_end_fails_a_build_that_went_well(world: World) -> None:
    fault = {
        "method": "storage.objects.insert",
        "skip": 1,
        "times": 2,
        "action": "error",
        "args": {"status": 403},
    }
    world.faults.add(fault)
    ended = world.run(one("true", logsBucket=BUCKET))
    assert (ended["status"], ended["failureInfo"]["type"]) == ("FAILURE", "LOGGING_FAILURE")
    ended = world.run(one("exit 3", logsBucket=f"{BUCKET}/other"))
    assert ended["failureInfo"]["type"] == "LOGGING_FAILURE"


class PushingRoom(ProcessRoom):
    """A room whose runner has images."""

    def push(self, image: str, log: Callable[[str], None]) -> str:
        if image.endswith("missing"):
            raise RunnerError(f"image {image} cannot be pushed: there is none")
        log("pushed")
        return "sha256:" + "0" * 64


class Pushing(ProcessRunner):
    def open(self, build_id: str, folder: Path) -> ProcessRoom:  # noqa: ARG002
        return PushingRoom(folder.resolve(), None)


def test_images_are_pushed(world: World) -> None:
    world.runners["pushing"] = Pushing()
    ended = world.run(one("true", images=["gcr.io/$PROJECT_ID/app"]), runner="pushing")
    (image,) = ended["results"]["images"]
    assert (image["name"], image["digest"]) == (f"gcr.io/{PROJECT}/app", "sha256:" + "0" * 64)
    assert world.lines(ended["id"])[-4:] == ["PUSH", f"Pushing gcr.io/{PROJECT}/app", "pushed", "DONE"]


@pytest.mark.parametrize("runner", ["pushing", "process"])
def test_an_image_that_cannot_be_pushed_fails_the_build(world: World, runner: str) -> None:
    world.runners["pushing"] = Pushing()
    ended = world.run({"steps": [shell("true")], "images": ["gcr.io/p/missing"]}, runner=runner)
    assert (ended["status"], ended["failureInfo"]["type"]) == ("FAILURE", "PUSH_FAILED")
    assert "gcr.io/p/missing cannot be pushed" in ended["statusDetail"]


def test_a_packed_archive_is_what_it_says() -> None:
    assert packed({"a": "b"})[:2] == b"\x1f\x8b"
