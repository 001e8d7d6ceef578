"""Pub/Sub over REST: the topics of `deploy`, and the messages that the builder publishes."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping

from builder.deploy_ports import TopicState
from builder.gcp.rest import Rest


class GoogleTopics:
    """The port `deploy_ports.Topics`."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def get(self, topic: str) -> TopicState | None:
        answer = self._rest.find("pubsub.topics.get", "GET", self._url(topic))
        if answer is None:
            return None
        names = tuple(name.rpartition("/")[2] for name in self._subscriptions(topic))
        return TopicState(dict(answer.get("labels", {})), names)

    def _subscriptions(self, topic: str) -> Iterator[str]:
        """The names of all subscriptions. A page can be empty and not the last."""
        params: dict[str, str] = {}
        while True:
            url = f"{self._url(topic)}/subscriptions"
            page = self._rest.find("pubsub.topics.subscriptions.list", "GET", url, params) or {}
            yield from page.get("subscriptions", ())
            if not page.get("nextPageToken"):
                return
            params = {"pageToken": str(page["nextPageToken"])}

    def create(self, topic: str, labels: Mapping[str, str]) -> None:
        self._rest.fetch("pubsub.topics.create", "PUT", self._url(topic), {"labels": dict(labels)})

    def delete(self, topic: str) -> bool:
        return self._rest.delete("pubsub.topics.delete", self._url(topic))

    def publish(self, topic: str, data: bytes) -> None:
        body = {"messages": [{"data": base64.b64encode(data).decode()}]}
        self._rest.fetch("pubsub.topics.publish", "POST", f"{self._url(topic)}:publish", body)

    def _url(self, topic: str) -> str:
        return self._rest.url("pubsub", f"v1/{topic}")
