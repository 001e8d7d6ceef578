"""The Pub/Sub service: connects its store, deliveries and handlers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from localcloud.core.caller import Caller
from localcloud.core.clock import Clock
from localcloud.core.faults import FaultPlan
from localcloud.core.iam import Iam
from localcloud.core.iam.calls import Resources, policy_handlers
from localcloud.core.kept import Kept
from localcloud.core.service import Handler, Part
from localcloud.services.pubsub.calls_subscriptions import Subscriptions
from localcloud.services.pubsub.calls_topics import State, Topics
from localcloud.services.pubsub.delivery import Delivery
from localcloud.services.pubsub.messages import Content
from localcloud.services.pubsub.names import short_name
from localcloud.services.pubsub.push import Authorization, Pusher
from localcloud.services.pubsub.refusals import missing

Json = dict[str, Any]

_KINDS = {f"pubsub.projects.{kind}": f"pubsub.{kind}" for kind in ("topics", "subscriptions")}


class PubSubService(Part):
    """Pub/Sub of one project. Topics and subscriptions stay in `state_dir` over a restart, messages do not.

    `authorization` makes the header of a push as an account; `on_error` gets localcloud's bugs.
    """

    api = "pubsub.v1"

    def __init__(
        self,
        state_dir: Path,
        clock: Clock,
        iam: Iam,
        faults: FaultPlan,
        *,
        authorization: Authorization,
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        folder = state_dir / "pubsub"
        self._iam = iam
        self._kept = Kept(folder / "topics.json")
        subscriptions = Kept(folder / "subscriptions.json")
        self._delivery = Delivery(clock, faults, subscriptions.find, Pusher(authorization).push, on_error)
        for name in subscriptions.names():
            self._delivery.open(name)

        def exists(name: str) -> bool:
            return self._kept.find(name) is not None or subscriptions.find(name) is not None

        resources = Resources(_KINDS, exists, missing)
        state = State(clock, self._kept, subscriptions, self._delivery, iam.policies.remove)
        self._state = state
        self._topics, self._subscriptions = Topics(state), Subscriptions(state)
        self._handlers = {
            **self._topics.handlers(),
            **self._subscriptions.handlers(),
            **policy_handlers(resources),
        }

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id of this service."""
        return self._handlers

    def publish(self, caller: Caller, topic: str, messages: Sequence[Content]) -> list[str]:
        """Publish for another service, as `caller`, to "projects/P/topics/T"; return the messages' ids.

        Raises `ApiError` as a call would: 403 or 404.
        """
        self._iam.require(caller, "pubsub.topics.publish", topic)
        return self._topics.publish(topic, messages)

    def topic_exists(self, name: str) -> bool:
        """True if the topic "projects/P/topics/T" exists. No permission is checked."""
        return self._kept.find(name) is not None

    def ensure_subscription(self, name: str, body: Json) -> Json:
        """Make or change a subscription for another service, as Eventarc does for a trigger; return it.

        `name` is "projects/P/subscriptions/S", `body` a `Subscription` with its `topic`, deadline and retention, a
        `pushConfig` to a loopback URL with an `oidcToken`, and a `retryPolicy`. No permission and no field is checked.
        Raises `ApiError` 404.
        """
        return self._subscriptions.ensure(name, body)

    def remove_subscription(self, name: str) -> None:
        """Delete a subscription for another service; raises `ApiError` 404."""
        self._subscriptions.remove(name)

    def inventory(self) -> Mapping[str, list[Json]]:
        """Return the topics, and the subscriptions with the number of messages not yet acknowledged."""
        subscriptions = self._state.subscriptions.items()
        return {
            "pubsub.topics": [
                {"name": short_name(name), "labels": topic.get("labels", {})}
                for name, topic in self._kept.items()
            ],
            "pubsub.subscriptions": [
                {
                    "name": short_name(name),
                    "topic": short_name(found["topic"]),
                    "push_endpoint": found["pushConfig"].get("pushEndpoint"),
                    "unacknowledged": self._delivery.backlog(name),
                }
                for name, found in subscriptions
            ],
        }

    def close(self) -> None:
        """End the deliveries."""
        self._delivery.close()
