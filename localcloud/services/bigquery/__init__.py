"""BigQuery: an emulator behind checks that use Google's messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from localcloud.core.spec import Spec
from localcloud.services.bigquery.calls import BigQueryService
from localcloud.services.context import Context


def _build(context: Context) -> Sequence[Any]:
    return [BigQueryService(context.state, context.iam)]


SPEC = Spec(
    _build,
    service="bigquery.googleapis.com",
    apis=("bigquery.v2",),
    permissions="bigquery",
)
