"""Tokens, and what each account may do and may not."""

import pytest

from localcloud.errors import ApiError
from localcloud.iam import EVERYONE, GRANTS, ROLES, SCHEDULER_AGENT, Iam, email
from localcloud.service import OWNER, Caller

ZONE = "projects/local-project/zones/us-central1-a"
OBJECTS = "projects/_/buckets/b/objects"
DENIED = "Permission 'storage.objects.create' denied on resource (or it may not exist)."


@pytest.fixture
def iam() -> Iam:
    return Iam()


def test_no_authorization_is_the_owner_who_may_do_everything(iam: Iam) -> None:
    assert iam.caller(None) == OWNER
    iam.require(OWNER, "compute.instances.create", f"{ZONE}/instances/x")


def test_a_token_stands_for_its_account(iam: Iam) -> None:
    token, expires_in = iam.token(email("vm"), ["https://www.googleapis.com/auth/cloud-platform"])
    assert iam.caller(f"Bearer {token}").email == email("vm")
    assert 3590 <= expires_in <= 3600


def test_a_token_still_good_is_handed_out_again(iam: Iam) -> None:
    first = iam.token(email("vm"))[0]
    assert iam.token(email("vm"))[0] == first
    assert iam.token(email("builder"))[0] != first


@pytest.mark.parametrize("header", ["Bearer nonsense", "Basic abc", "Bearer", ""])
def test_any_other_authorization_is_a_401(iam: Iam, header: str) -> None:
    with pytest.raises(ApiError) as caught:
        iam.caller(header)
    assert caught.value.status == 401


@pytest.mark.parametrize(
    ("account", "permission", "resource", "allowed"),
    [
        ("builder", "compute.instances.create", f"{ZONE}/instances/x", True),
        ("builder", "compute.projects.get", "projects/local-project", True),
        ("builder", "compute.instances.setIamPolicy", f"{ZONE}/instances/x", False),
        ("builder", "compute.instances.create", "projects/other/zones/z/instances/x", False),
        ("builder", "compute.images.getFromFamily", "projects/deeplearning-platform-release/global/images/family/f", True),
        ("builder", "storage.objects.create", f"{OBJECTS}/ci/results/x", True),
        ("builder", "storage.buckets.get", "projects/_/buckets/b", True),
        ("builder", "storage.buckets.create", "projects/_/buckets/b", False),
        ("builder", "iam.serviceAccounts.actAs", f"projects/local-project/serviceAccounts/{email('vm')}", True),
        ("builder", "iam.serviceAccounts.actAs", f"projects/local-project/serviceAccounts/{email('deployer')}", False),
        ("vm", "compute.instances.get", f"{ZONE}/instances/x", False),
        ("vm", "storage.objects.get", f"{OBJECTS}/ci/kits/k.tar.gz", True),
        ("vm", "storage.objects.create", f"{OBJECTS}/ci/kits/k.tar.gz", False),
        ("vm", "storage.objects.create", f"{OBJECTS}/ci/staging/r/j/x", True),
        ("vm", "storage.objects.create", f"{OBJECTS}/staging/x", True),
        ("vm", "storage.objects.create", f"{OBJECTS}/ci/results/staging", False),
        ("vm", "storage.objects.create", f"{OBJECTS}/ci/mystaging/x", False),
        ("vm", "storage.objects.list", "projects/_/buckets/b", False),
        ("vm", "storage.objects.get", f"{OBJECTS}/ci/results/r/x", False),
    ],
)  # fmt: skip
def test_accounts_may_do_what_their_roles_say(
    iam: Iam, account: str, permission: str, resource: str, *, allowed: bool
) -> None:
    assert iam.allowed(Caller(email(account)), permission, resource) is allowed


@pytest.mark.parametrize(
    ("permission", "resource", "words"),
    [
        (
            "compute.instances.create",
            f"{ZONE}/instances/x",
            f"Required 'compute.instances.create' permission for '{ZONE}/instances/x'",
        ),
        (
            "storage.objects.create",
            f"{OBJECTS}/x",
            f"{email('vm')} does not have storage.objects.create access to the Google Cloud Storage object. {DENIED}",
        ),
    ],
)
def test_a_missing_permission_is_a_403_in_googles_words(
    iam: Iam, permission: str, resource: str, words: str
) -> None:
    with pytest.raises(ApiError) as caught:
        iam.require(Caller(email("vm")), permission, resource)
    assert (caught.value.status, caught.value.message) == (403, words)


def test_a_token_of_narrow_scopes_reads_only(iam: Iam) -> None:
    caller = Caller(email("builder"), ("https://www.googleapis.com/auth/devstorage.read_only",))
    iam.require(caller, "storage.objects.get", f"{OBJECTS}/x")
    for permission in ("storage.objects.create", "compute.instances.get"):
        with pytest.raises(ApiError, match="insufficient authentication scopes"):
            iam.require(caller, permission, f"{OBJECTS}/x")


def test_a_token_without_scopes_is_good_for_nothing(iam: Iam) -> None:
    token, _ = iam.token(email("builder"), ())
    caller = iam.caller(f"Bearer {token}")
    for permission in ("storage.objects.get", "compute.instances.get", "iam.serviceAccounts.actAs"):
        with pytest.raises(ApiError, match="insufficient authentication scopes"):
            iam.require(caller, permission, f"{OBJECTS}/x")


def test_every_grant_names_a_role_and_an_account_that_exist(iam: Iam) -> None:
    for grant in GRANTS:
        assert grant.role in ROLES
        assert grant.account in {EVERYONE, SCHEDULER_AGENT} or email(grant.account) in iam.accounts()
