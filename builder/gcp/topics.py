"""Pub/Sub's topics over REST: the Topics of `deploy`, and one message of ours."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from builder.deploy.ports import TopicState
from builder.gcp.clients import CALL_BUDGET, CALL_TIMEOUT, Access
from builder.gcp.rest import NOT_FOUND, Rest
from builder.model import JsonObject
from builder.ports import CallFailed, Clock


class GoogleTopics:
    """See deploy.ports.Topics."""

    def __init__(
        self, access: Access, clock: Clock, *, timeout: float = CALL_TIMEOUT, budget: float = CALL_BUDGET
    ) -> None:
        self._rest = Rest(access, clock, timeout=timeout, budget=budget)

    def get(self, topic: str) -> TopicState | None:
        """See deploy.ports.Topics."""
        answer = self._rest.find("pubsub.topics.get", "GET", self._url(topic))
        if answer is None:
            return None
        listed = self._rest.find(
            "pubsub.topics.subscriptions.list", "GET", f"{self._url(topic)}/subscriptions", {"pageSize": "1"}
        )
        heard = bool(listed and listed.get("subscriptions"))
        return TopicState(labels=dict(answer.get("labels", {})), heard=heard)

    def create(self, topic: str, labels: Mapping[str, str]) -> None:
        """See deploy.ports.Topics."""
        self._rest.fetch("pubsub.topics.create", "PUT", self._url(topic), {"labels": dict(labels)})

    def delete(self, topic: str) -> bool:
        """See deploy.ports.Topics."""
        try:
            self._rest.fetch("pubsub.topics.delete", "DELETE", self._url(topic))
        except CallFailed as failure:
            if failure.http_status != NOT_FOUND:
                raise
            return failure.repeated
        return True

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str] | None = None) -> str:
        """See deploy.ports.Topics."""
        message: JsonObject = {"data": base64.b64encode(data).decode()}
        if attributes:
            message["attributes"] = dict(attributes)
        answer = self._rest.fetch(
            "pubsub.topics.publish", "POST", f"{self._url(topic)}:publish", {"messages": [message]}
        )
        return str(answer["messageIds"][0])

    def _url(self, topic: str) -> str:
        return self._rest.url("pubsub", f"v1/{topic}")
