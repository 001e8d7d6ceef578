"""The methods on subscriptions: create, get, list, delete, pull, acknowledge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localcloud.core.iam import by_id
from localcloud.core.listing import page
from localcloud.core.service import Call, Handler
from localcloud.services.pubsub import names, rules
from localcloud.services.pubsub.calls_topics import State
from localcloud.services.pubsub.refusals import missing, no_pull, taken, too_small

Json = dict[str, Any]

_MAX_PAGE = 1000


class Subscriptions:
    """Handlers of `projects.subscriptions`, by method id."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._kept = state.subscriptions
        self._delivery = state.delivery

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id."""
        return {
            "pubsub.projects.subscriptions.create": self._create,
            "pubsub.projects.subscriptions.get": self._get,
            "pubsub.projects.subscriptions.list": self._list,
            "pubsub.projects.subscriptions.delete": self._delete,
            "pubsub.projects.subscriptions.pull": self._pull,
            "pubsub.projects.subscriptions.acknowledge": self._acknowledge,
        }

    def ensure(self, name: str, body: Json) -> Json:
        """Make a subscription, or update an existing one and keep its backlog; raises `ApiError` 404.

        `body` is not checked, and has all fields but name and state.
        """
        subscription = {**body, "name": name, "state": "ACTIVE"}
        with self._state.topics.lock, self._kept.lock:
            if self._state.topics.find(subscription["topic"]) is None:
                raise missing(subscription["topic"])
            if self._kept.find(name) is None:
                self._delivery.open(name)
            self._kept.put(name, subscription)
        self._delivery.wake(name)
        return subscription

    def remove(self, name: str) -> None:
        """Delete a subscription and its backlog; raises `ApiError` 404."""
        with self._kept.lock:
            self._named(name)
            self._kept.remove(name)
            self._delivery.drop(name)
            self._state.forget_policy(name)

    def _create(self, call: Call) -> Json:
        name = names.authorize_new(call, "pubsub.subscriptions.create")
        names.check_topic(call.body.get("topic") or "")
        topic = call.authorize("pubsub.topics.attachSubscription", call.body["topic"])
        subscription = rules.subscription(name, call.body | {"topic": topic})
        with self._state.topics.lock, self._kept.lock:
            if self._kept.find(name) is not None:
                raise taken(name)
            return self.ensure(name, subscription)

    def _get(self, call: Call) -> Json:
        return self._named(call.authorize("pubsub.subscriptions.get", call.params["subscription"]))

    def _list(self, call: Call) -> Json:
        call.authorize("pubsub.subscriptions.list", call.params["project"])
        found = [subscription for _, subscription in self._kept.items()]
        return page(found, call.params, "subscriptions", _MAX_PAGE)

    def _delete(self, call: Call) -> Json:
        self.remove(call.authorize("pubsub.subscriptions.delete", call.params["subscription"]))
        return {}

    def _pull(self, call: Call) -> Json:
        name = call.authorize("pubsub.subscriptions.consume", call.params["subscription"])
        most = call.body.get("maxMessages") or 0
        if most < 1:
            raise too_small("max_messages", most, 1)
        if self._named(name)["pushConfig"]:
            raise no_pull()
        found = self._delivery.pull(name, most)
        return {"receivedMessages": found} if found else {}

    def _acknowledge(self, call: Call) -> Json:
        name = call.authorize("pubsub.subscriptions.consume", call.params["subscription"])
        self._named(name)
        self._delivery.acknowledge(name, call.body.get("ackIds") or [])
        return {}

    def _named(self, name: str) -> Json:
        found = self._kept.find(by_id(name))
        if found is None:
            raise missing(name)
        return found
