"""Pub/Sub: topics, subscriptions, and the delivery of messages by pull and push."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from localcloud.core.spec import FaultForm, Library, Spec
from localcloud.services.context import Context
from localcloud.services.pubsub.delivery import PUSHED
from localcloud.services.pubsub.refusals import denied
from localcloud.services.pubsub.service import PubSubService

__all__ = ["SPEC", "PubSubService"]


def _build(context: Context) -> Sequence[Any]:
    def authorization(account: str) -> str:
        """Return the header that proves a push's account: an access token, since there are no identity tokens."""
        return f"Bearer {context.iam.token(account)[0]}"

    return [
        PubSubService(
            context.state,
            context.clock,
            context.iam,
            context.faults,
            authorization=authorization,
            on_error=context.findings.error,
        )
    ]


SPEC = Spec(
    _build,
    service="pubsub.googleapis.com",
    apis=("pubsub.v1",),
    endpoint="PUBSUB",
    permissions="pubsub",
    denied=denied,
    libraries={"pubsub.v1": Library("google-cloud-pubsub", "google.pubsub_v1", "google.pubsub.v1")},
    events=(PUSHED,),
    faults={"duplicate": FaultForm((PUSHED,), optional={"copies": int, "after": (int, float)})},
    needs_port=True,
)
