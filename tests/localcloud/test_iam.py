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


@pytest.mark.parametrize(
    "header",
    ["Bearer nonsense", "Basic abc", "Bearer", ""],
    ids=["unknown token", "basic", "no token", "empty"],
)
def test_any_other_authorization_is_a_401(iam: Iam, header: str) -> None:
    with pytest.raises(ApiError) as caught:
        iam.caller(header)
    assert caught.value.status == 401


@pytest.mark.parametrize(
    ("account", "permission", "resource", "allowed"),
    [
        pytest.param(
            "builder", "compute.instances.create", f"{ZONE}/instances/x", True,
            id="builder creates an instance",
        ),
        pytest.param("builder", "compute.projects.get", "projects/local-project", True, id="builder reads the project"),
        pytest.param(
            "builder", "compute.instances.setIamPolicy", f"{ZONE}/instances/x", False,
            id="builder shares no instance",
        ),
        pytest.param(
            "builder", "compute.instances.create", "projects/other/zones/z/instances/x", False,
            id="builder creates in no other project",
        ),
        pytest.param(
            "builder", "compute.images.getFromFamily", "projects/deeplearning-platform-release/global/images/family/f", True,
            id="builder reads image families",
        ),
        pytest.param("builder", "storage.objects.create", f"{OBJECTS}/ci/results/x", True, id="builder writes results"),
        pytest.param("builder", "storage.buckets.get", "projects/_/buckets/b", True, id="builder reads the bucket"),
        pytest.param(
            "builder", "storage.buckets.create", "projects/_/buckets/b", False,
            id="builder creates no bucket",
        ),
        pytest.param(
            "builder", "iam.serviceAccounts.actAs", f"projects/local-project/serviceAccounts/{email('vm')}", True,
            id="builder acts as the VM",
        ),
        pytest.param(
            "builder", "iam.serviceAccounts.actAs", f"projects/local-project/serviceAccounts/{email('deployer')}", False,
            id="builder does not act as the deployer",
        ),
        pytest.param("vm", "compute.instances.get", f"{ZONE}/instances/x", False, id="VM reads no instance"),
        pytest.param("vm", "storage.objects.get", f"{OBJECTS}/ci/kits/k.tar.gz", True, id="VM reads kits"),
        pytest.param("vm", "storage.objects.create", f"{OBJECTS}/ci/kits/k.tar.gz", False, id="VM writes no kits"),
        pytest.param("vm", "storage.objects.create", f"{OBJECTS}/ci/staging/r/j/x", True, id="VM writes below staging"),
        pytest.param(
            "vm", "storage.objects.create", f"{OBJECTS}/staging/x", True,
            id="VM writes below staging, no prefix",
        ),
        pytest.param(
            "vm", "storage.objects.create", f"{OBJECTS}/ci/results/staging", False,
            id="VM writes no result named staging",
        ),
        pytest.param(
            "vm", "storage.objects.create", f"{OBJECTS}/ci/mystaging/x", False,
            id="VM writes below no other staging",
        ),
        pytest.param("vm", "storage.objects.list", "projects/_/buckets/b", False, id="VM lists no objects"),
        pytest.param("vm", "storage.objects.get", f"{OBJECTS}/ci/results/r/x", False, id="VM reads no results"),
        pytest.param(
            "deployer", "pubsub.topics.create", "projects/local-project/topics/t", True,
            id="deployer creates topics",
        ),
        pytest.param(
            "deployer", "pubsub.topics.publish", "projects/local-project/topics/t", False,
            id="deployer publishes nothing",
        ),
        pytest.param("deployer", "cloudscheduler.jobs.update", f"{REGION}/jobs/j", True, id="deployer updates jobs"),
        pytest.param(
            "deployer", "cloudfunctions.functions.sourceCodeSet", REGION, True,
            id="deployer uploads source code",
        ),
        pytest.param(
            "deployer", "cloudfunctions.functions.update", f"{REGION}/functions/f", True,
            id="deployer updates functions",
        ),
        pytest.param(
            "deployer", "cloudfunctions.functions.invoke", f"{REGION}/functions/f", False,
            id="deployer invokes no function",
        ),
        pytest.param(
            "deployer", "cloudfunctions.operations.get", f"{REGION}/operations/o", True,
            id="deployer reads operations",
        ),
        pytest.param(
            "deployer", "run.services.setIamPolicy", f"{REGION}/services/f", True,
            id="deployer shares services",
        ),
        pytest.param(
            "deployer", "run.services.update", f"{REGION}/services/f", False,
            id="deployer updates no services",
        ),
        pytest.param("deployer", "cloudbuild.builds.list", "projects/local-project", True, id="deployer lists builds"),
        pytest.param(
            "deployer", "cloudbuild.builds.create", "projects/local-project", False,
            id="deployer creates no builds",
        ),
        pytest.param(
            "deployer", "artifactregistry.tags.get", f"{REGION}/repositories/r/packages/p/tags/t", True,
            id="deployer reads tags",
        ),
        pytest.param(
            "deployer", "artifactregistry.tags.get", "projects/other/locations/us/repositories/r", False,
            id="deployer reads no other project's tags",
        ),
        pytest.param(
            "deployer", "artifactregistry.tags.update", f"{REGION}/repositories/r", False,
            id="deployer moves no tags",
        ),
        pytest.param(
            "builder", "artifactregistry.repositories.downloadArtifacts", f"{REGION}/repositories/r", True,
            id="builder pulls images",
        ),
        pytest.param(
            "builder", "cloudfunctions.functions.create", f"{REGION}/functions/f", False,
            id="builder creates no function",
        ),
        pytest.param("builder", "cloudscheduler.jobs.get", f"{REGION}/jobs/j", False, id="builder reads no jobs"),
        pytest.param(
            "function", "cloudbuild.builds.create", "projects/local-project", True,
            id="function creates builds",
        ),
        pytest.param(
            "function", "storage.objects.get", f"{OBJECTS}/ci/live/f/live.json", True,
            id="function reads live.json",
        ),
        pytest.param(
            "function", "storage.objects.get", f"{OBJECTS}/live/f/live.json", True,
            id="function reads live.json, no prefix",
        ),
        pytest.param(
            "function", "storage.objects.get", f"{OBJECTS}/ci/results/live", False,
            id="function reads no result named live",
        ),
        pytest.param(
            "function", "storage.objects.get", f"{OBJECTS}/ci/alive/f/live.json", False,
            id="function reads below no other live",
        ),
        pytest.param(
            "function", "storage.objects.create", f"{OBJECTS}/ci/live/f/live.json", False,
            id="function writes no live.json",
        ),
        pytest.param("function", "storage.objects.list", "projects/_/buckets/b", False, id="function lists no objects"),
        pytest.param(
            "function-build", "artifactregistry.repositories.uploadArtifacts", f"{REGION}/repositories/r", True,
            id="function build pushes images",
        ),
        pytest.param("function-build", "storage.objects.get", f"{OBJECTS}/x", True, id="function build reads objects"),
        pytest.param(
            "function-build", "logging.logEntries.create", "projects/local-project", True,
            id="function build writes logs",
        ),
        pytest.param(
            "function-build", "cloudfunctions.functions.update", f"{REGION}/functions/f", False,
            id="function build updates no function",
        ),
        pytest.param("trigger", "run.routes.invoke", f"{REGION}/services/f", False, id="trigger invokes no service"),
        pytest.param(
            "trigger", "storage.objects.get", f"{OBJECTS}/ci/live/f/live.json", False,
            id="trigger reads no live.json",
        ),
    ],
)  # fmt: skip
def test_accounts_may_do_what_their_roles_say(
    iam: Iam, account: str, permission: str, resource: str, *, allowed: bool
) -> None:
    assert iam.allowed(Caller(email(account)), permission, resource) is allowed


@pytest.mark.parametrize(
    ("account", "others"),
    [
        pytest.param("builder", ["vm"], id="builder"),
        pytest.param("deployer", ["vm", "function", "function-build", "trigger"], id="deployer"),
        pytest.param("function", ["builder"], id="function"),
        pytest.param("vm", [], id="vm"),
        pytest.param("function-build", [], id="function-build"),
        pytest.param("trigger", [], id="trigger"),
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
        pytest.param(
            "compute.instances.create",
            f"{ZONE}/instances/x",
            f"Required 'compute.instances.create' permission for '{ZONE}/instances/x'",
            id="Compute Engine",
        ),
        pytest.param(
            "storage.objects.create",
            f"{OBJECTS}/x",
            f"{email('vm')} does not have storage.objects.create access to the Google Cloud Storage object. {DENIED}",
            id="Cloud Storage",
        ),
        pytest.param(
            "artifactregistry.tags.get",
            f"{REGION}/repositories/r",
            (
                "Permission 'artifactregistry.tags.get' denied on resource "
                f"'//artifactregistry.googleapis.com/{REGION}/repositories/r' (or it may not exist)."
            ),
            id="Artifact Registry",
        ),
        pytest.param(
            "cloudfunctions.functions.create",
            f"{REGION}/functions/f",
            (
                "Permission 'cloudfunctions.functions.create' denied on resource "
                f"'{REGION}/functions/f' (or resource may not exist)."
            ),
            id="Cloud Functions",
        ),
        pytest.param(
            "run.services.get",
            f"{REGION}/services/f",
            f"Permission 'run.services.get' denied on resource '{REGION}/services/f' (or resource may not exist).",
            id="Cloud Run",
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
