"""Permissions on a secret: only the owner's, until a policy is set with Google's own client."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions

from localcloud.core.caller import Caller
from localcloud.core.errors import ApiError
from localcloud.core.iam import email
from tests.localcloud.secretmanager.conftest import AUTOMATIC, NUMBERED, PROJECT, CloudFixture

SECRET = f"{PROJECT}/secrets/s"
ACCESSOR = "roles/secretmanager.secretAccessor"
VM = f"serviceAccount:{email('notebook-vm')}"
BUILDER = f"serviceAccount:{email('notebook-builder')}"


@pytest.fixture(autouse=True)
def _secret(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.secret()
    cloud_fixture.version(b"for whom")


def denial(call: Any) -> str:
    """Return the message of a call that must be a 403."""
    with pytest.raises(exceptions.Forbidden) as caught:
        call()
    error = caught.value.response.json()["error"]
    assert (error["code"], error["status"]) == (403, "PERMISSION_DENIED")
    words: str = error["message"]
    return words


@pytest.mark.parametrize("account", ["notebook-builder", "notebook-vm", "notebook-deployer"])
@pytest.mark.parametrize("project", [PROJECT, NUMBERED])
def test_nobody_reads_a_secret_without_a_grant(
    cloud_fixture: CloudFixture, account: str, project: str
) -> None:
    name = f"{project}/secrets/s/versions/latest"
    words = denial(lambda: cloud_fixture.client(account).access_secret_version(name=name))
    assert words == (
        f"Permission 'secretmanager.versions.access' denied for resource '{name}' (or it may not exist)."
    )


def test_a_secret_that_is_not_there_is_denied_like_one_that_is(cloud_fixture: CloudFixture) -> None:
    name = f"{PROJECT}/secrets/nothing/versions/1"
    words = denial(lambda: cloud_fixture.client("notebook-vm").access_secret_version(name=name))
    assert name in words


@pytest.mark.parametrize(
    ("method", "request_", "permission", "resource"),
    [
        pytest.param(
            "create_secret", {"parent": PROJECT, "secret_id": "t", "secret": AUTOMATIC}, "secrets.create", PROJECT,
            id="create_secret",
        ),
        pytest.param("list_secrets", {"parent": PROJECT}, "secrets.list", PROJECT, id="list_secrets"),
        pytest.param("get_secret", {"name": SECRET}, "secrets.get", SECRET, id="get_secret"),
        pytest.param("delete_secret", {"name": SECRET}, "secrets.delete", SECRET, id="delete_secret"),
        pytest.param("get_iam_policy", {"resource": SECRET}, "secrets.getIamPolicy", SECRET, id="get_iam_policy"),
        pytest.param(
            "set_iam_policy", {"resource": SECRET, "policy": {}}, "secrets.setIamPolicy", SECRET,
            id="set_iam_policy",
        ),
        pytest.param(
            "add_secret_version", {"parent": SECRET, "payload": {"data": b"x"}}, "versions.add", SECRET,
            id="add_secret_version",
        ),
        pytest.param("list_secret_versions", {"parent": SECRET}, "versions.list", SECRET, id="list_secret_versions"),
        pytest.param(
            "get_secret_version", {"name": f"{SECRET}/versions/1"}, "versions.get", f"{SECRET}/versions/1",
            id="get_secret_version",
        ),
        pytest.param(
            "enable_secret_version", {"name": f"{SECRET}/versions/1"}, "versions.enable", f"{SECRET}/versions/1",
            id="enable_secret_version",
        ),
        pytest.param(
            "disable_secret_version", {"name": f"{SECRET}/versions/1"}, "versions.disable", f"{SECRET}/versions/1",
            id="disable_secret_version",
        ),
        pytest.param(
            "destroy_secret_version", {"name": f"{SECRET}/versions/1"}, "versions.destroy", f"{SECRET}/versions/1",
            id="destroy_secret_version",
        ),
    ],
)  # fmt: skip
def test_each_method_asks_for_its_permission(
    cloud_fixture: CloudFixture, method: str, request_: Any, permission: str, resource: str
) -> None:
    cloud_fixture.grant(ACCESSOR, BUILDER)
    words = denial(lambda: getattr(cloud_fixture.client("notebook-builder"), method)(request=request_))
    assert words == (
        f"Permission 'secretmanager.{permission}' denied for resource '{resource}' (or it may not exist)."
    )


def test_an_accessor_reads_this_secret_and_no_other(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.secret("other")
    cloud_fixture.version(secret_id="other")
    cloud_fixture.grant(ACCESSOR, VM)
    for name in (f"{SECRET}/versions/latest", f"{NUMBERED}/secrets/s/versions/1"):
        assert (
            cloud_fixture.client("notebook-vm").access_secret_version(name=name).payload.data == b"for whom"
        )
    denial(
        lambda: cloud_fixture.client("notebook-vm").access_secret_version(
            name=f"{PROJECT}/secrets/other/versions/1"
        )
    )
    denial(lambda: cloud_fixture.client("notebook-vm").get_secret_version(name=f"{SECRET}/versions/1"))
    denial(
        lambda: cloud_fixture.client("notebook-builder").access_secret_version(name=f"{SECRET}/versions/1")
    )


def test_a_build_reads_as_its_account(cloud_fixture: CloudFixture) -> None:
    version = f"{SECRET}/versions/latest"
    with pytest.raises(ApiError) as caught:
        cloud_fixture.service.access_secret(email("notebook-builder"), version)
    assert caught.value.status == 403
    cloud_fixture.grant(ACCESSOR, BUILDER)
    assert cloud_fixture.service.access_secret(email("notebook-builder"), version) == b"for whom"


@pytest.mark.parametrize(
    "name",
    ["", "x", "projects/local-project", "secrets/s/versions/1", f"{PROJECT}/secrets/s"],
    ids=["empty", "word", "project", "no project", "no version"],
)
def test_a_build_s_name_of_a_version_may_be_none(cloud_fixture: CloudFixture, name: str) -> None:
    cloud_fixture.grant(ACCESSOR, BUILDER)
    with pytest.raises(ApiError) as caught:
        cloud_fixture.service.access_secret(email("notebook-builder"), name)
    assert caught.value.status in {400, 404}


def test_a_grant_ends_when_it_is_taken_back(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.grant(ACCESSOR, VM)
    cloud_fixture.client("notebook-vm").access_secret_version(name=f"{SECRET}/versions/1")
    cloud_fixture.client().set_iam_policy(request={"resource": SECRET, "policy": {}})
    denial(lambda: cloud_fixture.client("notebook-vm").access_secret_version(name=f"{SECRET}/versions/1"))


@pytest.mark.parametrize("member", ["allUsers", "allAuthenticatedUsers"])
def test_everyone_includes_each_account(cloud_fixture: CloudFixture, member: str) -> None:
    cloud_fixture.grant(ACCESSOR, member)
    cloud_fixture.client("notebook-trigger").access_secret_version(name=f"{SECRET}/versions/1")


def test_people_and_groups_are_taken_and_mean_no_account_here(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.grant(
        ACCESSOR, f"user:{email('notebook-vm')}", "group:all@example.com", "domain:example.com"
    )
    denial(lambda: cloud_fixture.client("notebook-vm").access_secret_version(name=f"{SECRET}/versions/1"))


def test_a_policy_is_read_changed_and_written(cloud_fixture: CloudFixture) -> None:
    client = cloud_fixture.client()
    before = client.get_iam_policy(request={"resource": SECRET})
    assert list(before.bindings) == []
    before.bindings.add(role=ACCESSOR, members=[VM, BUILDER, VM])
    written = client.set_iam_policy(request={"resource": SECRET, "policy": before})
    assert [(binding.role, list(binding.members)) for binding in written.bindings] == [
        (ACCESSOR, [BUILDER, VM])
    ]
    assert written.etag != before.etag
    assert client.get_iam_policy(request={"resource": f"{NUMBERED}/secrets/s"}) == written


def test_the_second_of_two_writers_of_a_policy_is_refused(cloud_fixture: CloudFixture) -> None:
    client = cloud_fixture.client()
    first, second = (client.get_iam_policy(request={"resource": SECRET}) for _ in range(2))
    client.set_iam_policy(request={"resource": SECRET, "policy": first})
    second.bindings.add(role=ACCESSOR, members=[VM])
    with pytest.raises(exceptions.Conflict) as caught:
        client.set_iam_policy(request={"resource": SECRET, "policy": second})
    error = caught.value.response.json()["error"]
    assert error["status"] == "ABORTED"
    assert error["message"].startswith("There were concurrent policy changes.")
    denial(lambda: cloud_fixture.client("notebook-vm").access_secret_version(name=f"{SECRET}/versions/1"))


@pytest.mark.parametrize(
    ("binding", "status", "words"),
    [
        pytest.param(
            {"role": ACCESSOR, "members": ["vm"]}, 400, "The member vm is of an unknown type",
            id="name as a member",
        ),
        pytest.param(
            {"role": ACCESSOR, "members": [email("notebook-vm")]}, 400, "is of an unknown type",
            id="e-mail as a member",
        ),
        pytest.param(
            {"role": ACCESSOR, "members": [f"serviceAccount:{email('nobody')}"]}, 400, "nobody@local-project.iam.gserviceaccount.com does not exist.",
            id="account that does not exist",
        ),
        pytest.param(
            {"role": "roles/storage.objectUser", "members": [VM]}, 400, "Role roles/storage.objectUser is not supported for this resource.",
            id="role of another service",
        ),
        pytest.param(
            {"role": "roles/editor", "members": [VM]}, 501, "does not have the role 'roles/editor'",
            id="basic role",
        ),
        pytest.param(
            {"role": ACCESSOR, "members": [VM], "condition": {"title": "t", "expression": "request.time"}}, 501, "do not know request.time",
            id="condition",
        ),
    ],
)  # fmt: skip
def test_a_binding_that_is_refused(
    cloud_fixture: CloudFixture, binding: Any, status: int, words: str
) -> None:
    with pytest.raises(exceptions.GoogleAPICallError) as caught:
        cloud_fixture.client().set_iam_policy(request={"resource": SECRET, "policy": {"bindings": [binding]}})
    assert caught.value.code == status
    assert words in caught.value.message
    assert list(cloud_fixture.client().get_iam_policy(request={"resource": SECRET}).bindings) == []


def test_policy_versions(cloud_fixture: CloudFixture) -> None:
    for number, good in ((0, True), (1, True), (2, False), (3, True)):
        asked = {"resource": SECRET, "options": {"requested_policy_version": number}}
        given = {"resource": SECRET, "policy": {"version": number}}
        for call, request in (
            (cloud_fixture.client().get_iam_policy, asked),
            (cloud_fixture.client().set_iam_policy, given),
        ):
            if good:
                call(request=request)
                continue
            with pytest.raises(exceptions.BadRequest, match="Invalid policy version 2"):
                call(request=request)


def test_permissions_are_tested(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.grant(ACCESSOR, VM)
    wanted = ["secretmanager.versions.access", "secretmanager.secrets.get"]

    def held(account: str | None, secret: str) -> list[str]:
        asked = {"resource": f"{PROJECT}/secrets/{secret}", "permissions": wanted}
        return list(cloud_fixture.client(account).test_iam_permissions(request=asked).permissions)

    assert held("notebook-vm", "s") == wanted[:1]
    assert held("notebook-builder", "s") == []
    assert held(None, "s") == wanted
    assert held(None, "nothing") == []
    for bad in ("secretmanager.*", "compute.instances.get"):
        with pytest.raises(exceptions.BadRequest, match="is not valid for this resource"):
            cloud_fixture.client().test_iam_permissions(request={"resource": SECRET, "permissions": [bad]})


def test_a_policy_counts_for_its_resource_only(cloud_fixture: CloudFixture) -> None:
    caller = Caller(email("notebook-vm"))
    cloud_fixture.iam.policies.grant(f"{PROJECT}/secrets/a", ACCESSOR, VM)
    for resource, allowed in (("a/versions/1", True), ("a", True), ("ab/versions/1", False), ("b", False)):
        name = f"{PROJECT}/secrets/{resource}"
        assert cloud_fixture.iam.allowed(caller, "secretmanager.versions.access", name) is allowed
    cloud_fixture.iam.policies.remove(f"{NUMBERED}/secrets/a")
    assert not cloud_fixture.iam.allowed(caller, "secretmanager.versions.access", f"{PROJECT}/secrets/a")
