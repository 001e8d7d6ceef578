"""Names that Google refuses, names that no file can have, and names that collide in the file system."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from localcloud.core.errors import ApiError
from localcloud.services.storage import pace
from localcloud.services.storage.rules import check_bucket_name, check_object_name
from tests.owner import signed

if TYPE_CHECKING:
    import urllib3
    from google.cloud.storage import Bucket

    from tests.localcloud.storage.conftest import Site

JSON = {"Content-Type": "application/json"}
REFUSED = {
    "two dots": "..",
    "one dot": ".",
    "line feed": "a\nb",
    "carriage return": "a\rb",
    "reserved by Google": ".well-known/acme-challenge/x",
    "1025 bytes": "x" * 1025,
}
NO_FILE = {
    "two dots first": "../x",
    "two dots twice": "../../x",
    "two dots within": "a/../b",
    "two dots at the end": "a/..",
    "more dots than folders": "a/../../../x",
    "one dot within": "a/./b",
    "leading slash": "/x",
    "absolute path": "/tmp/localcloud-escaped",
    "two leading slashes": "//x",
    "two slashes within": "a//b",
    "three slashes at the end": "a///",
    "slash alone": "/",
    "folder": "a/",
    "two dots and a null byte": "..\0",
    "null byte": "a\0b",
    "256 bytes in a row": "x" * 256,
    "256 bytes in a row, not ASCII": "x/" + "é" * 128,
    "reserved folder": ".localcloud",
    "in the reserved folder": ".localcloud/x",
}
HARMLESS = {
    "encoded dots and slash": "%2e%2e%2fx",
    "encoded slashes": "..%2f..%2fx",
    "encoded twice": "%252e%252e%252fx",
    "leading dots": "..x",
    "dots at the end of a folder": "x../y",
    "three dots": "...",
    "backslashes": "back\\..\\slash",
    "not ASCII": "ü ö/ñ.ipynb",
    "query and fragment": "q?a=b&c#d",
    "quotes": "a+b;c'd\"e",
    "ending of a sidecar file": "x.metadata",
    "emoji": "emoji \U0001f600",
    "tab": "tab\tname",
    "255 bytes in a row": "x" * 255,
    "five long folders": "/".join(["d" * 200] * 5),
    "tilde": "~",
    "leading dot": ".hidden",
    "command": "a:b@c!$(echo x)",
}


@pytest.mark.parametrize("name", [*REFUSED.values(), ""], ids=[*REFUSED, "empty"])
def test_refused_name(name: str) -> None:
    with pytest.raises(ApiError) as caught:
        check_object_name(name)
    assert caught.value.status == 400


@pytest.mark.parametrize("name", HARMLESS.values(), ids=HARMLESS)
def test_harmless_name_is_a_plain_file(site: Site, bucket: Bucket, name: str) -> None:
    bucket.blob(name).upload_from_string(name)
    assert bucket.blob(name).download_as_text() == name
    assert [blob.name for blob in bucket.list_blobs()] == [name]
    assert site.file(bucket.name, name).read_text() == name
    bucket.blob(name).delete()
    assert list(site.file(bucket.name, "").iterdir()) == []


def _everything(site: Site) -> set[str]:
    return {str(path) for path in site.state.parent.rglob("*") if "storage.sqlite3" not in path.name}


@pytest.mark.parametrize("name", REFUSED.values(), ids=REFUSED)
def test_refused_in_every_method(
    site: Site, http: urllib3.HTTPConnectionPool, bucket: Bucket, name: str
) -> None:
    bucket.blob("ok").upload_from_string("1")
    before = _everything(site)
    calls = [*_uploads(http, bucket, name), *_copies(http, bucket, name), *_reads(http, bucket, name)]
    assert [(call.status, call.data[:80]) for call in calls if call.status != 400] == []
    assert _everything(site) == before


@pytest.mark.parametrize("name", NO_FILE.values(), ids=NO_FILE)
def test_name_that_no_file_can_have_stays_in_the_reserved_folder(
    site: Site,
    http: urllib3.HTTPConnectionPool,
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.setattr(pace, "_BURST", 100.0)
    bucket.blob("ok").upload_from_string("1")
    before = _everything(site)
    blob = bucket.blob(name)
    blob.upload_from_string(b"0123456789", if_generation_match=0)
    (made,) = _everything(site) - before - {str(site.file(bucket.name, ".localcloud"))}
    assert made.startswith(str(site.file(bucket.name, ".localcloud/")))
    assert [found.name for found in bucket.list_blobs()] == sorted(["ok", name])
    assert [found.name for found in bucket.list_blobs(prefix=name)] == [name]
    assert blob.download_as_bytes() == b"0123456789"
    assert blob.download_as_bytes(start=2, end=3) == b"23"
    statuses = [call.status for call in (*_reads(http, bucket, name), *_copies(http, bucket, name))]
    assert statuses == [200, 200, 200, 204, 404, 200, 200, 200]
    statuses = [call.status for call in _uploads(http, bucket, name)]
    assert statuses[:2] == [200, 200]
    bucket.delete_blob("new", retry=None)
    bucket.delete_blob(name, retry=None)
    assert _everything(site) - before <= {str(path) for path in (site.state / "storage-scratch").iterdir()}


def _uploads(http: urllib3.HTTPConnectionPool, bucket: Bucket, name: str) -> list[urllib3.BaseHTTPResponse]:
    up = f"/upload/storage/v1/b/{bucket.name}/o"
    metadata = json.dumps({"name": name}).encode()
    part = b"--B\r\nContent-Type: application/json\r\n\r\n" + metadata + b"\r\n--B\r\n\r\ndata\r\n--B--"
    related = {"Content-Type": "multipart/related; boundary=B"}
    return [
        http.request("POST", f"{up}?uploadType=media&name={quote(name, safe='')}", body=b"x"),
        http.request("POST", f"{up}?uploadType=multipart", body=part, headers=related),
        http.request("POST", f"{up}?uploadType=resumable&name={quote(name, safe='')}"),
        http.request("POST", f"{up}?uploadType=resumable", body=metadata, headers=JSON),
    ]


def _copies(http: urllib3.HTTPConnectionPool, bucket: Bucket, name: str) -> list[urllib3.BaseHTTPResponse]:
    base, escaped = f"/storage/v1/b/{bucket.name}/o", quote(name, safe="")
    compose, from_it = (json.dumps({"sourceObjects": [{"name": source}]}) for source in ("ok", name))
    return [
        http.request("POST", f"{base}/{escaped}/rewriteTo/b/{bucket.name}/o/new"),
        http.request("POST", f"{base}/ok/rewriteTo/b/{bucket.name}/o/{escaped}"),
        http.request("POST", f"{base}/{escaped}/compose", body=compose, headers=JSON),
        http.request("POST", f"{base}/new/compose", body=from_it, headers=JSON),
    ]


def _reads(http: urllib3.HTTPConnectionPool, bucket: Bucket, name: str) -> list[urllib3.BaseHTTPResponse]:
    """Get, download and delete an object by address; none for "." and "..", which HTTP clients resolve."""
    address = f"/storage/v1/b/{bucket.name}/o/{quote(name, safe='')}"
    if name in {".", ".."}:
        return []
    return [
        http.request("GET", address),
        http.request("GET", f"{address}?alt=media"),
        http.request("GET", f"/download{address}?alt=media"),
        http.request("DELETE", address),
    ]


@pytest.mark.parametrize(
    "path",
    [
        "/storage/v1/b/{b}/o/../../../etc/passwd",
        "/storage/v1/b/../../o/x",
        "/storage/v1/b/..%2F..%2Fetc/o/passwd",
        "/storage/v1/b/%2e%2e/o/x",
        "/storage/v1/b/{b}%2f..%2f{b}/o/x",
        pytest.param(
            "/download/storage/v1/b/{b}/o/..%2f..%2f..%2f..%2fetc%2fpasswd?alt=media",
            id="encoded dots after download",
        ),
        pytest.param(
            "/download/storage/v1/b/{b}/o/%2Fetc%2Fpasswd?alt=media", id="encoded slash after download"
        ),
        "/storage/v1/b/{b}/o/%ff%fe",
        "/storage/v1/b/{b}/o/%C0%AE%C0%AE%2Fx",
    ],
)
def test_address_that_leads_out(site: Site, bucket: Bucket, path: str) -> None:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", site.server.port)
    connection.request("GET", path.replace("{b}", bucket.name), headers=signed(site.iam))
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status in {400, 404, 501}
    assert b"root:" not in body


@pytest.mark.parametrize(
    "name",
    ["ab", "x" * 64, "Up", "-x-", "a..b", "1.2.3.4", "my-google-x", "goog1", "a/b", "..", "", "a b", "ü" * 4],
    ids=[
        "too short",
        "too long",
        "upper case",
        "leading dash",
        "two dots",
        "IP address",
        "google in it",
        "goog at its start",
        "slash",
        "dots alone",
        "empty",
        "space",
        "not ASCII",
    ],
)
def test_bad_bucket_name(name: str) -> None:
    with pytest.raises(ApiError, match="Invalid bucket name"):
        check_bucket_name(name)


@pytest.mark.parametrize(
    "name",
    ["abc", "a_b-c", "1ab", "www.example.com", "x" * 63, f"{'a' * 60}.{'b' * 60}.{'c' * 60}"],
    ids=[
        "3 characters",
        "underscore and dash",
        "leading digit",
        "domain",
        "63 characters",
        "three parts of 60 characters",
    ],
)
def test_good_bucket_name(name: str) -> None:
    check_bucket_name(name)


@pytest.mark.parametrize(
    "order",
    [["x", "x/y"], ["x/y", "x"], ["x/y/z", "x/y", "x", "x/"], ["x/", "x", "x/y"]],
    ids=["object first", "folder first", "deepest first", "folder's own object first"],
)
def test_object_beside_a_folder_of_its_name(site: Site, bucket: Bucket, order: list[str]) -> None:
    for name in order:
        bucket.blob(name).upload_from_string(f"in {name}", if_generation_match=0)
    assert [blob.name for blob in bucket.list_blobs()] == sorted(order)
    assert [blob.name for blob in bucket.list_blobs(prefix="x/")] == sorted(
        name for name in order if name.startswith("x/")
    )
    for name in order:
        assert bucket.blob(name).download_as_text() == f"in {name}"
        assert bucket.get_blob(name).size == len(f"in {name}")
        bucket.blob("copy").rewrite(bucket.blob(name), retry=None)
        assert bucket.blob("copy").download_as_text() == f"in {name}"
        bucket.delete_blob("copy")
        bucket = bucket.client.bucket(bucket.name)
        break
    for name in order:
        bucket.blob(name).delete()
    assert list(bucket.list_blobs()) == []
    # With nothing in the way any more, each is a plain file again.
    bucket.blob("x/y").upload_from_string("plain")
    assert site.file(bucket.name, "x/y").read_text() == "plain"


def test_colliding_names_at_the_same_time(
    site: Site, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = site.service._store
    placed = store._placed

    def slowly(bucket: str, name: str) -> str:
        """Widen the gap between the choice of a file and its making."""
        file = placed(bucket, name)
        time.sleep(0.02)
        return file

    monkeypatch.setattr(store, "_placed", slowly)
    names = [f"{number}{tail}" for number in range(5) for tail in ("", "/a", "/a/b", "/", "/a/b/c")]
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda name: bucket.blob(name).upload_from_string(name, retry=None), names))
    assert [blob.name for blob in bucket.list_blobs()] == sorted(names)
    assert [bucket.blob(name).download_as_text() for name in names] == names


def test_the_reserved_folder_is_just_a_name_to_callers(bucket: Bucket) -> None:
    bucket.blob("x").upload_from_string("1")
    bucket.blob("x/y").upload_from_string("2")
    for name in (".localcloud/x", ".localcloud"):
        bucket.blob(name).upload_from_string(name)
        assert bucket.blob(name).download_as_text() == name
    listing = [blob.name for blob in bucket.list_blobs()]
    assert listing == [".localcloud", ".localcloud/x", "x", "x/y"]
    assert [blob.name for blob in bucket.list_blobs(prefix=".localcloud/")] == [".localcloud/x"]


def test_longest_segments(bucket: Bucket) -> None:
    for name in ("x" * 235, "y" * 255, "z" * 255 + "/" + "z" * 255):
        bucket.blob(name).upload_from_string(name)
        assert bucket.blob(name).download_as_text() == name
    assert len(list(bucket.list_blobs())) == 3
