"""What the state directory keeps: over restarts, over kills, and when somebody puts files into it by hand."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.localcloud.storage.conftest import Site

if TYPE_CHECKING:
    from google.cloud.storage import Bucket, Client


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
    blob.metadata = {"name": None, "patched": "yes"}
    blob.patch()
    bucket.labels = {"team": "a"}
    bucket.patch()


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    site = Site.start(tmp_path)
    site.clock.advance(1000)
    with site.client() as client:
        _fill(client)
        before = _picture(client.bucket("kept"))
    site.close()
    site = Site.start(tmp_path)
    with site.client() as client:
        assert _picture(client.bucket("kept")) == before
        assert client.bucket("kept").get_blob("folder/").metageneration == 2
        assert client.get_bucket("kept").labels == {"team": "a"}
        with pytest.raises(Exception, match="412"):
            client.bucket("kept").blob("x").upload_from_string("z", if_generation_match=0)
    site.close()
    assert site.start_seconds < 1


_CHILD = """
import sys, time
from pathlib import Path
from localcloud.clock import Clock
from localcloud.faults import FaultPlan
from localcloud.iam import Iam
from localcloud.storage import StorageService
from tests.localcloud.storage.conftest import Site
from tests.localcloud.storage.test_state import _fill
site = Site.start(Path(sys.argv[1]))
_fill(site.client())
print(site.service._store._backend.pid, flush=True)
time.sleep(60)
"""


def test_everything_is_there_after_a_kill(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(tmp_path)], stdout=subprocess.PIPE, cwd=root, text=True
    )
    assert child.stdout is not None
    backend = int(child.stdout.readline())
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    site = Site.start(tmp_path)
    with site.client() as client:
        kept = {blob.name: blob for blob in client.bucket("kept").list_blobs()}
        assert {name: blob.metadata for name, blob in kept.items()} == {
            "x": {"name": "x"},
            "x/y": {"name": "x/y"},
            "plain.txt": {"name": "plain.txt"},
            "folder/": {"patched": "yes"},
        }
        assert kept["folder/"].metageneration == 2
    site.close()
    assert not Path(f"/proc/{backend}").exists()


def test_lost_index_loses_no_bytes(tmp_path: Path) -> None:
    site = Site.start(tmp_path)
    with site.client() as client:
        client.create_bucket("kept").blob("a/b").upload_from_string("data", content_type="text/csv")
    site.close()
    for file in tmp_path.glob("storage.sqlite3*"):
        file.unlink()
    site = Site.start(tmp_path)
    with site.client() as client:
        blob = client.bucket("kept").get_blob("a/b")
        assert (blob.content_type, blob.metageneration, blob.download_as_bytes()) == ("text/csv", 1, b"data")
    site.close()


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


def test_links_put_there_by_hand_are_not(site: Site, bucket: Bucket) -> None:
    site.file(bucket.name, "link").symlink_to("/etc/passwd")
    assert bucket.get_blob("link") is None


def test_folders_put_there_by_hand_are_buckets(tmp_path: Path) -> None:
    (tmp_path / "storage" / "made-by-hand").mkdir(parents=True)
    (tmp_path / "storage" / "made-by-hand" / "a.txt").write_text("hello")
    site = Site.start(tmp_path)
    with site.client() as client:
        assert client.bucket("made-by-hand").blob("a.txt").download_as_text() == "hello"
    site.close()


def test_nothing_is_left_in_the_scratch_folder(site: Site, bucket: Bucket) -> None:
    bucket.blob("x").upload_from_string(b"x" * (9 << 20))
    assert list((site.state / "storage-scratch").iterdir()) == []
