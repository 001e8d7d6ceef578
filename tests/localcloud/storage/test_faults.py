"""Faults: matched by the object's name in every type of upload, and the ways in which bytes go wrong."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from google.api_core import exceptions

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

    from tests.localcloud.storage.conftest import Site

LARGE = 9 << 20


def _plan(site: Site, name: str, action: str, method: str = "insert", **args: object) -> None:
    site.faults.add(
        {
            "method": f"storage.objects.{method}",
            "match": {"object": name},
            "action": action,
            "args": args,
        }
    )


def _all_consumed(site: Site) -> bool:
    return all(fault["consumed"] == fault["times"] for fault in site.faults.inventory())


@pytest.mark.parametrize("size", [10, LARGE])
def test_error_hits_the_object_named(site: Site, bucket: Bucket, size: int) -> None:
    _plan(site, f"{bucket.name}/bad", "error", status=403, message="no, says the plan")
    bucket.blob(f"{bucket.name}/good").upload_from_string(b"x" * size)
    with pytest.raises(exceptions.Forbidden, match="no, says the plan"):
        bucket.blob(f"{bucket.name}/bad").upload_from_string(b"x" * size)
    assert _all_consumed(site)
    assert bucket.get_blob(f"{bucket.name}/bad") is None


@pytest.mark.parametrize("size", [10, LARGE])
@pytest.mark.parametrize("action", ["drop_before", "drop_after"])
def test_upload_survives_a_dropped_connection(site: Site, bucket: Bucket, size: int, action: str) -> None:
    name = f"{bucket.name}-{action}"
    _plan(site, name, action)
    bucket.blob(name).upload_from_string(b"x" * size)
    assert bucket.get_blob(name).size == size
    assert _all_consumed(site)


def test_lost_answer_turns_a_conditional_upload_into_a_412(site: Site, bucket: Bucket) -> None:
    name = f"{bucket.name}-lost"
    _plan(site, name, "drop_after")
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob(name).upload_from_string("mine", if_generation_match=0)
    assert bucket.blob(name).download_as_bytes() == b"mine"


@pytest.mark.parametrize("size", [0, 10, LARGE])
def test_corrupt(site: Site, bucket: Bucket, size: int) -> None:
    name = f"{bucket.name}-corrupt"
    _plan(site, name, "corrupt")
    blob = bucket.blob(name)
    blob.upload_from_string(b"x" * size)
    found = bucket.get_blob(name)
    assert (found.crc32c, found.size) == (blob.crc32c, size)
    assert site.file(bucket.name, name).read_bytes() != b"x" * size
    if size:
        with pytest.raises(Exception, match=r"[Cc]hecksum"):
            found.download_as_bytes()
    assert _all_consumed(site)


def test_truncate(site: Site, bucket: Bucket) -> None:
    name = f"{bucket.name}-truncate"
    _plan(site, name, "truncate", bytes=4)
    blob = bucket.blob(name)
    blob.upload_from_string(b"0123456789")
    assert blob.size == 10
    assert bucket.get_blob(name).size == 4
    assert bucket.blob(name).download_as_bytes() == b"0123"


@pytest.mark.parametrize("size", [10, LARGE])
def test_lose(site: Site, bucket: Bucket, size: int) -> None:
    name = f"{bucket.name}-lose"
    _plan(site, name, "lose")
    blob = bucket.blob(name)
    blob.upload_from_string(b"x" * size)
    assert blob.size == size
    assert bucket.get_blob(name) is None


def test_other_methods(site: Site, bucket: Bucket) -> None:
    name = f"{bucket.name}-x"
    bucket.blob(name).upload_from_string("1")
    _plan(site, name, "error", "get", status=403)
    with pytest.raises(exceptions.Forbidden):
        bucket.blob(name).download_as_bytes()
    _plan(site, name, "error", "delete", status=403)
    with pytest.raises(exceptions.Forbidden):
        bucket.blob(name).delete()
    site.faults.add(
        {
            "method": "storage.objects.list",
            "match": {"bucket": bucket.name, "prefix": "p/"},
            "action": "error",
            "args": {"status": 403},
        }
    )
    with pytest.raises(exceptions.Forbidden):
        list(bucket.list_blobs(prefix="p/"))
    site.faults.add(
        {
            "method": "storage.objects.rewrite",
            "match": {"destinationObject": "to"},
            "action": "error",
            "args": {"status": 403},
        }
    )
    with pytest.raises(exceptions.Forbidden):
        bucket.blob("to").rewrite(bucket.blob(name))
    assert _all_consumed(site)


def test_chunk_of_a_resumable_upload_is_sent_again(site: Site, bucket: Bucket) -> None:
    site.faults.add(
        {
            "method": "storage.resumable.chunk",
            "match": {"object": f"{bucket.name}-chunks"},
            "skip": 1,
            "times": 2,
            "action": "drop_after",
        }
    )
    data = bytes(range(256)) * (5 << 10)
    blob = bucket.blob(f"{bucket.name}-chunks", chunk_size=256 << 10)
    # A stream of unknown length is always sent in chunks.
    blob.upload_from_file(io.BytesIO(data))
    assert blob.download_as_bytes() == data
    assert _all_consumed(site)
