"""Tests permissions: the accounts' roles, conditions by prefix, and Google's messages for a missing one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from google.api_core import exceptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    import urllib3
    from google.cloud.storage import Bucket

    from tests.localcloud.storage.conftest import Site

VM = "notebook-vm@local-project.iam.gserviceaccount.com"


@pytest.fixture
def vm(site: Site, bucket: Bucket) -> Iterator[Bucket]:
    """The bucket as a VM sees it."""
    with site.client("notebook-vm") as client:
        yield client.bucket(bucket.name)


def test_vm_writes_below_staging_only(bucket: Bucket, vm: Bucket) -> None:
    vm.blob("ci/staging/run/x").upload_from_string("1")
    for name in ("ci/results/run/x", "ci/kits/x", "staging-not/x"):
        with pytest.raises(exceptions.Forbidden) as caught:
            vm.blob(name).upload_from_string("1")
        assert caught.value.response.json()["error"]["message"] == (
            f"{VM} does not have storage.objects.create access to the Google Cloud Storage object. "
            "Permission 'storage.objects.create' denied on resource (or it may not exist)."
        )
    with pytest.raises(exceptions.Forbidden):
        vm.blob("ci/results/x").upload_from_string(b"x" * (9 << 20))
    with pytest.raises(exceptions.Forbidden):
        vm.blob("ci/results/x").rewrite(vm.blob("ci/staging/run/x"))
    assert [blob.name for blob in bucket.list_blobs()] == ["ci/staging/run/x"]


def test_vm_reads_kits_and_staging_only(bucket: Bucket, vm: Bucket) -> None:
    for name in ("ci/kits/k", "ci/staging/s", "ci/results/r"):
        bucket.blob(name).upload_from_string(name)
    assert vm.blob("ci/kits/k").download_as_text() == "ci/kits/k"
    assert vm.blob("ci/staging/s").download_as_text() == "ci/staging/s"
    with pytest.raises(exceptions.Forbidden):
        vm.blob("ci/results/r").download_as_text()
    with pytest.raises(exceptions.Forbidden):
        vm.blob("ci/staging/t").rewrite(vm.blob("ci/results/r"))
    with pytest.raises(exceptions.Forbidden):
        vm.blob("ci/staging/t").compose([vm.blob("ci/results/r")])


def test_a_condition_on_objects_names_allows_no_listing(vm: Bucket) -> None:
    for prefix in (None, "ci/", "ci/kits/", "ci/staging/"):
        with pytest.raises(
            exceptions.Forbidden, match=r"storage\.objects.list access to the Google Cloud Storage bucket"
        ):
            list(vm.list_blobs(prefix=prefix))


def test_missing_object_is_a_403_for_those_who_may_not_list(bucket: Bucket, vm: Bucket) -> None:
    assert bucket.get_blob("ci/kits/nothing") is None
    for name in ("ci/kits/nothing", "ci/staging/nothing"):
        with pytest.raises(exceptions.Forbidden, match="or it may not exist"):
            vm.get_blob(name)


def test_changing_a_bucket_needs_its_own_permission(vm: Bucket) -> None:
    vm.labels = {"a": "b"}
    with pytest.raises(exceptions.Forbidden, match=r"storage\.buckets.update"):
        vm.patch()


def test_overwriting_needs_delete_too(site: Site, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.blob("ci/staging/s").upload_from_string("1")
    allowed = site.iam.allowed
    monkeypatch.setattr(
        site.iam,
        "allowed",
        lambda caller, permission, resource: (
            permission != "storage.objects.delete" and allowed(caller, permission, resource)
        ),
    )
    with site.client("notebook-vm") as client:
        vm = client.bucket(bucket.name)
        vm.blob("ci/staging/new").upload_from_string("1")
        for size in (1, 9 << 20):
            with pytest.raises(exceptions.Forbidden, match=r"storage\.objects.delete"):
                vm.blob("ci/staging/s").upload_from_string(b"2" * size)
    assert bucket.blob("ci/staging/s").download_as_bytes() == b"1"


def test_builder_does_all_but_make_buckets(site: Site, bucket: Bucket) -> None:
    with site.client("notebook-builder") as client:
        mine = client.get_bucket(bucket.name)
        mine.blob("ci/kits/k").upload_from_string("1")
        assert mine.test_iam_permissions(["storage.objects.create", "storage.buckets.delete"]) == [
            "storage.objects.create"
        ]
        with pytest.raises(exceptions.Forbidden):
            client.create_bucket("another-bucket")
        with pytest.raises(exceptions.Forbidden):
            mine.delete()


def test_function_account_may_nothing(site: Site, bucket: Bucket) -> None:
    with site.client("notebook-function") as client, pytest.raises(exceptions.Forbidden):
        client.bucket(bucket.name).get_blob("x")


def test_unknown_token(http: urllib3.HTTPConnectionPool, bucket: Bucket) -> None:
    answer = http.request("GET", f"/storage/v1/b/{bucket.name}", headers={"Authorization": "Bearer nobody"})
    assert answer.status == 401
