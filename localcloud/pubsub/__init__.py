"""Pub/Sub: topics, subscriptions, and the delivery of messages by pull and push."""

from localcloud.pubsub.service import PubSubService

__all__ = ["PubSubService"]
