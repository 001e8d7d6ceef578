"""Pub/Sub's topics over REST: the Topics of `deploy`, and one message of ours."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping

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
        names = tuple(name.rpartition("/")[2] for name in self._subscriptions(topic))
        return TopicState(dict(answer.get("labels", {})), names)

    def _subscriptions(self, topic: str) -> Iterator[str]:
        """Page by page; a page may be empty and not the last."""
        params: dict[str, str] = {}
        while True:
            url = f"{self._url(topic)}/subscriptions"
            page = self._rest.find("pubsub.topics.subscriptions.list", "GET", url, params) or {}
            yield from page.get("subscriptions", ())
            if not page.get("nextPageToken"):
                return
            params = {"pageToken": str(page["nextPageToken"])}

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
