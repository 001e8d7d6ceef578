"""Requests as other clients may send them, and answers against Google's discovery document."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest
from google.api_core.exceptions import GoogleAPICallError

from localcloud.core.discovery import load
from localcloud.core.errors import ApiError
from localcloud.services.storage.pace import Pace

if TYPE_CHECKING:
    import urllib3
    from google.cloud.storage import Bucket

    from tests.localcloud.storage.conftest import Site

JSON = {"Content-Type": "application/json"}


def test_answers_fit_the_discovery_document(http: urllib3.HTTPConnectionPool, bucket: Bucket) -> None:
    schemas = {
        f"/storage/v1/b/{bucket.name}": "storage.buckets.get",
        "/storage/v1/b?project=local-project": "storage.buckets.list",
        f"/storage/v1/b/{bucket.name}/o": "storage.objects.list",
        f"/storage/v1/b/{bucket.name}/o/x": "storage.objects.get",
    }
    blob = bucket.blob("x")
    blob.metadata = {"a": "b"}
    blob.upload_from_string("1")
    for path, method in schemas.items():
        answer = http.request("GET", path)
        assert answer.status == 200
        found = load("storage.v1").match("GET", path.partition("?")[0])
        assert found is not None
        assert found.method.id == method
        assert found.method.response_problems(answer.json()) == []


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(("GET", "/o?nonsense=1", None, "nonsense"), id="unknown parameter"),
        pytest.param(("GET", "/o?maxResults=x", None, "maxResults"), id="size that is no number"),
        pytest.param(("PATCH", "", {"nonsense": 1}, "nonsense"), id="unknown field"),
        pytest.param(
            ("POST", "/o/x/rewriteTo/b/other/o/y", {"metadata": {"a": 1}}, "metadata"),
            id="metadata that is no text",
        ),
        pytest.param(
            ("DELETE", "/o/x?ifGenerationMatch=one", None, "ifGenerationMatch"),
            id="generation that is no number",
        ),
        pytest.param(
            ("POST", "/o/y/compose", {"sourceObjects": []}, "source components"), id="compose of nothing"
        ),
        pytest.param(("POST", "/o/y/compose", {"nonsense": []}, "nonsense"), id="unknown field of compose"),
        pytest.param(("GET", "/o/x?fields=a(", None, "field selection"), id="unclosed selection"),
    ],
)
def test_bad_request(
    http: urllib3.HTTPConnectionPool, bucket: Bucket, bad: tuple[str, str, object, str]
) -> None:
    verb, path, body, words = bad
    bucket.blob("x").upload_from_string("1")
    content = None if body is None else json.dumps(body)
    answer = http.request(verb, f"/storage/v1/b/{bucket.name}{path}", body=content, headers=JSON)
    assert answer.status == 400
    assert words in answer.json()["error"]["message"]
    assert answer.json()["error"]["errors"][0]["domain"] == "global"


def test_null_means_not_set(http: urllib3.HTTPConnectionPool, bucket: Bucket) -> None:
    upload, base = f"/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable", "/storage/v1/b"
    access = {"iamConfiguration": {"uniformBucketLevelAccess": None}}
    for verb, path, body in (
        ("PUT", f"{base}/{bucket.name}/iam", {"bindings": None}),
        ("POST", f"{base}?project=local-project", {"name": f"{bucket.name}-null", **access}),
        ("GET", f"{base}/{bucket.name}-null", None),
        ("PATCH", f"{base}/{bucket.name}", access),
        ("POST", f"{upload}&name=x", {"name": None, "metadata": None}),
    ):
        content = None if body is None else json.dumps(body)
        assert http.request(verb, path, body=content, headers=JSON).status == 200, (verb, path)
    assert http.request("POST", upload, body=json.dumps({"name": None}), headers=JSON).status == 400


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("POST", "/batch/storage/v1"),
        ("GET", "/storage/v1/b/x/acl"),
        ("GET", "/storage/v1/projects/p/serviceAccount"),
        ("POST", "/storage/v1/b/x/o/y/moveTo/o/z"),
        ("POST", "/storage/v1/b/x/o/y/copyTo/b/x/o/z"),
        ("PATCH", "/storage/v1/b/x/o/y"),
        ("PUT", "/storage/v1/b/x/o/y"),
    ],
)
def test_requests_that_are_not_covered_are_named(
    http: urllib3.HTTPConnectionPool, verb: str, path: str
) -> None:
    answer = http.request(verb, path)
    assert answer.status == 501
    assert "localcloud" in answer.json()["error"]["message"]


@pytest.mark.parametrize("parameter", ["matchGlob=*", "includeTrailingDelimiter=true", "softDeleted=true"])
def test_listings_that_are_not_here_say_so(
    http: urllib3.HTTPConnectionPool, bucket: Bucket, parameter: str
) -> None:
    answer = http.request("GET", f"/storage/v1/b/{bucket.name}/o?{parameter}")
    assert answer.status == 501
    assert parameter.partition("=")[0] in answer.json()["error"]["message"]


def test_customers_keys_are_not_accepted_and_forgotten(bucket: Bucket) -> None:
    for blob in (bucket.blob("x", encryption_key=b"k" * 32), bucket.blob("x", kms_key_name="k")):
        with pytest.raises(GoogleAPICallError, match="localcloud's storage has no") as caught:
            blob.upload_from_string("secret")
        assert caught.value.code == 501
    assert not bucket.blob("x").exists()


def test_media_upload_and_answers_without_a_body(http: urllib3.HTTPConnectionPool, bucket: Bucket) -> None:
    up, base = f"/upload/storage/v1/b/{bucket.name}/o", f"/storage/v1/b/{bucket.name}/o"
    made = http.request(
        "POST", f"{up}?uploadType=media&name=a", body=b"data", headers={"Content-Type": "text/x"}
    )
    assert (made.json()["contentType"], made.json()["size"]) == ("text/x", "4")
    generation = made.json()["generation"]
    assert http.request("GET", f"{base}/a?ifGenerationNotMatch={generation}").status == 304
    assert http.request("POST", f"{up}?uploadType=media&name=a&ifGenerationMatch=0", body=b"b").status == 412
    deleted = http.request("DELETE", f"{base}/a")
    assert (deleted.status, deleted.data) == (204, b"")


def test_a_field_outside_latin_1_comes_back_in_a_downloads_header(
    http: urllib3.HTTPConnectionPool, bucket: Bucket
) -> None:
    blob = bucket.blob("x")
    blob.content_disposition = 'attachment; filename="数据é.ipynb"'
    blob.upload_from_string("1")
    answer = http.request("GET", f"/storage/v1/b/{bucket.name}/o/x?alt=media")
    assert answer.headers["Content-Disposition"].encode("latin-1").decode() == blob.content_disposition


@pytest.mark.parametrize("field", ["contentDisposition", "contentType", "cacheControl"])
def test_a_field_that_no_header_can_carry_is_a_400(
    http: urllib3.HTTPConnectionPool, bucket: Bucket, field: str
) -> None:
    path = f"/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable&name=x"
    answer = http.request("POST", path, body=json.dumps({field: "a\r\nb: c"}), headers=JSON)
    assert answer.status == 400
    assert field in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("asked", "status", "content"),
    [
        ("bytes=-3", 206, "789"),
        ("bytes=-10", 206, "0123456789"),
        ("bytes=-1000", 206, "0123456789"),
        ("bytes=8-1000", 206, "89"),
        ("bytes=10-", 416, ""),
    ],
    ids=["suffix", "all as a suffix", "longer suffix", "longer end", "start after the end"],
)
def test_ranges(
    http: urllib3.HTTPConnectionPool, bucket: Bucket, asked: str, status: int, content: str
) -> None:
    bucket.blob("x").upload_from_string(b"0123456789")
    answer = http.request("GET", f"/storage/v1/b/{bucket.name}/o/x?alt=media", headers={"Range": asked})
    assert (answer.status, answer.data.decode() if status == 206 else "") == (status, content)


def test_wrong_hash_in_the_header(http: urllib3.HTTPConnectionPool, bucket: Bucket) -> None:
    path = f"/upload/storage/v1/b/{bucket.name}/o?uploadType=media&name=a"
    answer = http.request("POST", path, body=b"data", headers={"X-Goog-Hash": "crc32c=AAAAAA=="})
    assert answer.status == 400
    assert answer.json()["error"]["message"].startswith(
        'Provided CRC32C "AAAAAA==" doesn\'t match calculated'
    )
    assert bucket.get_blob("a") is None


@pytest.mark.parametrize("boundary", ["B", '"B"', "'B'"])
def test_multipart_content_may_look_like_a_boundary(
    http: urllib3.HTTPConnectionPool, bucket: Bucket, boundary: str
) -> None:
    content = b"\r\n--A\r\n--\r\r\n-" + b"\r\n-" * 200_000 + b"\r\n"
    body = b'--B\r\nContent-Type: application/json\r\n\r\n{"name": "a", "contentType": "text/y"}\r\n--B\r\n'
    body += b"content-type: text/x\r\n\r\n" + content + b"\r\n--B--\r\n"
    answer = http.request(
        "POST",
        f"/upload/storage/v1/b/{bucket.name}/o?uploadType=multipart",
        body=body,
        headers={"Content-Type": f"multipart/related; boundary={boundary}"},
    )
    assert answer.status == 200
    assert answer.json()["contentType"] == "text/y"
    assert bucket.blob("a").download_as_bytes() == content


@pytest.mark.parametrize("end", [b"", b"\n"], ids=["no line feed at the end", "line feed at the end"])
def test_multipart_lines_may_end_with_a_line_feed_alone(
    http: urllib3.HTTPConnectionPool, bucket: Bucket, end: bytes
) -> None:
    content = b"one\r\n--two\n\nthree\n"
    body = b'--B\nContent-Type: application/json\n\n{"name": "a"}\n--B\ncontent-type: text/x\n\n' + content
    answer = http.request(
        "POST",
        f"/upload/storage/v1/b/{bucket.name}/o?uploadType=multipart",
        body=body + b"\n--B--" + end,
        headers={"Content-Type": "multipart/related; boundary=B"},
    )
    assert answer.status == 200
    assert answer.json()["contentType"] == "text/x"
    assert bucket.blob("a").download_as_bytes() == content


def test_upload_cut_off_stores_nothing(site: Site, bucket: Bucket) -> None:
    with socket.create_connection(("127.0.0.1", site.server.port)) as connection:
        connection.sendall(
            f"POST /upload/storage/v1/b/{bucket.name}/o?uploadType=media&name=a HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{site.server.port}\r\nContent-Length: 100\r\n\r\nonly this".encode()
        )
    assert bucket.get_blob("a") is None
    bucket.blob("b").upload_from_string("still there")
    assert [blob.name for blob in bucket.list_blobs()] == ["b"]


def test_resumable_upload_step_by_step(http: urllib3.HTTPConnectionPool, bucket: Bucket) -> None:
    block = 256 << 10
    path = f"/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable&name=a"
    url = http.request("POST", path).headers["Location"]
    url = url[url.index("/upload") :]

    def put(body: bytes, span: str) -> tuple[int, str | None]:
        answer = http.request("PUT", url, body=body, headers={"Content-Range": f"bytes {span}"})
        return answer.status, answer.headers.get("Range")

    total = 2 * block + 5
    assert put(b"", "*/*") == (308, None)
    assert put(b"a" * (block + 7), f"0-{block + 6}/{total}") == (308, f"bytes=0-{block - 1}")
    assert put(b"", f"*/{total}") == (308, f"bytes=0-{block - 1}")
    assert put(b"b" * block, f"{2 * block}-{3 * block - 1}/*")[0] == 400
    assert put(b"a" * (2 * block), f"0-{2 * block - 1}/{total}") == (308, f"bytes=0-{2 * block - 1}")
    assert put(b"c" * 5, f"{2 * block}-{total - 1}/{total}") == (200, None)
    assert put(b"", f"*/{total}") == (200, None)
    assert bucket.blob("a").download_as_bytes() == b"a" * (2 * block) + b"c" * 5
    assert http.request("PUT", f"{path}&upload_id=unknown", body=b"").status == 404


def test_resumable_upload_can_be_cancelled(http: urllib3.HTTPConnectionPool, bucket: Bucket) -> None:
    path = f"/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable&name=a"
    url = http.request("POST", path).headers["Location"]
    url = url[url.index("/upload") :]
    assert http.request("DELETE", url).status == 499
    assert http.request("PUT", url, body=b"x").status == 404


def test_pace() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])

    def spend(count: int) -> None:
        for _ in range(count):
            pace.spend("b", "x")
        with pytest.raises(ApiError, match="rate limit"):
            pace.spend("b", "x")

    spend(3)
    now[0] = 1.0
    spend(1)
    now[0] = 100.0
    spend(3)
