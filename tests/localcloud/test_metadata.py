"""The metadata server, as in Google's documentation and as google-auth calls it."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests
from google.auth.compute_engine import Credentials
from google.auth.compute_engine import _metadata as google_metadata
from google.auth.transport.requests import Request as GoogleRequest

from localcloud.core.iam import Iam, email
from localcloud.core.metadata import Identity, MetadataServer
from localcloud.profile import PROFILE
from localcloud.services.registry import SPECS
from tests.patience import PATIENCE

FLAVOR = {"Metadata-Flavor": "Google"}
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
VM = Identity(
    project="local-project",
    email=email("notebook-vm"),
    scopes=(SCOPE,),
    instance={
        "name": "nb-1",
        "id": "123",
        "zone": "us-central1-a",
        "machineType": "projects/local-project/zones/us-central1-a/machineTypes/e2-standard-4",
        "hostname": "nb-1.us-central1-a.c.local-project.internal",
        "preempted": "FALSE",
    },
    attributes={"nb-job": '{"schema": 1}', "startup-script": "echo hi\n"},
)


class Rig:
    def __init__(self) -> None:
        self.identity = VM
        self.iam = Iam(PROFILE, SPECS)
        self.server = MetadataServer(lambda: self.identity, self.iam)

    def get(self, path: str, headers: dict[str, str] | None = None, **params: Any) -> requests.Response:
        url = f"http://{self.server.address}/computeMetadata/v1/{path}"
        return requests.get(
            url, headers=FLAVOR if headers is None else headers, params=params, timeout=PATIENCE
        )


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    rig.server.start()
    yield rig
    rig.server.close()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("instance/name", "nb-1"),
        ("instance/id", "123"),
        pytest.param("instance/zone", "projects/123456789012/zones/us-central1-a", id="zone"),
        pytest.param(
            "instance/machine-type", "projects/123456789012/machineTypes/e2-standard-4", id="machine type"
        ),
        pytest.param("instance/hostname", "nb-1.us-central1-a.c.local-project.internal", id="hostname"),
        ("instance/preempted", "FALSE"),
        ("instance/attributes/nb-job", '{"schema": 1}'),
        pytest.param("instance/attributes/", "nb-job\nstartup-script\n", id="attributes"),
        pytest.param("instance/service-accounts/default/email", email("notebook-vm"), id="e-mail"),
        pytest.param("instance/service-accounts/default/scopes", f"{SCOPE}\n", id="scopes"),
        ("project/project-id", "local-project"),
        ("project/numeric-project-id", "123456789012"),
        ("universe/universe-domain", "googleapis.com"),
        pytest.param("", "instance/\nproject/\nuniverse/\n", id="root"),
    ],
)
def test_an_entry_is_plain_text(rig: Rig, path: str, text: str) -> None:
    answer = rig.get(path)
    assert (answer.status_code, answer.text) == (200, text)
    assert answer.headers["Metadata-Flavor"] == "Google"


@pytest.mark.parametrize("path", ["instance/attributes/none", "instance/name/deeper", "nothing"])
def test_an_unknown_entry_is_a_404(rig: Rig, path: str) -> None:
    assert rig.get(path).status_code == 404


def test_a_request_without_the_flavor_header_is_refused(rig: Rig) -> None:
    for headers in ({}, FLAVOR | {"X-Forwarded-For": "1.2.3.4"}):
        answer = rig.get("instance/name", headers=headers)
        assert answer.status_code == 403
        assert "nb-1" not in answer.text


def test_recursion_gives_json_with_camel_case_names_but_the_users_own_keys(rig: Rig) -> None:
    instance = rig.get("instance/", recursive="true").json()
    assert instance["machineType"].endswith("e2-standard-4")
    assert instance["id"] == 123
    assert instance["attributes"]["startup-script"] == "echo hi\n"
    assert instance["serviceAccounts"]["default"]["email"] == email("notebook-vm")


def test_the_token_is_the_accounts(rig: Rig) -> None:
    token = rig.get("instance/service-accounts/default/token").json()
    assert token["token_type"] == "Bearer"
    assert 3590 <= token["expires_in"] <= 3600
    assert rig.iam.caller(f"Bearer {token['access_token']}").email == email("notebook-vm")


def test_an_attribute_named_token_is_the_user_s_own(rig: Rig) -> None:
    rig.identity = replace(VM, attributes={"token": "abc", "email": email("notebook-deployer")})
    assert rig.get("instance/attributes/token").text == "abc"
    assert rig.get("instance/attributes/email/token").status_code == 404


def test_without_an_account_there_is_no_token(rig: Rig) -> None:
    rig.identity = replace(VM, email=None)
    assert rig.get("instance/service-accounts/default/token").status_code == 404
    assert rig.get("instance/service-accounts/").text == ""


def test_a_process_that_is_no_vm_has_no_name(rig: Rig) -> None:
    rig.identity = replace(VM, instance=None, attributes={})
    assert rig.get("instance/name").status_code == 404
    assert rig.get("project/project-id").text == "local-project"


def test_waiting_for_a_change_ends_when_it_comes(rig: Rig) -> None:
    assert VM.instance is not None
    preempted = replace(VM, instance={**VM.instance, "preempted": "TRUE"})
    timer = threading.Timer(0.2, lambda: setattr(rig, "identity", preempted))
    timer.start()
    assert rig.get("instance/preempted", wait_for_change="true").text == "TRUE"
    timer.join()


def test_waiting_ends_after_timeout_sec_or_at_once_for_an_older_etag(rig: Rig) -> None:
    first = rig.get("instance/preempted", wait_for_change="true", timeout_sec=0.1)
    assert first.text == "FALSE"
    again = rig.get("instance/preempted", wait_for_change="true", last_etag="0")
    assert again.headers["ETag"] == first.headers["ETag"]


def test_closing_lets_nobody_wait(rig: Rig) -> None:
    ended = threading.Event()

    def wait() -> None:
        try:
            rig.get("instance/preempted", wait_for_change="true")
        except requests.ConnectionError:
            pass
        finally:
            ended.set()

    threading.Thread(target=wait, daemon=True).start()
    rig.server.close()
    assert ended.wait(PATIENCE)


def test_google_auth_finds_it_and_reads_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCE_METADATA_IP", rig.server.address)
    monkeypatch.setattr(google_metadata, "_GCE_METADATA_HOST", rig.server.address)
    request = GoogleRequest()
    assert google_metadata.ping(request)
    assert google_metadata.get_project_id(request) == "local-project"
    info = google_metadata.get_service_account_info(request)
    assert info["aliases"] == ["default"]


def test_google_auth_is_given_no_reason_to_ask_google(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """For an account's address it would look up a regional access boundary at iamcredentials.googleapis.com."""
    monkeypatch.setattr(google_metadata, "_GCE_METADATA_HOST", rig.server.address)
    credentials = Credentials()
    for _ in ("the first time", "and when the token has run out"):
        credentials.refresh(GoogleRequest())
    assert rig.iam.caller(f"Bearer {credentials.token}").email == email("notebook-vm")
    assert not credentials._is_regional_access_boundary_lookup_required()


@pytest.mark.parametrize("name", ["169.254.169.254", "metadata.google.internal"])
def test_programs_of_a_vm_call_it_by_its_names(rig: Rig, name: str) -> None:
    assert rig.get("instance/name", {**FLAVOR, "Host": name}).text == "nb-1"
    assert rig.get("instance/name", {**FLAVOR, "Host": "example.com"}).status_code == 403
