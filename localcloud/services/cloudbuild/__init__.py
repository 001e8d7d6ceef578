"""Cloud Build: builds of the v1 API, whose steps run as processes or in containers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from localcloud.core.caller import Caller
from localcloud.core.objects import Objects
from localcloud.core.spec import Library, Spec
from localcloud.services.cloudbuild.calls import BuildService
from localcloud.services.cloudbuild.run import Tools
from localcloud.services.context import Context
from localcloud.services.secretmanager import SecretManagerService

__all__ = ["SPEC", "BuildService"]


def _build(context: Context) -> Sequence[Any]:
    tools = Tools(
        context.clock,
        Objects(context.url, context.iam),
        context.environment,
        context.part(SecretManagerService).access_secret,
        lambda account, permission, resource: context.iam.allowed(Caller(account), permission, resource),
        context.findings.error,
    )
    service = BuildService(
        context.state, tools, runners=context.runners, default_runner=context.default_runner
    )
    context.routes["builds/([^/]+)/log"] = service.respond_log
    return [service]


SPEC = Spec(
    _build,
    service="cloudbuild.googleapis.com",
    apis=("cloudbuild.v1",),
    endpoint="CLOUDBUILD",
    permissions="cloudbuild",
    libraries={
        "cloudbuild.v1": Library(
            "google-cloud-build", "google.cloud.devtools.cloudbuild_v1", "google.devtools.cloudbuild.v1"
        )
    },
    needs_port=True,
)
