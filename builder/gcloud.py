"""The commands that fix what Google refuses, of gcloud and of setup/, and the console's page of a build.

Pure; values are names that were checked before.

A binding names its condition, or `--condition=None`: once a policy has a condition, gcloud asks which one is meant, and
fails where nobody can answer.
"""

from __future__ import annotations

from collections.abc import Sequence


def member(account: str, *, unknown: str = "BUILD_ACCOUNT") -> str:
    """An account as IAM names it; `unknown` stands for an account that the credentials do not tell."""
    if not account:
        return f"serviceAccount:{unknown}"
    kind = "serviceAccount" if account.endswith("gserviceaccount.com") else "user"
    return f"{kind}:{account}"


def enable(service: str, project: str = "") -> str:
    """Enable an API, such as `compute`."""
    option = f" --project={project}" if project else ""
    return f"gcloud services enable {service}.googleapis.com{option}"


def grant_on_project(project: str, member: str, role: str) -> str:
    """Grant a role in a project."""
    return (
        f"gcloud projects add-iam-policy-binding {project} --member={member} --role={role} --condition=None"
    )


def grant_builder(project: str, member: str) -> str:
    """Grant the custom role of builds in a project, restricted to VMs whose names begin with `nb-`."""
    return (
        f"gcloud projects add-iam-policy-binding {project} --member={member} "
        f"--role=projects/{project}/roles/notebookBuilder "
        '--condition=\'title=nb-instances,expression=resource.type != "compute.googleapis.com/Instance" || '
        'resource.name.extract("/instances/{name}").startsWith("nb-")\''
    )


def set_up_prefix(project: str, region: str, bucket: str, prefix: str, *, schedule: bool = False) -> str:
    """Make the grants of a prefix of the bucket, in a checkout of Notebook Builder. `schedule`: also for `deploy`."""
    option = " --schedule" if schedule else ""
    return f"setup/repo.sh --project {project} --region {region} --bucket {bucket} --prefix {prefix}{option}"


def needs_schedule(account: str) -> bool:
    """True for the build accounts that only `--schedule` sets up."""
    return account.startswith(("notebook-deployer@", "notebook-scheduler@"))


def set_up_project(project: str, region: str, bucket: str, prefix: str, *, schedule: bool = False) -> str:
    """Make all that a new project needs, in a checkout of Notebook Builder. `schedule`: also what `deploy` needs."""
    options = f"{f' --prefix {prefix}' if prefix else ''}{' --schedule' if schedule else ''}"
    return f"setup/project.sh --project {project} --region {region} --bucket {bucket}{options}"


def grant_on_bucket(bucket: str, member: str, role: str) -> str:
    """Grant a role on a bucket."""
    return (
        f"gcloud storage buckets add-iam-policy-binding gs://{bucket} "
        f"--member={member} --role={role} --condition=None"
    )


def grant_on_folder(bucket: str, folder: str, member: str, role: str) -> str:
    """Grant a role on the objects of a bucket whose names begin with `folder` and a slash."""
    return (
        f"gcloud storage buckets add-iam-policy-binding gs://{bucket} --member={member} --role={role} "
        f"--condition=\"title=live,expression=resource.name.startsWith('projects/_/buckets/{bucket}/objects/{folder}/')\""
    )


def grant_act_as(target: str, member: str) -> str:
    """Let a member run builds and VMs as the service account `target`."""
    return (
        f"gcloud iam service-accounts add-iam-policy-binding {target} "
        f"--member={member} --role=roles/iam.serviceAccountUser --condition=None"
    )


def extend_role(project: str, role: str, permissions: Sequence[str]) -> str:
    """Add permissions to a custom role of a project."""
    return f"gcloud iam roles update {role} --project={project} --add-permissions={','.join(permissions)}"


def show_roles(project: str, account: str) -> str:
    """List an account's roles in a project."""
    return (
        f'gcloud projects get-iam-policy {project} --flatten="bindings[].members" '
        f'--filter="bindings.members:{account or "BUILD_ACCOUNT"}" --format="table(bindings.role)"'
    )


def show_bucket_roles(bucket: str) -> str:
    """List the roles on a bucket with their members and conditions. gcloud takes no `--filter` here."""
    return (
        f'gcloud storage buckets get-iam-policy gs://{bucket} --flatten="bindings[].members" '
        '--format="table(bindings.members,bindings.role,bindings.condition.expression)"'
    )


def create_bucket(bucket: str, project: str = "", region: str = "REGION") -> str:
    """Create a bucket in a region; without a project in the one that gcloud is set to."""
    option = f" --project={project}" if project else ""
    return (
        f"gcloud storage buckets create gs://{bucket}{option} --location={region} "
        "--uniform-bucket-level-access --public-access-prevention"
    )


def create_account(name: str, project: str) -> str:
    """Create a service account."""
    return f"gcloud iam service-accounts create {name} --project={project}"


def grant_secret(secret: str, project: str, member: str) -> str:
    """Let a member read the values of a secret."""
    return (
        f"gcloud secrets add-iam-policy-binding {secret} --project={project} --member={member} "
        "--role=roles/secretmanager.secretAccessor --condition=None"
    )


def raise_quota(project: str, metric: str, region: str, wanted: float) -> str:
    """Ask for more of a quota of Compute Engine; `region` is empty for a global one. Quota ids: docs/facts.md 1.10.

    The API requires an email address for each request of a higher value.
    """
    scope = "-per-project-region" if region else "-per-project"
    dimensions = f" --dimensions=region={region}" if region else ""
    return (
        f"gcloud beta quotas preferences create --project={project} --service=compute.googleapis.com "
        f"--quota-id={metric.replace('_', '-')}{scope} --preferred-value={wanted:.0f}{dimensions} --email=EMAIL"
    )


def build_page(build: str, project: str, region: str) -> str:
    """Return the address of a build's page in the console; `region` is "" for a build without one."""
    place = f";region={region}" if region else ""
    return f"https://console.cloud.google.com/cloud-build/builds{place}/{build}?project={project}"
