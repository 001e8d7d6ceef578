"""Tokens, and what each account may do and may not."""

import pytest

from localcloud.errors import ApiError
from localcloud.iam import EVERYONE, GRANTS, ROLES, SCHEDULER_AGENT, Iam, email
from localcloud.service import OWNER, Caller

ZONE = "projects/local-project/zones/us-central1-a"
OBJECTS = "projects/_/buckets/b/objects"
REGION = "projects/local-project/locations/us-central1"
ACCOUNTS = "projects/local-project/serviceAccounts"
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
        ("deployer", "pubsub.topics.create", "projects/local-project/topics/t", True),
        ("deployer", "pubsub.topics.publish", "projects/local-project/topics/t", False),
        ("deployer", "cloudscheduler.jobs.update", f"{REGION}/jobs/j", True),
        ("deployer", "cloudfunctions.functions.sourceCodeSet", REGION, True),
        ("deployer", "cloudfunctions.functions.update", f"{REGION}/functions/f", True),
        ("deployer", "cloudfunctions.functions.invoke", f"{REGION}/functions/f", False),
        ("deployer", "cloudfunctions.operations.get", f"{REGION}/operations/o", True),
        ("deployer", "run.services.setIamPolicy", f"{REGION}/services/f", True),
        ("deployer", "run.services.update", f"{REGION}/services/f", False),
        ("deployer", "cloudbuild.builds.list", "projects/local-project", True),
        ("deployer", "cloudbuild.builds.create", "projects/local-project", False),
        ("deployer", "artifactregistry.tags.get", f"{REGION}/repositories/r/packages/p/tags/t", True),
        ("deployer", "artifactregistry.tags.get", "projects/other/locations/us/repositories/r", False),
        ("deployer", "artifactregistry.tags.update", f"{REGION}/repositories/r", False),
        ("builder", "artifactregistry.repositories.downloadArtifacts", f"{REGION}/repositories/r", True),
        ("builder", "cloudfunctions.functions.create", f"{REGION}/functions/f", False),
        ("builder", "cloudscheduler.jobs.get", f"{REGION}/jobs/j", False),
        ("function", "cloudbuild.builds.create", "projects/local-project", True),
        ("function", "storage.objects.get", f"{OBJECTS}/ci/live/f/live.json", True),
        ("function", "storage.objects.get", f"{OBJECTS}/live/f/live.json", True),
        ("function", "storage.objects.get", f"{OBJECTS}/ci/results/live", False),
        ("function", "storage.objects.get", f"{OBJECTS}/ci/alive/f/live.json", False),
        ("function", "storage.objects.create", f"{OBJECTS}/ci/live/f/live.json", False),
        ("function", "storage.objects.list", "projects/_/buckets/b", False),
        ("function-build", "artifactregistry.repositories.uploadArtifacts", f"{REGION}/repositories/r", True),
        ("function-build", "storage.objects.get", f"{OBJECTS}/x", True),
        ("function-build", "logging.logEntries.create", "projects/local-project", True),
        ("function-build", "cloudfunctions.functions.update", f"{REGION}/functions/f", False),
        ("trigger", "run.routes.invoke", f"{REGION}/services/f", False),
        ("trigger", "storage.objects.get", f"{OBJECTS}/ci/live/f/live.json", False),
    ],
)  # fmt: skip
def test_accounts_may_do_what_their_roles_say(
    iam: Iam, account: str, permission: str, resource: str, *, allowed: bool
) -> None:
    assert iam.allowed(Caller(email(account)), permission, resource) is allowed


@pytest.mark.parametrize(
    ("account", "others"),
    [
        ("builder", ["vm"]),
        ("deployer", ["vm", "function", "function-build", "trigger"]),
        ("function", ["builder"]),
        ("vm", []),
        ("function-build", []),
        ("trigger", []),
    ],
)
def test_whom_each_account_may_act_as(iam: Iam, account: str, others: list[str]) -> None:
    caller = Caller(email(account))
    found = [
        at for at in iam.accounts() if iam.allowed(caller, "iam.serviceAccounts.actAs", f"{ACCOUNTS}/{at}")
    ]
    assert sorted(found) == sorted(map(email, others))


def test_the_deployer_has_all_that_the_builder_has() -> None:
    held = {
        name: {(each.role, each.on) for each in GRANTS if each.account == name}
        for name in ("builder", "deployer")
    }
    assert held["builder"] < held["deployer"]


def test_a_binding_on_a_service_lets_the_trigger_invoke_it_and_no_other(iam: Iam) -> None:
    member = f"serviceAccount:{email('trigger')}"
    iam.bind(f"{REGION}/services/f", {"bindings": [{"role": "roles/run.invoker", "members": [member]}]})
    trigger = Caller(email("trigger"))
    assert iam.allowed(trigger, "run.routes.invoke", f"{REGION}/services/f")
    assert not iam.allowed(trigger, "run.routes.invoke", f"{REGION}/services/g")


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
        (
            "artifactregistry.tags.get",
            f"{REGION}/repositories/r",
            (
                "Permission 'artifactregistry.tags.get' denied on resource "
                f"'//artifactregistry.googleapis.com/{REGION}/repositories/r' (or it may not exist)."
            ),
        ),
        (
            "cloudfunctions.functions.create",
            f"{REGION}/functions/f",
            (
                "Permission 'cloudfunctions.functions.create' denied on resource "
                f"'{REGION}/functions/f' (or resource may not exist)."
            ),
        ),
        (
            "run.services.get",
            f"{REGION}/services/f",
            f"Permission 'run.services.get' denied on resource '{REGION}/services/f' (or resource may not exist).",
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


@pytest.mark.parametrize(
    ("scope", "permission", "enough"),
    [
        ("cloud-platform.read-only", "artifactregistry.tags.get", True),
        ("cloud-platform.read-only", "artifactregistry.tags.update", False),
        ("cloud-platform.read-only", "cloudfunctions.functions.get", False),
        ("run.readonly", "run.services.getIamPolicy", True),
        ("run.readonly", "run.services.setIamPolicy", False),
        ("run", "run.services.setIamPolicy", True),
    ],
)
def test_scopes_of_the_services_that_deploy_calls(
    iam: Iam, scope: str, permission: str, *, enough: bool
) -> None:
    caller = Caller(email("deployer"), (f"https://www.googleapis.com/auth/{scope}",))
    with pytest.raises(ApiError) as caught:
        iam.require(caller, permission, "projects/other")
    assert ("insufficient authentication scopes" not in caught.value.message) is enough


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
