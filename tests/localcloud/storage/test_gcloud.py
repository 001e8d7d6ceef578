"""gcloud's own commands on objects: what they show, and the bytes that come back."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

    from tests.localcloud.storage.conftest import Site

pytestmark = pytest.mark.needs("gcloud")

MIB = 1 << 20
Run = Callable[..., str]


@pytest.fixture
def gcloud(site: Site, tmp_path: Path) -> Run:
    """Run `gcloud storage` on the site and return what it prints."""
    token = tmp_path / "token"
    token.write_text(site.iam.owner_token)
    variables = {
        "CLOUDSDK_CONFIG": str(tmp_path / "gcloud"),
        "CLOUDSDK_CORE_PROJECT": "local-project",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token),
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{site.url}/storage/v1/",
        "CLOUDSDK_STORAGE_PARALLEL_COMPOSITE_UPLOAD_ENABLED": "true",
        "CLOUDSDK_STORAGE_PARALLEL_COMPOSITE_UPLOAD_THRESHOLD": "8M",
        "CLOUDSDK_STORAGE_PARALLEL_COMPOSITE_UPLOAD_COMPONENT_SIZE": "4M",
        "CLOUDSDK_STORAGE_RESUMABLE_THRESHOLD": "1M",
        "CLOUDSDK_STORAGE_SLICED_OBJECT_DOWNLOAD_THRESHOLD": "8M",
    }

    def run(*arguments: str) -> str:
        done = subprocess.run(
            ["gcloud", "storage", *arguments],
            env={**os.environ, **variables},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run


def test_folder_goes_there_and_back(gcloud: Run, bucket: Bucket, tmp_path: Path) -> None:
    folder, home = tmp_path / "folder", f"gs://{bucket.name}"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("hello\n")
    (folder / "deep/b.txt").write_text("deep")
    gcloud("cp", "-r", "folder", home)
    assert gcloud("ls", f"{home}/folder/").split() == [f"{home}/folder/a.txt", f"{home}/folder/deep/"]
    assert gcloud("cat", f"{home}/folder/a.txt") == "hello\n"
    gcloud("mv", f"{home}/folder/a.txt", f"{home}/moved.txt")
    gcloud("rm", "-r", f"{home}/folder")
    assert [blob.name for blob in bucket.list_blobs()] == ["moved.txt"]
    gcloud("cp", f"{home}/moved.txt", "back.txt")
    assert (tmp_path / "back.txt").read_text() == "hello\n"


def test_large_file_in_parts(gcloud: Run, bucket: Bucket, tmp_path: Path) -> None:
    data = os.urandom(MIB) * 20
    (tmp_path / "large").write_bytes(data)
    gcloud("cp", "large", f"gs://{bucket.name}/large")
    (blob,) = bucket.list_blobs()
    assert (blob.component_count > 1, blob.size) == (True, len(data))
    gcloud("cp", f"gs://{bucket.name}/large", "back")
    assert (tmp_path / "back").read_bytes() == data
