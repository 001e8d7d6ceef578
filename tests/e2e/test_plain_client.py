"""A notebook that uses Google's client of Cloud Storage as its documentation shows: without any address."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.cloud import storage

from tests.e2e.builder_process import BUCKET, VM_ACCOUNT, Builder, Repo, notebook

_PACKAGES = Path(storage.__file__).parents[3]
_CELL = f"""
import os, pathlib, sys
sys.path.append({str(_PACKAGES)!r})
from google.api_core.exceptions import Forbidden
from google.cloud import storage

client = storage.Client()
print("asks", client._connection.API_BASE_URL)
try:
    list(client.list_blobs({BUCKET!r}))
except Forbidden as error:
    print("refused:", error.message)
print("home", pathlib.Path.home())
print("credentials", os.environ["CLOUDSDK_CONFIG"])  # the folder where Google's libraries look for credentials
"""


@pytest.mark.exhaustive
def test_a_plain_client_asks_localcloud_and_home_is_the_vm_s(builder: Builder, repo: Repo) -> None:
    repo.write({"demo.ipynb": notebook(_CELL)})
    done = builder.run(NB_NOTEBOOKS="demo.ipynb", NB_ZONES="us-central1-a")
    assert done.code == 0, done.output
    said = dict(
        line.partition("| ")[2].split(" ", 1) for line in done.output.splitlines() if line.count("| ") == 1
    )
    assert said["asks"].startswith("http://127.0.0.1:")
    assert f"{VM_ACCOUNT} does not have storage.objects.list access" in said["refused:"]
    vms = builder.cloud.state / "vms"
    assert Path(said["home"]) != Path.home()
    assert not Path(said["home"]).is_relative_to(Path.home()) or Path(said["home"]).is_relative_to(vms)
    assert Path(said["credentials"]).is_relative_to(vms)
