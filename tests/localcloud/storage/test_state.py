"""Tests that the state directory survives restarts and kills, and accepts files that are added by hand."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import urllib3
from google.api_core import exceptions

from tests.localcloud.storage.conftest import Site

if TYPE_CHECKING:
    from google.cloud.storage import Bucket, Client


LARGE = 48 << 20
MAX_BYTES = 200 << 20


def _picture(bucket: Bucket) -> list[tuple[object, ...]]:
    return [
        (
            b.name,
            b.generation,
            b.metageneration,
            b.crc32c,
            b.metadata,
            b.content_type,
            b.time_created,
            b.download_as_bytes(),
        )
        for b in bucket.list_blobs()
    ]


def _fill(client: Client) -> None:
    bucket = client.create_bucket("kept")
    for name in ("x", "x/y", "plain.txt", "folder/"):
        blob = bucket.blob(name)
        blob.metadata = {"name": name}
        blob.upload_from_string(name * 2, content_type="text/plain")
    bucket.labels = {"team": "a"}
    bucket.patch()


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.clock.advance(1000)
    with site.client() as client:
        _fill(client)
        before = _picture(client.bucket("kept"))
    site.close()
    site = Site(tmp_path)
    with site.client() as client:
        assert _picture(client.bucket("kept")) == before
        assert client.get_bucket("kept").metageneration == 2
        assert client.get_bucket("kept").labels == {"team": "a"}
        with pytest.raises(Exception, match="412"):
            client.bucket("kept").blob("x").upload_from_string("z", if_generation_match=0)
    site.close()
    assert site.start_seconds < 1


_CHILD = """
import sys, time
from pathlib import Path
from localcloud.core.clock import Clock
from localcloud.core.faults import FaultPlan
from localcloud.core.iam import Iam
from localcloud.services.storage import StorageService
from tests.localcloud.storage.conftest import Site
from tests.localcloud.storage.test_state import _fill
site = Site(Path(sys.argv[1]))
_fill(site.client())
print("filled", flush=True)
time.sleep(60)
"""


def test_everything_is_there_after_a_kill(tmp_path: Path) -> None:
    child = _child(_CHILD, tmp_path)
    assert child.stdout is not None
    assert child.stdout.readline() == "filled\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    site = Site(tmp_path)
    with site.client() as client:
        kept = {blob.name: blob for blob in client.bucket("kept").list_blobs()}
        assert {name: blob.metadata for name, blob in kept.items()} == {
            name: {"name": name} for name in ("x", "x/y", "plain.txt", "folder/")
        }
        assert client.get_bucket("kept").metageneration == 2
    site.close()


_KILLED = """
import os, signal, sys
from pathlib import Path
from localcloud.core.clock import Clock
from localcloud.services.storage.state_index import Index
from localcloud.services.storage.state import Store
name, action, step = sys.argv[2:]
store = Store(Path(sys.argv[1]), Clock())
content = store.scratch / "content"
content.write_text("new")
owner, _, method = step.partition(".")
setattr({"Path": Path, "Index": Index}[owner], method, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
fields = {"size": "3", "crc32c": "10P8Lg==", "contentType": "text/csv", "metadata": {"version": "new"}}
if action == "upload":
    store.put("kept", name, content, fields)
else:
    store.remove(store.current("kept", name))
"""


@pytest.mark.parametrize("name", ["x", "folder/"], ids=["file of its name", "file of another name"])
@pytest.mark.parametrize(
    ("action", "step", "left"),
    [
        pytest.param("upload", "Index.add", "old", id="before the row"),
        pytest.param("upload", "Path.replace", "old", id="between the row and the file"),
        pytest.param("upload", "Index.drop_older", "new", id="after the file"),
        pytest.param("delete", "Path.unlink", "old", id="before the deletion"),
        pytest.param("delete", "Index.drop", None, id="after the deletion of the file"),
    ],
)
def test_a_kill_in_the_middle_leaves_one_whole_version(
    tmp_path: Path, name: str, action: str, step: str, left: str | None
) -> None:
    site = Site(tmp_path)
    with site.client() as client:
        blob = client.create_bucket("kept").blob(name)
        blob.metadata = {"version": "old"}
        blob.upload_from_string("old", content_type="text/plain")
    site.close()
    child = _child(_KILLED, tmp_path, name, action, step)
    assert child.wait() == -signal.SIGKILL
    assert child.stdout is not None
    child.stdout.close()
    site = Site(tmp_path)
    with site.client() as client:
        bucket = client.bucket("kept")
        found = bucket.get_blob(name)
        assert [each.generation for each in bucket.list_blobs()] == ([found.generation] if left else [])
        if left is None:
            assert found is None
        else:
            kind = {"old": "text/plain", "new": "text/csv"}[left]
            assert (found.download_as_text(), found.metadata, found.content_type) == (
                left,
                {"version": left},
                kind,
            )
            assert (found.generation == blob.generation) == (left == "old")
            bucket.blob(name).upload_from_string("again", if_generation_match=found.generation)
            bucket.blob(name).delete()
            assert list(bucket.list_blobs()) == []
    site.close()


def _child(program: str, *arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3], text=True)


def test_lost_index_loses_no_bytes(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.client() as client:
        client.create_bucket("kept").blob("a/b.csv").upload_from_string("data", content_type="text/csv")
    site.close()
    for file in tmp_path.glob("storage.sqlite3*"):
        file.unlink()
    site = Site(tmp_path)
    with site.client() as client:
        blob = client.bucket("kept").get_blob("a/b.csv")
        assert (blob.content_type, blob.metageneration, blob.download_as_bytes()) == ("text/csv", 1, b"data")
    site.close()


def test_file_changed_by_hand_is_a_new_version(site: Site, bucket: Bucket) -> None:
    blob = bucket.blob("a/x.csv")
    blob.upload_from_string("before")
    site.file(bucket.name, "a/x.csv").write_text("after!")
    (found,) = bucket.list_blobs()
    assert found.generation > blob.generation
    assert found.download_as_bytes(checksum="crc32c") == b"after!"
    assert bucket.get_blob("a/x.csv").generation == found.generation
    with pytest.raises(exceptions.PreconditionFailed):
        blob.upload_from_string("lost", if_generation_match=blob.generation)


def test_file_removed_by_hand_is_gone(site: Site, bucket: Bucket) -> None:
    bucket.blob("x").upload_from_string("1")
    site.file(bucket.name, "x").unlink()
    assert list(bucket.list_blobs()) == []
    assert bucket.get_blob("x") is None
    bucket.blob("x").upload_from_string("2", if_generation_match=0)


def test_files_put_there_by_hand_are_objects(site: Site, bucket: Bucket) -> None:
    bucket.blob("known").upload_from_string("1")
    file = site.file(bucket.name, "by hand/data.csv")
    file.parent.mkdir()
    file.write_text("a,b\n")
    assert [blob.name for blob in bucket.list_blobs()] == ["by hand/data.csv", "known"]
    found = bucket.get_blob("by hand/data.csv")
    assert (found.content_type, found.download_as_text()) == ("text/csv", "a,b\n")
    site.file(bucket.name, "alone.txt").write_text("x")
    assert bucket.blob("alone.txt").download_as_text() == "x"


def test_links_put_there_by_hand_are_not(site: Site, bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    site.file(bucket.name, "link").symlink_to(tmp_path / "secret")
    site.file(bucket.name, "folder").symlink_to(tmp_path)
    assert [bucket.get_blob(name) for name in ("link", "folder/secret", "folder")] == [None, None, None]
    assert list(bucket.list_blobs()) == []
    assert list(bucket.list_blobs(prefix="folder/")) == []
    for name in ("link", "folder/secret", "folder/new"):
        bucket.blob(name).upload_from_string("written")
        assert bucket.blob(name).download_as_text() == "written"
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
    assert (tmp_path / "secret").read_text() == "secret"


def test_bucket_with_a_stranger_in_its_folder_is_not_removed(site: Site, bucket: Bucket) -> None:
    link = site.file(bucket.name, "link")
    link.symlink_to("/etc/passwd")
    with pytest.raises(exceptions.Conflict, match="not empty"):
        bucket.delete()
    assert link.is_symlink()
    link.unlink()
    bucket.delete()


def test_folders_put_there_by_hand_are_buckets(tmp_path: Path) -> None:
    (tmp_path / "storage" / "made-by-hand").mkdir(parents=True)
    (tmp_path / "storage" / "made-by-hand" / "a.txt").write_text("hello")
    site = Site(tmp_path)
    with site.client() as client:
        assert client.bucket("made-by-hand").blob("a.txt").download_as_text() == "hello"
    site.close()


def test_nothing_is_left_in_the_scratch_folder(site: Site, bucket: Bucket) -> None:
    scratch = site.state / "storage-scratch"
    before = set(scratch.iterdir())
    bucket.blob("x").upload_from_string(b"x" * (9 << 20))
    bucket.blob("y").rewrite(bucket.blob("x"))
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("x").upload_from_string("1", if_generation_match=0)
    with pytest.raises(exceptions.NotFound):
        bucket.blob("z").compose([bucket.blob("x"), bucket.blob("nothing")])
    assert set(scratch.iterdir()) == before


_SERVER = """
import sys
from pathlib import Path
from tests.localcloud.storage.conftest import Site
site = Site(Path(sys.argv[1]))
site.service.create_bucket("large")
print(site.url, site.iam.owner_token, flush=True)
sys.stdin.read()
"""


def test_large_objects_take_little_memory(tmp_path: Path) -> None:
    """200 MiB by a resumable upload, and 48 MiB by the other ways.

    Copied, joined and downloaded, while memory grows by less than 24 MiB.
    """
    command = [sys.executable, "-c", _SERVER, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3], text=True
    ) as server:
        assert server.stdout is not None
        url, token = server.stdout.readline().split()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        with urllib3.PoolManager(retries=False, headers=headers) as http:
            bucket, up = f"{url}/storage/v1/b/large/o", f"{url}/upload/storage/v1/b/large/o"
            http.request("POST", f"{up}?uploadType=media&name=small", body=b"1")
            before = _peak_memory(server.pid)
            for kind in ("media", "multipart", "resumable"):
                _send_large(http, up, kind)
            sources = json.dumps({"sourceObjects": [{"name": "media"}, {"name": "multipart"}]})
            http.request("POST", f"{bucket}/media/rewriteTo/b/large/o/copy")
            joined = http.request("POST", f"{bucket}/joined/compose", body=sources)
            assert joined.json()["size"] == str(2 * LARGE)
            with http.request("GET", f"{bucket}/joined?alt=media", preload_content=False) as answer:
                assert sum(len(piece) for piece in answer.stream(1 << 20)) == 2 * LARGE
            assert _peak_memory(server.pid) - before < 24 << 20


def _send_large(http: urllib3.PoolManager, up: str, kind: str) -> None:
    size = MAX_BYTES if kind == "resumable" else LARGE
    pieces = [bytes(1 << 20)] * (size >> 20)
    address, headers = f"{up}?uploadType={kind}&name={kind}", {**http.headers, "Content-Type": "text/plain"}
    if kind == "multipart":
        pieces = [b"--B\r\n\r\n{}\r\n--B\r\n\r\n", *pieces, b"\r\n--B--"]
        headers["Content-Type"] = "multipart/related; boundary=B"
    if kind == "resumable":
        address = http.request("POST", address).headers["Location"]
    headers["Content-Length"] = str(sum(map(len, pieces)))
    answer = http.request("PUT" if kind == "resumable" else "POST", address, body=pieces, headers=headers)
    assert answer.json()["size"] == str(size)


def _peak_memory(pid: int) -> int:
    """Return the most memory that a process has had, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) << 10
