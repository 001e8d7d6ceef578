"""Push: one HTTP request to an endpoint on this machine, whose status acknowledges the message."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import urllib3

from localcloud.core.errors import ApiError
from localcloud.services.pubsub.messages import Message

Json = dict[str, Any]
Authorization = Callable[[str], str]
"""Takes a service account's address, returns the Authorization header that proves it to an endpoint."""

_ACKNOWLEDGED = frozenset({102, 200, 201, 202, 204})


class Pusher:
    """Pushes messages, with the header that `authorization` makes for the account of a subscription's `oidcToken`."""

    def __init__(self, authorization: Authorization) -> None:
        self._authorization = authorization
        self._http = urllib3.PoolManager(num_pools=8, maxsize=32, retries=False)

    def push(self, subscription: Json, message: Message) -> bool:
        """Deliver a message; False when the endpoint refuses it or has not answered within the ack deadline."""
        config = subscription["pushConfig"]
        try:
            answer = self._http.request(
                "POST",
                config["pushEndpoint"],
                body=json.dumps(message.envelope(subscription["name"])),
                headers=self._headers(config["oidcToken"]["serviceAccountEmail"]),
                timeout=float(subscription["ackDeadlineSeconds"]),
                redirect=False,
            )
        except (urllib3.exceptions.HTTPError, ApiError):
            return False
        return answer.status in _ACKNOWLEDGED

    def _headers(self, account: str) -> dict[str, str]:
        return {
            "Content-Type": "application/json",
            "User-Agent": "CloudPubSub-Google",
            "Authorization": self._authorization(account),
        }
