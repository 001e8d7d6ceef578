"""Policies of the project, a bucket and an account; custom roles and accounts: through Google's own clients."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import Forbidden, PreconditionFailed
from google.cloud.storage import Bucket, Client
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

from localcloud.cloud import Cloud
from localcloud.core.errors import ApiError
from localcloud.core.iam import PROJECT, email
from localcloud.profile import FIRST_BUCKET, GRANTS, PROFILE

VM = f"serviceAccount:{email('notebook-vm')}"
TRIGGER = f"serviceAccount:{email('notebook-trigger')}"
PLACE = f"projects/{PROJECT}"
Json = dict[str, Any]


CLIENTS = contextlib.ExitStack()


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Close the clients of each test."""
    yield
    CLIENTS.close()


@pytest.fixture(name="cloud", scope="module")
def _cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with Cloud(tmp_path_factory.mktemp("cloud")) as running:
        yield running
        found = running.inventory()
    assert (found["schema_violations"], found["internal_errors"]) == ([], [])


def service(cloud: Cloud, name: str, version: str, account: str | None = None) -> Any:
    """Return Google's client of a service, as an account or the owner, until the end of the test."""
    token = cloud.iam.token(email(account))[0] if account else cloud.iam.owner_token
    options = {"api_endpoint": cloud.url}
    return CLIENTS.enter_context(
        build(name, version, credentials=Credentials(token=token), client_options=options)
    )


def projects(cloud: Cloud, version: str = "v3") -> Any:
    return service(cloud, "cloudresourcemanager", version).projects()


def refused(call: Callable[[], Any]) -> tuple[int, str, str]:
    """Return status, code and message of a refused call."""
    with pytest.raises(HttpError) as caught:
        call()
    content: Json = json.loads(caught.value.content)["error"]
    return content["code"], content["status"], content["message"]


def bucket(cloud: Cloud, account: str | None = None) -> Bucket:
    token = cloud.iam.token(email(account))[0] if account else cloud.iam.owner_token
    options = {"api_endpoint": cloud.url}
    client = Client(project=PROJECT, credentials=Credentials(token=token), client_options=options)
    return CLIENTS.enter_context(client).bucket(FIRST_BUCKET)


def policy(cloud: Cloud, version: int = 3) -> Json:
    body = {"options": {"requestedPolicyVersion": version}}
    found: Json = projects(cloud).getIamPolicy(resource=PLACE, body=body).execute()
    return found


def set_policy(cloud: Cloud, wanted: Json) -> Json:
    found: Json = projects(cloud).setIamPolicy(resource=PLACE, body={"policy": wanted}).execute()
    return found


def bound(cloud: Cloud, *bindings: Json, version: int = 3) -> Json:
    """Add bindings to the project's policy."""
    now = policy(cloud)
    return set_policy(cloud, {**now, "version": version, "bindings": [*now["bindings"], *bindings]})


CONDITION = {"title": "t", "expression": 'resource.type == "cloudresourcemanager.googleapis.com/Project"'}


def test_the_project_s_policy_is_that_of_its_profile(cloud: Cloud) -> None:
    found = policy(cloud)
    assert found["version"] == 3
    owners = {"role": "roles/owner", "members": ["user:owner@example.com"]}
    assert owners in found["bindings"]
    assert projects(cloud, "v1").getIamPolicy(resource=PROJECT, body={}).execute()["version"] == 1


def test_an_old_etag_is_a_409(cloud: Cloud) -> None:
    before = policy(cloud)
    assert bound(cloud, {"role": "roles/logging.logWriter", "members": [TRIGGER]})["etag"] != before["etag"]
    assert refused(lambda: set_policy(cloud, before))[:2] == (409, "ABORTED")


def test_conditions_need_version_3(cloud: Cloud) -> None:
    conditional = {"role": "roles/logging.logWriter", "members": [VM], "condition": CONDITION}
    status, _, words = refused(lambda: bound(cloud, conditional, version=1))
    assert (status, words[:32]) == (400, "Specified policy version (1) can")
    bound(cloud, conditional)
    assert refused(lambda: set_policy(cloud, {**policy(cloud), "version": 1}))[0] == 400


def test_an_old_client_sees_no_condition_and_cannot_lose_it(cloud: Cloud) -> None:
    bound(cloud, {"role": "roles/logging.logWriter", "members": [VM], "condition": CONDITION})
    old = policy(cloud, 1)
    assert all("condition" not in binding for binding in old["bindings"])
    assert any("_withcond_" in binding["role"] for binding in old["bindings"])
    assert refused(lambda: set_policy(cloud, old))[0] == 400


@pytest.mark.parametrize(
    ("binding", "status", "words"),
    [
        pytest.param({"role": "roles/logging.logWriter", "members": [f"serviceAccount:{email('nobody-here')}"]}, 400, f"Service account {email('nobody-here')} does not exist.", id="account"),
        pytest.param({"role": f"{PLACE}/roles/none", "members": [VM]}, 400, f"Role ({PLACE}/roles/none) does not exist in the resource's hierarchy.", id="custom role"),
        pytest.param({"role": "roles/editor", "members": [VM]}, 501, "does not have the role 'roles/editor'", id="role that is not here"),
        pytest.param({"role": "roles/logging.logWriter", "members": ["notebook-vm"]}, 400, "is of an unknown type", id="member"),
        pytest.param({"role": "roles/logging.logWriter", "members": [VM], "condition": {"title": "t", "expression": "nonsense("}}, 400, "syntax error", id="expression"),
        pytest.param({"role": "roles/logging.logWriter", "members": [VM], "condition": {"title": "t", "expression": "request.time"}}, 501, "do not know request.time", id="attribute"),
    ],
)  # fmt: skip
def test_a_binding_that_is_refused(cloud: Cloud, binding: Json, status: int, words: str) -> None:
    before = policy(cloud)
    found = refused(lambda: bound(cloud, binding))
    assert found[0] == status
    assert words in found[2]
    assert policy(cloud) == before


@pytest.mark.parametrize("version", [None, 1])
def test_conditions_need_version_3_without_an_etag_too(cloud: Cloud, version: int | None) -> None:
    before = policy(cloud)
    wanted = {"bindings": [*before["bindings"], *conditional(1)]}
    assert refused(lambda: set_policy(cloud, wanted | ({"version": version} if version else {})))[0] == 400
    assert policy(cloud) == before


@pytest.mark.parametrize(
    ("binding", "words"),
    [
        ({"role": "roles/owner", "members": [VM]}, "Conditions can't be set on primitive roles"),
        ({"role": "roles/logging.logWriter", "members": ["allUsers"]}, "Conditions can't be set on bindings"),
        ({"role": "roles/logging.logWriter", "members": [VM, "allAuthenticatedUsers"]}, "bindings for"),
    ],
    ids=["basic role", "everybody", "everybody known"],
)
def test_a_binding_that_can_have_no_condition(cloud: Cloud, binding: Json, words: str) -> None:
    found = refused(lambda: bound(cloud, {**binding, "condition": CONDITION}))
    assert found[0] == 400
    assert words in found[2]


def conditional(number: int, member: str = VM) -> list[Json]:
    """Return bindings of one role and member that differ in their conditions."""
    start = 'resource.name.startsWith("projects/'
    return [
        {
            "role": "roles/logging.logWriter",
            "members": [member],
            "condition": {"title": f"t{index}", "expression": f'{start}{index}")'},
        }
        for index in range(number)
    ]


def test_a_role_and_member_have_at_most_20_conditional_bindings(tmp_path: Path) -> None:
    with Cloud(tmp_path) as cloud:
        bound(cloud, *conditional(20))
        bound(cloud, *conditional(20, TRIGGER))
        bound(cloud, {"role": "roles/logging.logWriter", "members": [VM]})
        found = refused(lambda: bound(cloud, *conditional(21)))
        assert found[0] == 400
        assert f"21 conditional bindings of the role roles/logging.logWriter for {VM}" in found[2]


EVENTARC = "service-123456789012@gcp-sa-eventarc.iam.gserviceaccount.com"


@pytest.mark.parametrize(
    "address",
    [
        EVENTARC,
        "123456789012-compute@developer.gserviceaccount.com",
        "123456789012@cloudservices.gserviceaccount.com",
        f"service-typo@{PROJECT}.iam.gserviceaccount.com",
    ],
    ids=["agent", "Compute Engine's", "APIs'", "like an agent of the project's own"],
)
def test_an_account_of_google_s_that_does_not_exist_is_refused(tmp_path: Path, address: str) -> None:
    """pulumi-gcp, issue 1290: enabling Eventarc does not make its account."""
    profile = replace(PROFILE, grants=tuple(grant for grant in GRANTS if grant.account != EVENTARC))
    with Cloud(tmp_path, profile=profile) as cloud:
        wanted = {"role": "roles/eventarc.serviceAgent", "members": [f"serviceAccount:{address}"]}
        found = refused(lambda: bound(cloud, wanted))
        assert (found[0], found[2]) == (400, f"Service account {address} does not exist.")


def test_an_account_of_google_s_exists_once_it_is_made(tmp_path: Path) -> None:
    profile = replace(PROFILE, grants=tuple(grant for grant in GRANTS if grant.account != EVENTARC))
    wanted = {"role": "roles/eventarc.serviceAgent", "members": [f"serviceAccount:{EVENTARC}"]}
    with Cloud(tmp_path, profile=profile) as cloud:
        usage = service(cloud, "serviceusage", "v1beta1").services()
        made = usage.generateServiceIdentity(parent=f"{PLACE}/services/eventarc.googleapis.com").execute()
        assert made["response"]["email"] == EVENTARC
    with Cloud(tmp_path, profile=profile) as cloud:
        bound(cloud, wanted)


def test_accounts_of_other_projects_are_not_looked_up(cloud: Cloud) -> None:
    theirs = ("x@other-project.iam.gserviceaccount.com", "service-987@gcp-sa-pubsub.iam.gserviceaccount.com")
    members = [f"serviceAccount:{address}" for address in theirs]
    bound(cloud, {"role": "roles/logging.logWriter", "members": members})


def test_the_project_keeps_an_owner(cloud: Cloud) -> None:
    assert refused(lambda: set_policy(cloud, {"bindings": []}))[0] == 400


def test_a_condition_on_a_bucket_opens_one_folder(cloud: Cloud) -> None:
    mine, theirs = bucket(cloud), bucket(cloud, "notebook-trigger")
    for name in ("open/x", "closed/x"):
        mine.blob(name).upload_from_string("1")
    asked = mine.get_iam_policy(requested_policy_version=3)
    asked.version = 3
    start = f"projects/_/buckets/{FIRST_BUCKET}/objects/open/"
    condition = {"title": "open", "expression": f'resource.name.startsWith("{start}")'}
    asked.bindings.append(
        {"role": "roles/storage.objectViewer", "members": {TRIGGER}, "condition": condition}
    )
    mine.set_iam_policy(asked)
    assert theirs.blob("open/x").download_as_bytes() == b"1"
    for call in (lambda: theirs.blob("closed/x").download_as_bytes(), lambda: list(theirs.list_blobs())):
        with pytest.raises(Forbidden):
            call()
    kept = mine.get_iam_policy(requested_policy_version=3)
    assert any(binding.get("condition") == condition for binding in kept.bindings)


def test_a_condition_needs_uniform_access(cloud: Cloud) -> None:
    client: Any = bucket(cloud).client
    made = client.create_bucket("not-uniform")
    asked = made.get_iam_policy(requested_policy_version=3)
    asked.version = 3
    asked.bindings.append({"role": "roles/storage.objectViewer", "members": {VM}, "condition": CONDITION})
    with pytest.raises(PreconditionFailed, match="uniform bucket-level access"):
        made.set_iam_policy(asked)


def test_an_old_etag_of_a_bucket_s_policy_is_a_412(cloud: Cloud) -> None:
    """The words of gsutil in terraform-provider-google, issue 7853."""
    made: Any = bucket(cloud).client.create_bucket("changed-meanwhile")
    old = made.get_iam_policy()
    made.set_iam_policy(made.get_iam_policy())
    with pytest.raises(PreconditionFailed, match="pre-conditions you specified did not hold"):
        made.set_iam_policy(old)


def test_a_policy_goes_with_its_bucket(cloud: Cloud) -> None:
    client: Any = bucket(cloud).client
    made = client.create_bucket("comes-and-goes")
    asked = made.get_iam_policy()
    asked["roles/storage.objectViewer"].add(TRIGGER)
    made.set_iam_policy(asked)
    made.delete()
    assert client.create_bucket("comes-and-goes").get_iam_policy().bindings == []


def test_a_custom_role_gives_what_it_has_now(cloud: Cloud) -> None:
    roles = service(cloud, "iam", "v1").projects().roles()
    asks = {"permissions": ["pubsub.topics.get", "pubsub.topics.list"]}
    theirs = service(cloud, "cloudresourcemanager", "v3", "notebook-trigger")

    def held() -> list[str]:
        found = theirs.projects().testIamPermissions(resource=PLACE, body=asks).execute()
        return list(found.get("permissions", []))

    body = {"roleId": "looker", "role": {"title": "L", "includedPermissions": ["pubsub.topics.get"]}}
    made = roles.create(parent=PLACE, body=body).execute()
    assert refused(lambda: roles.create(parent=PLACE, body=body).execute())[:2] == (409, "ALREADY_EXISTS")
    bound(cloud, {"role": made["name"], "members": [TRIGGER]})
    assert held() == ["pubsub.topics.get"]
    change = {"includedPermissions": ["pubsub.topics.list"], "etag": made["etag"]}
    assert roles.patch(name=made["name"], body=change).execute()["title"] == "L"
    assert refused(lambda: roles.patch(name=made["name"], body=change).execute())[1] == "ABORTED"
    assert held() == ["pubsub.topics.list"]
    change = {"title": "M", "includedPermissions": ["pubsub.topics.get"]}
    snake = {"body": change, "updateMask": "included_permissions"}
    assert roles.patch(name=made["name"], **snake).execute()["title"] == "L"
    assert held() == ["pubsub.topics.get"]
    unknown = {"body": change, "updateMask": "title,foo"}
    assert refused(lambda: roles.patch(name=made["name"], **unknown).execute())[0] == 400
    change = {"includedPermissions": ["pubsub.topics.list"]}
    assert roles.patch(name=made["name"], body=change).execute()["title"] == "L"
    assert roles.delete(name=made["name"]).execute()["deleted"]
    assert held() == []
    assert refused(lambda: roles.create(parent=PLACE, body=body).execute())[1] == "FAILED_PRECONDITION"
    roles.undelete(name=made["name"], body={}).execute()
    assert held() == ["pubsub.topics.list"]
    wrong = {"roleId": "wrong", "role": {"includedPermissions": ["pubsub.topics.everything"]}}
    assert refused(lambda: roles.create(parent=PLACE, body=wrong).execute())[0] == 501
    assert refused(lambda: roles.get(name=f"{PLACE}/roles/none").execute())[0] == 404


def test_an_account_that_is_made_again_has_no_rights(cloud: Cloud) -> None:
    accounts = service(cloud, "iam", "v1").projects().serviceAccounts()
    body = {"accountId": "comes-back", "serviceAccount": {"displayName": "D"}}
    member = f"serviceAccount:{email('comes-back')}"

    def make() -> Json:
        found: Json = accounts.create(name=PLACE, body=body).execute()
        return found

    first = make()
    assert refused(make)[:2] == (409, "ALREADY_EXISTS")
    bound(cloud, {"role": "roles/logging.logWriter", "members": [member]})
    accounts.delete(name=first["name"]).execute()
    assert refused(lambda: accounts.get(name=first["name"]).execute())[0] == 404
    assert f"deleted:{member}?uid={first['uniqueId']}" in str(policy(cloud))
    again = make()
    assert (again["displayName"], again["uniqueId"] == first["uniqueId"]) == ("D", False)
    assert f"'{member}'" not in str(policy(cloud))


@pytest.mark.parametrize(
    "account_id",
    ["vm", "Upper-case", "1-number-first", "ends-with-", "a" * 31, ""],
    ids=["short", "upper case", "number first", "dash last", "long", "empty"],
)
def test_account_ids(cloud: Cloud, account_id: str) -> None:
    accounts = service(cloud, "iam", "v1").projects().serviceAccounts()
    assert refused(lambda: accounts.create(name=PLACE, body={"accountId": account_id}).execute())[0] == 400


def test_a_condition_that_cannot_be_read_is_not_kept(tmp_path: Path) -> None:
    """`grant` checks nothing. A policy that cannot be compiled would end every later start."""
    with Cloud(tmp_path) as cloud:
        with pytest.raises(ApiError):
            cloud.iam.grant_below(FIRST_BUCKET, 'x"y')
        before = policy(cloud)
    with Cloud(tmp_path) as cloud:
        assert policy(cloud) == before


def test_everything_survives_a_restart(tmp_path: Path) -> None:
    with Cloud(tmp_path) as cloud:
        bound(cloud, {"role": "roles/logging.logWriter", "members": [TRIGGER], "condition": CONDITION})
        roles = service(cloud, "iam", "v1").projects().roles()
        roles.create(parent=PLACE, body={"roleId": "kept", "role": {"title": "K"}}).execute()
        before = policy(cloud)
    with Cloud(tmp_path) as cloud:
        assert policy(cloud) == before
        roles = service(cloud, "iam", "v1").projects().roles()
        assert roles.get(name=f"{PLACE}/roles/kept").execute()["title"] == "K"
