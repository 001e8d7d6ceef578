"""Buckets: life, names, labels and the errors Google gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from google.api_core import exceptions

if TYPE_CHECKING:
    from google.cloud.storage import Bucket, Client

    from tests.localcloud.storage.conftest import Site


def test_life(client: Client) -> None:
    bucket = client.create_bucket("life-of-a-bucket", location="europe-west1")
    assert bucket.location == "EUROPE-WEST1"
    with pytest.raises(exceptions.Conflict, match="you already own it"):
        client.create_bucket("life-of-a-bucket")
    assert "life-of-a-bucket" in [found.name for found in client.list_buckets(prefix="life")]
    bucket.blob("x").upload_from_string("1")
    with pytest.raises(exceptions.Conflict, match="not empty"):
        bucket.delete()
    bucket.blob("x").delete()
    bucket.delete()
    assert not bucket.exists()
    with pytest.raises(exceptions.NotFound, match="bucket does not exist"):
        bucket.blob("x").upload_from_string("1")
    with pytest.raises(exceptions.NotFound):
        list(bucket.list_blobs())
    client.create_bucket("life-of-a-bucket").delete()


def test_bucket_with_an_aliased_object_is_not_empty(bucket: Bucket) -> None:
    bucket.blob("folder/").upload_from_string("")
    with pytest.raises(exceptions.Conflict):
        bucket.delete()
    bucket.blob("folder/").delete()
    bucket.delete()


def test_bad_name(client: Client) -> None:
    with pytest.raises(exceptions.BadRequest, match="Invalid bucket name"):
        client.create_bucket("Bad_Name")


def test_labels(bucket: Bucket) -> None:
    bucket.labels = {"a": "1", "b": "2"}
    bucket.patch()
    labels = bucket.labels
    del labels["a"]
    bucket.labels = labels
    bucket.patch()
    bucket.reload()
    assert (bucket.labels, bucket.metageneration) == ({"b": "2"}, 3)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.patch(if_metageneration_match=1)


def test_methods_that_are_not_covered_are_refused(bucket: Bucket) -> None:
    bucket.versioning_enabled = True
    with pytest.raises(exceptions.GoogleAPICallError, match="versioning"):
        bucket.patch(retry=None)


def test_a_bucket_that_a_caller_makes_has_an_empty_policy(client: Client) -> None:
    assert client.create_bucket("a-bucket-without-grants").get_iam_policy().bindings == []


def test_made_for_the_cloud(site: Site, client: Client) -> None:
    site.service.create_bucket("from-the-cloud")
    site.service.create_bucket("from-the-cloud")
    assert client.get_bucket("from-the-cloud").storage_class == "STANDARD"
