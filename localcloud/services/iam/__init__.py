"""The IAM API: service accounts, custom roles, and their policies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from localcloud.core.spec import Spec
from localcloud.services.context import Context
from localcloud.services.iam.calls_accounts import AccountCalls
from localcloud.services.iam.calls_roles import RoleCalls
from localcloud.services.iam.refusals import denied


def _build(context: Context) -> Sequence[Any]:
    return [AccountCalls(context.iam), RoleCalls(context.iam)]


SPEC = Spec(
    _build,
    service="iam.googleapis.com",
    apis=("iam.v1",),
    endpoint="IAM",
    permissions="iam",
    denied=denied,
)
