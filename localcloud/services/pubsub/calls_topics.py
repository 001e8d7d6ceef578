"""The methods on topics: create, get, list, delete, publish, and the list of a topic's subscriptions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from localcloud.core.clock import Clock
from localcloud.core.kept import Kept
from localcloud.core.listing import page
from localcloud.core.service import Call, Handler
from localcloud.services.pubsub import names, rules
from localcloud.services.pubsub.delivery import Delivery
from localcloud.services.pubsub.messages import Content, Message, contents
from localcloud.services.pubsub.refusals import missing, taken

Json = dict[str, Any]

_MAX_PAGE = 1000


@dataclass(frozen=True)
class State:
    """The handlers' shared parts: the resources, their backlogs, and the removal of a resource's policy."""

    clock: Clock
    topics: Kept
    subscriptions: Kept
    delivery: Delivery
    forget_policy: Callable[[str], None]

    def attached(self, topic: str) -> list[str]:
        """Return the names of a topic's subscriptions."""
        return [name for name, found in self.subscriptions.items() if found["topic"] == topic]


class Topics:
    """Handlers of `projects.topics`, by method id."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._last_id = 0

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id."""
        return {
            "pubsub.projects.topics.create": self._create,
            "pubsub.projects.topics.get": self._get,
            "pubsub.projects.topics.list": self._list,
            "pubsub.projects.topics.delete": self._delete,
            "pubsub.projects.topics.publish": self._publish,
            "pubsub.projects.topics.subscriptions.list": self._list_subscriptions,
        }

    def publish(self, name: str, messages: Sequence[Content]) -> list[str]:
        """Publish messages to every subscription of a topic, and return their ids; raises `ApiError` 404."""
        state = self._state
        with state.topics.lock:
            if state.topics.find(name) is None:
                raise missing(name)
            now = state.clock.now()
            published = [Message(self._new_id(now), now, content) for content in messages]
            attached = state.attached(name)
        for subscription in attached:
            state.delivery.add(subscription, published)
        return [message.id for message in published]

    def _new_id(self, now: float) -> str:
        self._last_id = max(self._last_id + 1, int(now * 1_000_000))
        return str(self._last_id)

    def _create(self, call: Call) -> Json:
        name = names.authorize_new(call, "pubsub.topics.create")
        topic = rules.topic(name, call.body)
        with self._state.topics.lock:
            if self._state.topics.find(name) is not None:
                raise taken(name)
            self._state.topics.put(name, topic)
        return topic

    def _get(self, call: Call) -> Json:
        return self._named(call.authorize("pubsub.topics.get", call.params["topic"]))

    def _list(self, call: Call) -> Json:
        call.authorize("pubsub.topics.list", call.params["project"])
        return page([topic for _, topic in self._state.topics.items()], call.params, "topics", _MAX_PAGE)

    def _list_subscriptions(self, call: Call) -> Json:
        name = call.authorize("pubsub.topics.get", call.params["topic"])
        self._named(name)
        return page(self._state.attached(name), call.params, "subscriptions", _MAX_PAGE)

    def _delete(self, call: Call) -> Json:
        name = call.authorize("pubsub.topics.delete", call.params["topic"])
        state = self._state
        with state.topics.lock, state.subscriptions.lock:
            self._named(name)
            state.topics.remove(name)
            for attached in state.attached(name):
                orphan = state.subscriptions.find(attached) or {}
                state.subscriptions.put(attached, orphan | {"topic": names.DELETED_TOPIC})
            state.forget_policy(name)
        return {}

    def _publish(self, call: Call) -> Json:
        name = call.authorize("pubsub.topics.publish", call.params["topic"])
        return {"messageIds": self.publish(name, contents(call.body.get("messages") or []))}

    def _named(self, name: str) -> Json:
        found = self._state.topics.find(name)
        if found is None:
            raise missing(name)
        return found
