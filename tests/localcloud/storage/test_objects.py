"""Conditions, generations, metadata and errors, through Google's own client."""

from __future__ import annotations

import gzip
import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from google.api_core import exceptions

from localcloud.services.storage import pace
from tests.owner import signed
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

    from localcloud.services.storage.state_index import Version
    from tests.localcloud.storage.conftest import Site

MIB = 1 << 20


@pytest.mark.parametrize("size", [1, 8 * MIB, 9 * MIB, 20 * MIB])
def test_a_conditional_upload_of_any_size_replaces_nothing(bucket: Bucket, tmp_path: Path, size: int) -> None:
    bucket.blob("x").upload_from_string(b"first")
    file = tmp_path / "data"
    file.write_bytes(b"2" * size)
    with pytest.raises(exceptions.PreconditionFailed, match="pre-conditions you specified did not hold"):
        bucket.blob("x").upload_from_filename(file, if_generation_match=0)
    assert bucket.blob("x").download_as_bytes() == b"first"


def test_resumable_upload_is_judged_again_when_it_ends(bucket: Bucket) -> None:
    blob = bucket.blob("x")
    url = blob.create_resumable_upload_session(if_generation_match=0, size=3)
    bucket.blob("x").upload_from_string(b"other")
    transport = bucket.client._http
    assert transport.put(url, data=b"abc").status_code == 412
    assert bucket.blob("x").download_as_bytes() == b"other"


@pytest.mark.parametrize("size", [9 * MIB, 20 * MIB + 1])
def test_large_upload_keeps_every_byte(bucket: Bucket, tmp_path: Path, size: int) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    file = tmp_path / "data"
    file.write_bytes(data[:size])
    bucket.blob("x").upload_from_filename(file, if_generation_match=0)
    blob = bucket.blob("x", chunk_size=MIB)
    assert blob.download_as_bytes() == data[:size]


def test_stream_of_unknown_size(bucket: Bucket) -> None:
    blob = bucket.blob("x", chunk_size=256 << 10)
    with blob.open("wb", content_type="text/plain") as stream:
        for _ in range(7):
            stream.write(b"a" * 100_000)
    assert bucket.get_blob("x").size == 700_000


@pytest.mark.parametrize("kind", ["multipart", "resumable"])
def test_one_of_twenty_racers_wins(
    site: Site, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    store = site.service._store
    put = store.put

    def slowly(bucket: str, name: str, content: Path, fields: dict[str, Any]) -> Version:
        """Widen the gap between looking at an object and replacing it."""
        time.sleep(0.05)
        return put(bucket, name, content, fields)

    monkeypatch.setattr(store, "put", slowly)
    start = threading.Barrier(20)

    def race(number: int) -> bool:
        blob = bucket.blob("lock")
        data = io.BytesIO(b"%d" % number)
        start.wait()
        try:
            # A stream of unknown length is sent in a resumable upload.
            blob.upload_from_file(
                data, size=None if kind == "resumable" else len(data.getvalue()), if_generation_match=0
            )
        except exceptions.PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(20) as pool:
        won = list(pool.map(race, range(20)))
    assert won.count(True) == 1
    assert bucket.blob("lock").download_as_bytes() == str(won.index(True)).encode()


def test_object_under_replacement_is_always_there_and_whole(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "_BURST", 10_000.0)
    bucket.blob("a/x").upload_from_string("0")
    over = threading.Event()

    def replace() -> int:
        count = 0
        while not over.is_set():
            count += 1
            bucket.blob("a/x").upload_from_string(str(count) * count)
        return count

    with ThreadPoolExecutor(1) as pool:
        replaced = pool.submit(replace)
        seen = set()
        for _ in range(100):
            (found,) = bucket.list_blobs()
            seen.add(found.generation)
            bucket.blob("a/x").download_as_bytes(checksum="crc32c")
        over.set()
    assert len(seen) > 1
    assert bucket.get_blob("a/x").size == len(str(replaced.result())) * replaced.result()


def test_conditions_of_delete(bucket: Bucket) -> None:
    blob = bucket.blob("x")
    blob.upload_from_string("1")
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("x").delete(if_generation_match=blob.generation + 1)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("x").delete(if_metageneration_match=2)
    with pytest.raises(exceptions.NotFound):
        bucket.delete_blob("x", generation=blob.generation - 1)
    bucket.blob("x").delete(if_generation_match=blob.generation)
    with pytest.raises(exceptions.NotFound, match=f"No such object: {bucket.name}/x"):
        bucket.blob("x").delete()


def test_conditions_of_reading(bucket: Bucket) -> None:
    blob = bucket.blob("x")
    blob.upload_from_string("1")
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("x").reload(if_generation_match=1)
    with pytest.raises(exceptions.NotModified):
        bucket.blob("x").reload(if_generation_not_match=blob.generation)
    with pytest.raises(exceptions.NotModified):
        bucket.blob("x").download_as_bytes(if_metageneration_not_match=1)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("x").download_as_bytes(if_generation_match=1)
    assert bucket.get_blob("x", generation=1) is None
    assert bucket.get_blob("x", generation=blob.generation).generation == blob.generation


def test_old_generation_is_gone(bucket: Bucket) -> None:
    blob = bucket.blob("x")
    blob.upload_from_string("1")
    old = blob.generation
    bucket.blob("x").upload_from_string("2")
    with pytest.raises(exceptions.NotFound):
        bucket.blob("x", generation=old).download_as_bytes()


def test_new_version_has_nothing_of_the_old_one(bucket: Bucket) -> None:
    blob = bucket.blob("x")
    blob.metadata = {"a": "1", "b": "2"}
    blob.cache_control = "no-store"
    blob.upload_from_string("1", content_type="text/plain; charset=utf-8")
    old = bucket.get_blob("x")
    assert (old.metageneration, old.metadata, old.cache_control) == (1, {"a": "1", "b": "2"}, "no-store")
    bucket.blob("x").upload_from_string("2")
    new = bucket.get_blob("x")
    assert (new.metageneration, new.metadata, new.cache_control) == (1, None, None)
    assert new.generation > old.generation


def test_large_metadata(bucket: Bucket) -> None:
    blob = bucket.blob("x")
    blob.metadata = {"long": "m" * 7000}
    blob.upload_from_string("1", content_type="text/csv")
    again = bucket.get_blob("x")
    assert (again.metadata, again.content_type) == ({"long": "m" * 7000}, "text/csv")


@pytest.mark.parametrize(
    ("field", "words"), [("crc32c", "Provided CRC32C"), ("md5_hash", "Provided MD5 hash")]
)
def test_wrong_checksum_stores_nothing(bucket: Bucket, field: str, words: str) -> None:
    blob = bucket.blob("x")
    setattr(blob, field, "AAAAAA==" if field == "crc32c" else "A" * 22 + "==")
    with pytest.raises(exceptions.BadRequest, match=f"{words} .* doesn't match calculated"):
        blob.upload_from_string(b"data", checksum=None)
    assert bucket.get_blob("x") is None


def test_wrong_checksum_of_a_resumable_upload(bucket: Bucket) -> None:
    url = bucket.blob("x").create_resumable_upload_session(size=3)
    answer = bucket.client._http.put(url, data=b"abc", headers={"X-Goog-Hash": "crc32c=AAAAAA=="})
    assert answer.status_code == 400
    assert answer.json()["error"]["errors"][0]["reason"] == "invalid"
    assert bucket.get_blob("x") is None


def test_rewrite_conditions_and_metadata(bucket: Bucket) -> None:
    source = bucket.blob("a")
    source.metadata = {"k": "v"}
    source.upload_from_string("data", content_type="text/csv")
    target = bucket.blob("b")
    token, rewritten, total = target.rewrite(source, if_generation_match=0)
    assert (token, rewritten, total) == (None, 4, 4)
    made = bucket.get_blob("b")
    assert (made.content_type, made.metadata, made.crc32c) == ("text/csv", {"k": "v"}, source.crc32c)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("b").rewrite(source, if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("c").rewrite(source, if_source_generation_match=source.generation + 1)
    with pytest.raises(exceptions.NotFound, match="No such object"):
        bucket.blob("c").rewrite(bucket.blob("nothing"))
    with pytest.raises(exceptions.NotFound):
        bucket.blob("c").rewrite(bucket.blob("a", generation=1))
    assert bucket.get_blob("c") is None


def test_compose(bucket: Bucket) -> None:
    for name in "ab":
        bucket.blob(name).upload_from_string(name * 3)
    first = bucket.get_blob("a")
    made = bucket.blob("ab")
    made.compose([first, bucket.blob("b")], if_generation_match=0)
    assert made.download_as_bytes() == b"aaabbb"
    again = bucket.get_blob("ab")
    assert (again.component_count, again.md5_hash) == (2, None)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("ab").compose([first], if_generation_match=0)
    with pytest.raises(exceptions.NotFound):
        bucket.blob("cd").compose([first, bucket.blob("nothing")])
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("cd").compose([first], if_source_generation_match=[first.generation + 1])


@pytest.mark.parametrize("body", [{}, {"sourceObjects": [{}]}], ids=["no sources", "no name"])
def test_compose_needs_sources_with_names(site: Site, bucket: Bucket, body: dict[str, object]) -> None:
    url = f"{site.url}/storage/v1/b/{bucket.name}/o/ab/compose"
    answer = requests.post(url, json=body, headers=signed(site.iam), timeout=PATIENCE)
    assert answer.status_code == 400


def test_fourth_change_in_a_second_is_too_many(bucket: Bucket) -> None:
    for number in range(3):
        bucket.blob("x").upload_from_string(str(number), retry=None)
    with pytest.raises(exceptions.TooManyRequests, match="exceeded the rate limit") as caught:
        bucket.blob("x").upload_from_string("4", retry=None)
    assert caught.value.response.json()["error"]["errors"][0]["reason"] == "rateLimitExceeded"
    bucket.blob("y").upload_from_string("other objects are free", retry=None)


def test_client_gets_over_the_rate_limit_by_itself(bucket: Bucket) -> None:
    for number in range(4):
        bucket.blob("x").upload_from_string(str(number))
    assert bucket.blob("x").download_as_bytes() == b"3"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param("bytes=2-4", (206, "bytes 2-4/10", b"234"), id="within"),
        pytest.param("bytes=7-", (206, "bytes 7-9/10", b"789"), id="to the end"),
        pytest.param("bytes=-3", (206, "bytes 7-9/10", b"789"), id="from the end"),
        pytest.param("bytes=8-99", (206, "bytes 8-9/10", b"89"), id="beyond the end"),
        pytest.param("bytes=0-1,4-5", (200, None, b"0123456789"), id="several"),
        pytest.param("lines=1-2", (200, None, b"0123456789"), id="another unit"),
        pytest.param("bytes=10-", (416, "bytes */10", None), id="after the end"),
    ],
)
def test_ranges(
    site: Site, bucket: Bucket, asked: str, expected: tuple[int, str | None, bytes | None]
) -> None:
    bucket.blob("x").upload_from_string(b"0123456789")
    url = f"{site.url}/storage/v1/b/{bucket.name}/o/x?alt=media"
    answer = bucket.client._http.get(url, headers={"Range": asked})
    content = answer.content if answer.ok else None
    assert (answer.status_code, answer.headers.get("Content-Range"), content) == expected
    if not answer.ok:
        assert answer.json()["error"]["errors"][0]["reason"] == "requestedRangeNotSatisfiable"


def test_empty_object_in_chunks(bucket: Bucket) -> None:
    bucket.blob("x").upload_from_string(b"")
    assert bucket.blob("x", chunk_size=256 << 10).download_as_bytes() == b""


def test_download_goes_on_when_its_object_is_replaced(site: Site, bucket: Bucket) -> None:
    data = b"a" * (4 * MIB)
    bucket.blob("x").upload_from_string(data)
    url = f"{site.url}/storage/v1/b/{bucket.name}/o/x?alt=media"
    answer = bucket.client._http.get(url, stream=True)
    got = answer.raw.read(1000)
    bucket.blob("x").upload_from_string("new")
    bucket.blob("x").delete()
    assert got + answer.raw.read() == data


def test_gzip_is_unpacked_for_callers_that_do_not_accept_it(site: Site, bucket: Bucket) -> None:
    blob = bucket.blob("x")
    blob.content_encoding = "gzip"
    packed = gzip.compress(b"text " * 1000)
    blob.upload_from_string(packed, content_type="text/plain")
    assert bucket.blob("x").download_as_bytes() == b"text " * 1000
    assert bucket.blob("x").download_as_bytes(raw_download=True) == packed
    http = bucket.client._http
    url = f"{site.url}/storage/v1/b/{bucket.name}/o/x?alt=media"
    plain = http.get(url, headers={"Accept-Encoding": "identity"})
    assert plain.content == b"text " * 1000
    assert "Content-Encoding" not in plain.headers


def test_download_headers(site: Site, bucket: Bucket) -> None:
    blob = bucket.blob("ü")
    blob.metadata = {"who": "Jörg"}
    blob.upload_from_string(b"data", content_type="application/json")
    answer = bucket.client._http.get(f"{site.url}/download/storage/v1/b/{bucket.name}/o/%C3%BC?alt=media")
    assert answer.content == b"data"
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Goog-Generation"] == str(blob.generation)
    assert answer.headers["X-Goog-Hash"] == f"crc32c={blob.crc32c},md5={blob.md5_hash}"


def test_times_are_those_of_the_movable_clock(site: Site, bucket: Bucket) -> None:
    before = site.clock.now()
    bucket.blob("x").upload_from_string("1")
    site.clock.advance(3600)
    bucket.blob("y").upload_from_string("1")
    first, second = bucket.get_blob("x").time_created, bucket.get_blob("y").time_created
    assert first.timestamp() == pytest.approx(before, abs=5)
    assert (second - first).total_seconds() == pytest.approx(3600, abs=5)


def test_links_lead_back_here(site: Site, bucket: Bucket) -> None:
    blob = bucket.blob("a/b c")
    blob.upload_from_string("1")
    assert blob.media_link.startswith(site.url)
    assert bucket.client._http.get(blob.self_link).json()["name"] == "a/b c"
    assert bucket.client._http.get(blob.media_link).content == b"1"


def test_batch_is_refused_plainly(bucket: Bucket) -> None:
    with pytest.raises(exceptions.MethodNotImplemented, match="no batch requests"), bucket.client.batch():
        bucket.blob("x").delete()


def test_etags_are_conditions_of_reading(bucket: Bucket) -> None:
    blob = bucket.blob("page")
    blob.upload_from_string("first")
    first = blob.etag
    assert blob.download_as_bytes(if_etag_match=first) == b"first"
    with pytest.raises(exceptions.NotModified):
        blob.download_as_bytes(if_etag_not_match=[first])
    bucket.blob("page").upload_from_string("second")
    again = bucket.blob("page")
    with pytest.raises(exceptions.PreconditionFailed):
        again.reload(if_etag_match=[first, "other"])
    again.reload(if_etag_not_match=first)
    assert again.etag != first


def test_an_etag_is_a_condition_of_a_deletion(bucket: Bucket, site: Site) -> None:
    blob = bucket.blob("page")
    blob.upload_from_string("first")
    url, headers = f"{site.server.url}/storage/v1/b/{bucket.name}/o/page", {"If-Match": '"other"'}
    refused = bucket.client._http.delete(url, headers=headers)
    assert (refused.status_code, refused.json()["error"]["errors"][0]["reason"]) == (412, "conditionNotMet")
    assert bucket.client._http.delete(url, headers={"If-Match": f'"{blob.etag}"'}).status_code == 204
