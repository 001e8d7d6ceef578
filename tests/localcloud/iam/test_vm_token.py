"""What a notebook reaches with its VM's own token: nothing but its own attempt."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from google.cloud import compute_v1
from google.cloud.storage import Client
from google.oauth2.credentials import Credentials

from localcloud.cloud import Cloud
from localcloud.core.iam import PROJECT, email
from localcloud.profile import FIRST_BUCKET
from tests.patience import PATIENCE

ZONE = "us-central1-a"
MINE = "notebooks/staging/run-1/job/attempt-1-0123456789abcdef"
THEIRS = "notebooks/staging/run-1/other/attempt-1-fedcba9876543210"
# Asks the metadata server for the VM's token, then makes each call; prints one line of JSON.
SCRIPT = r"""#!/bin/bash
python3 - <<'END'
import json, os, urllib.error, urllib.request
host = os.environ["GCE_METADATA_HOST"]
url = f"http://{host}/computeMetadata/v1/instance/service-accounts/default/token"
asked = urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})
token = json.load(urllib.request.urlopen(asked))["access_token"]
found = {}
for name, (method, address, body) in json.loads('''CALLS''').items():
    headers = {"Authorization": "Bearer " + token, "Content-Type": "application/octet-stream"}
    data = body.encode() if body is not None else None
    request = urllib.request.Request("URL" + address, data, headers, method=method)
    try:
        found[name] = urllib.request.urlopen(request).status
    except urllib.error.HTTPError as error:
        found[name] = error.code
print("FOUND", json.dumps(found))
END
"""


def write(name: str) -> tuple[str, str, str | None]:
    escaped = name.replace("/", "%2F")
    return "POST", f"/upload/storage/v1/b/{FIRST_BUCKET}/o?uploadType=media&name={escaped}", "forged"


def read(name: str) -> tuple[str, str, str | None]:
    return "GET", f"/storage/v1/b/{FIRST_BUCKET}/o/{name.replace('/', '%2F')}?alt=media", None


INSTANCES = f"/compute/v1/projects/{PROJECT}/zones/{ZONE}/instances"
CALLS = {
    "write its own evidence": (write(f"{MINE}/evidence.json"), 200),
    "read its own input": (read(f"{MINE}/input.json"), 200),
    "write results": (write("notebooks/results/run-1/job/result.json"), 403),
    "write versions": (write("notebooks/versions/2026-11-28/job/result.json"), 403),
    "write a proof": (write("notebooks/proofs/p.json"), 403),
    "write live.json": (write("notebooks/live/f/live.json"), 403),
    "write a kit": (write("notebooks/kits/k.tar.gz"), 403),
    "write below another prefix": (write("other/staging/x"), 403),
    "write beside staging": (write("notebooks/staging-2/x"), 403),
    "read results": (read("notebooks/results/run-1/job/result.json"), 403),
    "list the bucket": (("GET", f"/storage/v1/b/{FIRST_BUCKET}/o", None), 403),
    "list staging": (("GET", f"/storage/v1/b/{FIRST_BUCKET}/o?prefix=notebooks%2Fstaging%2F", None), 403),
    "guess another attempt": (read("notebooks/staging/run-1/other/attempt-1-0000000000000000/evidence.json"), 403),
    "look at VMs": (("GET", INSTANCES, None), 403),
    "look at another VM": (("GET", f"{INSTANCES}/nb-other", None), 403),
    "delete a VM": (("DELETE", f"{INSTANCES}/nb-other", None), 403),
    "read the bucket's policy": (("GET", f"/storage/v1/b/{FIRST_BUCKET}/iam", None), 403),
    "read the project's policy": (("POST", f"/v3/projects/{PROJECT}:getIamPolicy", "{}"), 403),
    "start a build": (("POST", f"/v1/projects/{PROJECT}/builds", "{}"), 403),
    "act as the builder": (
        ("POST", f"/v1/projects/{PROJECT}/serviceAccounts/{email('notebook-builder')}:setIamPolicy", "{}"),
        403,
    ),
}  # fmt: skip


@pytest.fixture(name="found", scope="module")
def _found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """Boot a VM as a run does, and return the status of each call of its startup script."""
    with Cloud(tmp_path_factory.mktemp("cloud")) as cloud, contextlib.ExitStack() as stack:
        owner = Credentials(token=cloud.iam.owner_token)
        options = {"api_endpoint": cloud.url}
        client = stack.enter_context(Client(project=PROJECT, credentials=owner, client_options=options))
        bucket = client.bucket(FIRST_BUCKET)
        for name in (
            f"{MINE}/input.json",
            f"{THEIRS}/evidence.json",
            "notebooks/results/run-1/job/result.json",
        ):
            bucket.blob(name).upload_from_string("theirs")
        yield statuses(cloud, stack)
        changed = [blob.name for blob in bucket.list_blobs() if blob.download_as_bytes() == b"forged"]
        assert changed == [f"{MINE}/evidence.json"]


def statuses(cloud: Cloud, stack: contextlib.ExitStack) -> dict[str, int]:
    builder = Credentials(token=cloud.iam.token(email("notebook-builder"))[0])
    options = {"api_endpoint": cloud.url}
    client = stack.enter_context(compute_v1.InstancesClient(credentials=builder, client_options=options))
    calls = json.dumps({name: call for name, (call, _) in CALLS.items()})
    client.insert_unary(project=PROJECT, zone=ZONE, instance_resource=instance(SCRIPT, cloud.url, calls))
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        time.sleep(0.2)
        try:
            text = client.get_serial_port_output(project=PROJECT, zone=ZONE, instance="nb-attacker").contents
        except Exception:  # noqa: BLE001  the instance is not running yet
            continue
        for line in text.splitlines():
            if "FOUND {" in line:
                return dict(json.loads(line.partition("FOUND ")[2]))
    raise AssertionError(text)


def instance(script: str, url: str, calls: str) -> Any:
    image = "projects/deeplearning-platform-release/global/images/family/common-cu129-ubuntu-2404-nvidia-580"
    scope = "https://www.googleapis.com/auth/cloud-platform"
    return compute_v1.Instance(
        name="nb-attacker",
        machine_type=f"zones/{ZONE}/machineTypes/e2-standard-4",
        disks=[
            compute_v1.AttachedDisk(
                boot=True,
                auto_delete=True,
                initialize_params=compute_v1.AttachedDiskInitializeParams(source_image=image),
            )
        ],
        network_interfaces=[compute_v1.NetworkInterface(network="global/networks/default")],
        metadata=compute_v1.Metadata(
            items=[
                compute_v1.Items(
                    key="startup-script", value=script.replace("CALLS", calls).replace("URL", url)
                )
            ]
        ),
        service_accounts=[compute_v1.ServiceAccount(email=email("notebook-vm"), scopes=[scope])],
    )


@pytest.mark.parametrize("call", CALLS)
def test_a_notebook_reaches_its_own_attempt_only(found: dict[str, int], call: str) -> None:
    assert found[call] == CALLS[call][1]
