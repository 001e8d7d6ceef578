"""The gcloud commands that mend what the preflight finds. Pure; values are names that were checked before."""

from __future__ import annotations

from collections.abc import Sequence

from builder.check.permissions import ROLE_ID


def member(account: str) -> str:
    """An account as IAM names it; a placeholder where the credentials do not tell who they are."""
    if not account:
        return "serviceAccount:BUILD_ACCOUNT"
    kind = "serviceAccount" if account.endswith("gserviceaccount.com") else "user"
    return f"{kind}:{account}"


def enable(service: str, project: str) -> str:
    """Turns an API on."""
    return f"gcloud services enable {service}.googleapis.com --project={project}"


def grant_role(project: str, account: str) -> str:
    """Gives the build's account its role; docs/accounts.md creates it."""
    return (
        f"gcloud projects add-iam-policy-binding {project} --member={member(account)} "
        f"--role=projects/{project}/roles/{ROLE_ID}"
    )


def extend_role(project: str, permissions: Sequence[str]) -> str:
    """Adds to the build's role what it lacks."""
    return f"gcloud iam roles update {ROLE_ID} --project={project} --add-permissions={','.join(permissions)}"


def show_roles(project: str, account: str) -> str:
    """Lists an account's roles in the project."""
    return (
        f'gcloud projects get-iam-policy {project} --flatten="bindings[].members" '
        f'--filter="bindings.members:{account or "BUILD_ACCOUNT"}" --format="table(bindings.role)"'
    )


def show_bucket_roles(bucket: str, account: str) -> str:
    """Lists an account's roles on a bucket, with their conditions."""
    return (
        f'gcloud storage buckets get-iam-policy gs://{bucket} --flatten="bindings[].members" '
        f'--filter="bindings.members:{account}" --format="yaml(bindings.role,bindings.condition.expression)"'
    )


def grant_bucket(bucket: str, account: str, role: str) -> str:
    """Gives an account a role on a bucket."""
    return (
        f"gcloud storage buckets add-iam-policy-binding gs://{bucket} "
        f"--member={member(account)} --role={role}"
    )


def create_bucket(bucket: str, project: str, region: str) -> str:
    """Makes the bucket."""
    return (
        f"gcloud storage buckets create gs://{bucket} --project={project} --location={region} "
        "--uniform-bucket-level-access"
    )


def act_as(target: str, account: str) -> str:
    """Lets an account hand another one to its VMs."""
    return (
        f"gcloud iam service-accounts add-iam-policy-binding {target} "
        f"--member={member(account)} --role=roles/iam.serviceAccountUser"
    )


def quota(project: str, metric: str, region: str, wanted: float) -> str:
    """Asks for more of a quota; `region` is empty for a global one. Ids: docs/facts.md 1.10."""
    scope = "-per-project-region" if region else "-per-project"
    where = f" --dimensions=region={region}" if region else ""
    return (
        f"gcloud beta quotas preferences create --project={project} --service=compute.googleapis.com "
        f"--quota-id={metric.replace('_', '-')}{scope} --preferred-value={wanted:.0f}{where}"
    )
