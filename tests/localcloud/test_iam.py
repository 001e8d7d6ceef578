"""Tokens, and each account's permissions."""

import pytest

from localcloud.core.caller import ANONYMOUS, OWNER, Caller
from localcloud.core.errors import ApiError
from localcloud.core.iam import EVERYONE, Iam, email
from localcloud.profile import GRANTS, PROFILE
from localcloud.services.registry import SPECS

ZONE = "projects/local-project/zones/us-central1-a"
OBJECTS = "projects/_/buckets/b/objects"
REGION = "projects/local-project/locations/us-central1"
ACCOUNTS = "projects/local-project/serviceAccounts"
IMAGES = f"{REGION}/repositories/notebook-builder"
SOURCES = "projects/_/buckets/gcf-v2-sources-123456789012-us-central1/objects"
DENIED = "Permission 'storage.objects.create' denied on resource (or it may not exist)."


@pytest.fixture
def iam() -> Iam:
    made = Iam(PROFILE, SPECS)
    made.grant_on_bucket("b")
    made.grant_below("b", "ci")
    return made


def test_the_owners_token_is_a_secret_of_each_start(iam: Iam) -> None:
    assert iam.caller(f"Bearer {iam.owner_token}") == OWNER
    assert Iam(PROFILE, SPECS).owner_token != iam.owner_token
    iam.require(OWNER, "compute.instances.create", f"{ZONE}/instances/x")
    assert iam.token("owner@example.com")[0] != iam.owner_token


def test_a_call_without_a_token_has_no_permission(iam: Iam) -> None:
    assert iam.caller(None) == ANONYMOUS
    with pytest.raises(ApiError) as caught:
        iam.require(ANONYMOUS, "storage.objects.get", f"{OBJECTS}/x")
    assert caught.value.status == 401
    assert caught.value.message.startswith("Anonymous caller does not have storage.objects.get access")


def test_a_token_stands_for_its_account(iam: Iam) -> None:
    token, expires_in = iam.token(email("notebook-vm"), ["https://www.googleapis.com/auth/cloud-platform"])
    assert iam.caller(f"Bearer {token}").email == email("notebook-vm")
    assert 3590 <= expires_in <= 3600


def test_a_token_still_good_is_handed_out_again(iam: Iam) -> None:
    first = iam.token(email("notebook-vm"))[0]
    assert iam.token(email("notebook-vm"))[0] == first
    assert iam.token(email("notebook-builder"))[0] != first


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
        pytest.param("notebook-builder", "compute.instances.create", f"{ZONE}/instances/nb-x", True, id="builder creates an instance"),
        pytest.param("notebook-builder", "compute.instances.delete", f"{ZONE}/instances/db", False, id="builder deletes no other instance"),
        pytest.param("notebook-builder", "compute.disks.create", f"{ZONE}/disks/x", True, id="builder creates any disk"),
        pytest.param("notebook-builder", "compute.projects.get", "projects/local-project", True, id="builder reads the project"),
        pytest.param("notebook-builder", "compute.instances.setIamPolicy", f"{ZONE}/instances/nb-x", False, id="builder shares no instance"),
        pytest.param("notebook-builder", "compute.instances.create", "projects/other/zones/z/instances/nb-x", False, id="builder creates in no other project"),
        pytest.param("notebook-builder", "compute.images.getFromFamily", "projects/deeplearning-platform-release/global/images/family/f", True, id="builder reads image families"),
        pytest.param("notebook-builder", "storage.objects.create", f"{OBJECTS}/ci/results/x", True, id="builder writes results"),
        pytest.param("notebook-builder", "storage.objects.create", f"{OBJECTS}/other/results/x", False, id="builder writes below no other prefix"),
        pytest.param("notebook-builder", "storage.objects.create", f"{OBJECTS}/ci/versions/x", False, id="builder writes no versions"),
        pytest.param("notebook-builder", "storage.objects.create", f"{OBJECTS}/ci/live/f/live.json", False, id="builder writes no live.json"),
        pytest.param("notebook-builder", "storage.objects.create", f"{OBJECTS}/ci/proofs/p", False, id="builder writes no proofs"),
        pytest.param("notebook-builder", "storage.objects.list", "projects/_/buckets/b", True, id="builder lists objects"),
        pytest.param("notebook-builder", "storage.objects.create", "projects/_/buckets/c/objects/ci/results/x", False, id="builder writes in no other bucket"),
        pytest.param("notebook-builder", "storage.buckets.get", "projects/_/buckets/b", True, id="builder reads the bucket"),
        pytest.param("notebook-builder", "storage.buckets.create", "projects/local-project", False, id="builder creates no bucket"),
        pytest.param("notebook-builder", "iam.serviceAccounts.actAs", f"{ACCOUNTS}/{email('notebook-vm')}", True, id="builder acts as the VM"),
        pytest.param("notebook-builder", "iam.serviceAccounts.actAs", f"{ACCOUNTS}/{email('notebook-deployer')}", False, id="builder does not act as the deployer"),
        pytest.param("notebook-scheduler", "storage.objects.create", f"{OBJECTS}/ci/versions/x", True, id="scheduler writes versions"),
        pytest.param("notebook-scheduler", "storage.objects.create", f"{OBJECTS}/ci/live/f/live.json", False, id="scheduler writes no live.json"),
        pytest.param("notebook-vm", "compute.instances.get", f"{ZONE}/instances/nb-x", False, id="VM reads no instance"),
        pytest.param("notebook-vm", "storage.objects.get", f"{OBJECTS}/ci/kits/k.tar.gz", True, id="VM reads kits"),
        pytest.param("notebook-vm", "storage.objects.create", f"{OBJECTS}/ci/kits/k.tar.gz", False, id="VM writes no kits"),
        pytest.param("notebook-vm", "storage.objects.create", f"{OBJECTS}/ci/staging/r/j/x", True, id="VM writes below staging"),
        pytest.param("notebook-vm", "storage.objects.create", f"{OBJECTS}/other/staging/x", False, id="VM writes below no other prefix"),
        pytest.param("notebook-vm", "storage.objects.create", f"{OBJECTS}/ci/results/staging", False, id="VM writes no result named staging"),
        pytest.param("notebook-vm", "storage.objects.create", f"{OBJECTS}/ci/mystaging/x", False, id="VM writes below no other staging"),
        pytest.param("notebook-vm", "storage.objects.list", "projects/_/buckets/b", False, id="VM lists no objects"),
        pytest.param("notebook-vm", "storage.objects.get", f"{OBJECTS}/ci/results/r/x", False, id="VM reads no results"),
        pytest.param("notebook-deployer", "storage.objects.create", f"{OBJECTS}/ci/proofs/p", True, id="deployer writes proofs"),
        pytest.param("notebook-deployer", "pubsub.topics.create", "projects/local-project/topics/t", True, id="deployer creates topics"),
        pytest.param("notebook-deployer", "pubsub.topics.publish", "projects/local-project/topics/t", True, id="deployer publishes"),
        pytest.param("notebook-deployer", "cloudscheduler.jobs.update", f"{REGION}/jobs/j", True, id="deployer updates jobs"),
        pytest.param("notebook-deployer", "cloudfunctions.functions.sourceCodeSet", REGION, True, id="deployer uploads source code"),
        pytest.param("notebook-deployer", "cloudfunctions.functions.update", f"{REGION}/functions/f", True, id="deployer updates functions"),
        pytest.param("notebook-deployer", "cloudfunctions.functions.invoke", f"{REGION}/functions/f", False, id="deployer invokes no function"),
        pytest.param("notebook-deployer", "cloudfunctions.operations.get", f"{REGION}/operations/o", True, id="deployer reads operations"),
        pytest.param("notebook-deployer", "run.services.setIamPolicy", f"{REGION}/services/f", True, id="deployer shares services"),
        pytest.param("notebook-deployer", "run.services.update", f"{REGION}/services/f", False, id="deployer updates no services"),
        pytest.param("notebook-deployer", "cloudbuild.builds.list", "projects/local-project", True, id="deployer lists builds"),
        pytest.param("notebook-deployer", "cloudbuild.builds.create", "projects/local-project", False, id="deployer creates no builds"),
        pytest.param("notebook-deployer", "artifactregistry.tags.get", f"{IMAGES}/packages/p/tags/t", True, id="deployer reads tags"),
        pytest.param("notebook-deployer", "artifactregistry.tags.get", f"{REGION}/repositories/other/packages/p/tags/t", False, id="deployer reads no other repository"),
        pytest.param("notebook-deployer", "artifactregistry.tags.update", IMAGES, False, id="deployer moves no tags"),
        pytest.param("notebook-builder", "artifactregistry.repositories.downloadArtifacts", IMAGES, True, id="builder pulls images"),
        pytest.param("notebook-builder", "cloudfunctions.functions.create", f"{REGION}/functions/f", False, id="builder creates no function"),
        pytest.param("notebook-builder", "cloudscheduler.jobs.get", f"{REGION}/jobs/j", False, id="builder reads no jobs"),
        pytest.param("notebook-function", "cloudbuild.builds.create", "projects/local-project", True, id="function creates builds"),
        pytest.param("notebook-function", "storage.objects.get", f"{OBJECTS}/ci/live/f/live.json", True, id="function reads live.json"),
        pytest.param("notebook-function", "storage.objects.get", f"{OBJECTS}/ci/results/live", False, id="function reads no result named live"),
        pytest.param("notebook-function", "storage.objects.create", f"{OBJECTS}/ci/live/f/live.json", False, id="function writes no live.json"),
        pytest.param("notebook-function", "storage.objects.list", "projects/_/buckets/b", False, id="function lists no objects"),
        pytest.param("notebook-function-build", "artifactregistry.repositories.uploadArtifacts", f"{REGION}/repositories/gcf-artifacts", True, id="function build pushes images"),
        pytest.param("notebook-function-build", "artifactregistry.repositories.uploadArtifacts", IMAGES, False, id="function build pushes no other image"),
        pytest.param("notebook-function-build", "storage.objects.get", f"{SOURCES}/x", True, id="function build reads sources"),
        pytest.param("notebook-function-build", "storage.objects.get", f"{OBJECTS}/x", False, id="function build reads no other object"),
        pytest.param("notebook-function-build", "logging.logEntries.create", "projects/local-project", True, id="function build writes logs"),
        pytest.param("notebook-function-build", "cloudfunctions.functions.update", f"{REGION}/functions/f", False, id="function build updates no function"),
        pytest.param("notebook-trigger", "run.routes.invoke", f"{REGION}/services/f", False, id="trigger invokes no service"),
        pytest.param("notebook-trigger", "storage.objects.get", f"{OBJECTS}/ci/live/f/live.json", False, id="trigger reads no live.json"),
        pytest.param("image-builder", "storage.objects.get", f"{OBJECTS}/image-source/s.tgz", True, id="publisher reads its source"),
        pytest.param("image-builder", "storage.objects.get", f"{OBJECTS}/ci/results/x", False, id="publisher reads no results"),
    ],
)  # fmt: skip
def test_accounts_may_do_what_their_roles_say(
    iam: Iam, account: str, permission: str, resource: str, *, allowed: bool
) -> None:
    assert iam.allowed(Caller(email(account)), permission, resource) is allowed


@pytest.mark.parametrize(
    ("account", "others"),
    [
        pytest.param("notebook-builder", ["notebook-vm"], id="builder"),
        pytest.param(
            "notebook-deployer",
            ["notebook-vm", "notebook-function", "notebook-function-build", "notebook-trigger"],
            id="deployer",
        ),
        pytest.param("notebook-scheduler", ["notebook-vm"], id="scheduler"),
        pytest.param("notebook-function", ["notebook-scheduler"], id="function"),
        pytest.param("notebook-vm", [], id="vm"),
        pytest.param("notebook-function-build", [], id="function-build"),
        pytest.param("notebook-trigger", [], id="trigger"),
    ],
)
def test_whom_each_account_may_act_as(iam: Iam, account: str, others: list[str]) -> None:
    caller = Caller(email(account))
    found = [
        at
        for at in iam.accounts.addresses()
        if iam.allowed(caller, "iam.serviceAccounts.actAs", f"{ACCOUNTS}/{at}")
    ]
    assert sorted(found) == sorted(map(email, others))


def test_a_binding_on_a_service_lets_the_trigger_invoke_it_and_no_other(iam: Iam) -> None:
    member = f"serviceAccount:{email('notebook-trigger')}"
    iam.policies.grant(f"{REGION}/services/f", "roles/run.invoker", member)
    trigger = Caller(email("notebook-trigger"))
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
            f"{email('notebook-vm')} does not have storage.objects.create access to the Google Cloud Storage object. {DENIED}",
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
        iam.require(Caller(email("notebook-vm")), permission, resource)
    assert (caught.value.status, caught.value.message) == (403, words)


@pytest.mark.parametrize(
    "scopes", [(), ("https://www.googleapis.com/auth/devstorage.read_write",)], ids=["none", "narrow"]
)
def test_a_token_needs_the_scope_of_the_whole_cloud(iam: Iam, scopes: tuple[str, ...]) -> None:
    token, _ = iam.token(email("notebook-builder"), scopes)
    caller = iam.caller(f"Bearer {token}")
    for permission in ("storage.objects.get", "compute.instances.get", "iam.serviceAccounts.actAs"):
        with pytest.raises(ApiError, match="insufficient authentication scopes"):
            iam.require(caller, permission, f"{OBJECTS}/x")


def test_every_grant_names_a_role_and_an_account_that_exist(iam: Iam) -> None:
    for grant in GRANTS:
        iam.roles.check(grant.role)
        google = grant.account in {EVERYONE, OWNER.email} or grant.account.startswith("service-")
        assert google or iam.accounts.find(email(grant.account))
