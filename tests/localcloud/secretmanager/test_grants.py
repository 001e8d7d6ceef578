"""Who may do what with a secret: nobody but the owner, until a policy is set with Google's own client."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions

from localcloud.errors import ApiError
from localcloud.iam import ROLES, email
from localcloud.service import Caller
from tests.localcloud.secretmanager.conftest import AUTOMATIC, NUMBERED, PROJECT, World

SECRET = f"{PROJECT}/secrets/s"
ACCESSOR = "roles/secretmanager.secretAccessor"
VM = f"serviceAccount:{email('vm')}"
BUILDER = f"serviceAccount:{email('builder')}"


@pytest.fixture(autouse=True)
def _secret(world: World) -> None:
    world.secret()
    world.version(b"for whom")


def denial(call: Any) -> str:
    """Return the words of a call that must be a 403."""
    with pytest.raises(exceptions.Forbidden) as caught:
        call()
    error = caught.value.response.json()["error"]
    assert (error["code"], error["status"]) == (403, "PERMISSION_DENIED")
    words: str = error["message"]
    return words


@pytest.mark.parametrize("account", ["builder", "vm", "deployer"])
@pytest.mark.parametrize("project", [PROJECT, NUMBERED])
def test_nobody_reads_a_secret_without_a_grant(world: World, account: str, project: str) -> None:
    name = f"{project}/secrets/s/versions/latest"
    words = denial(lambda: world.client(account).access_secret_version(name=name))
    assert words == (
        f"Permission 'secretmanager.versions.access' denied for resource '{name}' (or it may not exist)."
    )


def test_a_secret_that_is_not_there_is_denied_like_one_that_is(world: World) -> None:
    name = f"{PROJECT}/secrets/nothing/versions/1"
    words = denial(lambda: world.client("vm").access_secret_version(name=name))
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
        pytest.param(
            "update_secret", {"secret": {"name": SECRET}, "update_mask": {"paths": ["labels"]}}, "secrets.update", SECRET,
            id="update_secret",
        ),
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
    world: World, method: str, request_: Any, permission: str, resource: str
) -> None:
    world.grant(ACCESSOR, BUILDER)
    words = denial(lambda: getattr(world.client("builder"), method)(request=request_))
    assert words == (
        f"Permission 'secretmanager.{permission}' denied for resource '{resource}' (or it may not exist)."
    )


def test_an_accessor_reads_this_secret_and_no_other(world: World) -> None:
    world.secret("other")
    world.version(secret_id="other")
    world.grant(ACCESSOR, VM)
    for name in (f"{SECRET}/versions/latest", f"{NUMBERED}/secrets/s/versions/1"):
        assert world.client("vm").access_secret_version(name=name).payload.data == b"for whom"
    denial(lambda: world.client("vm").access_secret_version(name=f"{PROJECT}/secrets/other/versions/1"))
    denial(lambda: world.client("vm").get_secret_version(name=f"{SECRET}/versions/1"))
    denial(lambda: world.client("builder").access_secret_version(name=f"{SECRET}/versions/1"))


def test_a_build_reads_as_its_account(world: World) -> None:
    version = f"{SECRET}/versions/latest"
    with pytest.raises(ApiError) as caught:
        world.service.access_secret(email("builder"), version)
    assert caught.value.status == 403
    world.grant(ACCESSOR, BUILDER)
    assert world.service.access_secret(email("builder"), version) == b"for whom"


@pytest.mark.parametrize(
    "name",
    ["", "x", "projects/local-project", "secrets/s/versions/1", f"{PROJECT}/secrets/s"],
    ids=["empty", "word", "project", "no project", "no version"],
)
def test_a_build_s_name_of_a_version_may_be_none(world: World, name: str) -> None:
    world.grant(ACCESSOR, BUILDER)
    with pytest.raises(ApiError) as caught:
        world.service.access_secret(email("builder"), name)
    assert caught.value.status in {400, 404}


def test_a_grant_ends_when_it_is_taken_back(world: World) -> None:
    world.grant(ACCESSOR, VM)
    world.client("vm").access_secret_version(name=f"{SECRET}/versions/1")
    world.client().set_iam_policy(request={"resource": SECRET, "policy": {}})
    denial(lambda: world.client("vm").access_secret_version(name=f"{SECRET}/versions/1"))


@pytest.mark.parametrize("member", ["allUsers", "allAuthenticatedUsers"])
def test_everyone_includes_each_account(world: World, member: str) -> None:
    world.grant(ACCESSOR, member)
    world.client("trigger").access_secret_version(name=f"{SECRET}/versions/1")


def test_people_and_groups_are_taken_and_mean_no_account_here(world: World) -> None:
    world.grant(ACCESSOR, f"user:{email('vm')}", "group:all@example.com", "domain:example.com")
    denial(lambda: world.client("vm").access_secret_version(name=f"{SECRET}/versions/1"))


def test_a_policy_is_read_changed_and_written(world: World) -> None:
    client = world.client()
    before = client.get_iam_policy(request={"resource": SECRET})
    assert list(before.bindings) == []
    before.bindings.add(role=ACCESSOR, members=[VM, BUILDER, VM])
    written = client.set_iam_policy(request={"resource": SECRET, "policy": before})
    assert [(binding.role, list(binding.members)) for binding in written.bindings] == [
        (ACCESSOR, [BUILDER, VM])
    ]
    assert written.etag != before.etag
    assert client.get_iam_policy(request={"resource": f"{NUMBERED}/secrets/s"}) == written


def test_of_two_who_change_a_policy_the_second_is_told(world: World) -> None:
    client = world.client()
    first, second = (client.get_iam_policy(request={"resource": SECRET}) for _ in range(2))
    client.set_iam_policy(request={"resource": SECRET, "policy": first})
    second.bindings.add(role=ACCESSOR, members=[VM])
    with pytest.raises(exceptions.Conflict) as caught:
        client.set_iam_policy(request={"resource": SECRET, "policy": second})
    error = caught.value.response.json()["error"]
    assert error["status"] == "ABORTED"
    assert error["message"].startswith("There were concurrent policy changes.")
    denial(lambda: world.client("vm").access_secret_version(name=f"{SECRET}/versions/1"))


@pytest.mark.parametrize(
    ("binding", "status", "words"),
    [
        pytest.param(
            {"role": ACCESSOR, "members": ["vm"]}, 400, "The member vm is of an unknown type",
            id="name as a member",
        ),
        pytest.param(
            {"role": ACCESSOR, "members": [email("vm")]}, 400, "is of an unknown type",
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
            {"role": "roles/owner", "members": [VM]}, 501, "does not have the role 'roles/owner'",
            id="basic role",
        ),
        pytest.param(
            {"role": ACCESSOR, "members": [VM], "condition": {"expression": "true"}}, 501, "does not evaluate conditions",
            id="condition",
        ),
    ],
)  # fmt: skip
def test_a_binding_that_is_refused(world: World, binding: Any, status: int, words: str) -> None:
    with pytest.raises(exceptions.GoogleAPICallError) as caught:
        world.client().set_iam_policy(request={"resource": SECRET, "policy": {"bindings": [binding]}})
    assert caught.value.code == status
    assert words in caught.value.message
    assert list(world.client().get_iam_policy(request={"resource": SECRET}).bindings) == []


def test_policy_versions(world: World) -> None:
    for number, good in ((0, True), (1, True), (2, False), (3, True)):
        asked = {"resource": SECRET, "options": {"requested_policy_version": number}}
        given = {"resource": SECRET, "policy": {"version": number}}
        for call, request in ((world.client().get_iam_policy, asked), (world.client().set_iam_policy, given)):
            if good:
                call(request=request)
                continue
            with pytest.raises(exceptions.BadRequest, match="Invalid policy version 2"):
                call(request=request)


def test_permissions_are_tested(world: World) -> None:
    world.grant(ACCESSOR, VM)
    wanted = ["secretmanager.versions.access", "secretmanager.secrets.get"]

    def held(account: str | None, secret: str) -> list[str]:
        asked = {"resource": f"{PROJECT}/secrets/{secret}", "permissions": wanted}
        return list(world.client(account).test_iam_permissions(request=asked).permissions)

    assert held("vm", "s") == wanted[:1]
    assert held("builder", "s") == []
    assert held(None, "s") == wanted
    assert held(None, "nothing") == []
    for bad in ("secretmanager.*", "compute.instances.get"):
        with pytest.raises(exceptions.BadRequest, match="is not valid for this resource"):
            world.client().test_iam_permissions(request={"resource": SECRET, "permissions": [bad]})


@pytest.mark.parametrize(
    ("role", "can", "cannot"),
    [
        ("roles/secretmanager.viewer", "secretmanager.versions.get", "secretmanager.versions.access"),
        ("roles/secretmanager.secretVersionAdder", "secretmanager.versions.add", "secretmanager.versions.get"),
        ("roles/secretmanager.secretVersionManager", "secretmanager.versions.destroy", "secretmanager.versions.access"),
        ("roles/secretmanager.admin", "secretmanager.secrets.setIamPolicy", "compute.instances.get"),
    ],
)  # fmt: skip
def test_google_s_other_roles(world: World, role: str, can: str, cannot: str) -> None:
    world.grant(role, VM)
    caller = Caller(email("vm"))
    assert world.iam.allowed(caller, can, f"{SECRET}/versions/1")
    assert not world.iam.allowed(caller, cannot, f"{SECRET}/versions/1")
    assert all(permission.startswith("secretmanager.") for permission in ROLES[role])


def test_a_token_needs_the_scope_of_the_whole_cloud(world: World) -> None:
    world.grant(ACCESSOR, VM)
    narrow = Caller(email("vm"), ("https://www.googleapis.com/auth/devstorage.read_write",))
    with pytest.raises(ApiError, match="insufficient authentication scopes"):
        world.iam.require(narrow, "secretmanager.versions.access", f"{SECRET}/versions/1")


def test_a_policy_counts_for_what_is_in_its_resource_only(world: World) -> None:
    caller = Caller(email("vm"))
    world.iam.bind(f"{PROJECT}/secrets/a", {"bindings": [{"role": ACCESSOR, "members": [VM]}]})
    for resource, allowed in (("a/versions/1", True), ("a", True), ("ab/versions/1", False), ("b", False)):
        name = f"{PROJECT}/secrets/{resource}"
        assert world.iam.allowed(caller, "secretmanager.versions.access", name) is allowed
    world.iam.unbind(f"{NUMBERED}/secrets/a")
    assert not world.iam.allowed(caller, "secretmanager.versions.access", f"{PROJECT}/secrets/a")
