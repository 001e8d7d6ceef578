"""Push: one HTTP request to an endpoint on this machine, whose status acknowledges the message."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import urllib3

from localcloud.core.errors import ApiError
from localcloud.services.pubsub.messages import Message

Json = dict[str, Any]
Authorization = Callable[[str, str], str]
"""Takes a service account's address and an audience, returns the Authorization header that proves it to an endpoint."""

_ACKNOWLEDGED = frozenset({102, 200, 201, 202, 204})


class Pusher:
    """Pushes messages. A subscription with an `oidcToken` sends the header that `authorization` makes for it."""

    def __init__(self, authorization: Authorization) -> None:
        self._authorization = authorization
        self._http = urllib3.PoolManager(num_pools=8, maxsize=32, retries=False)

    def push(self, subscription: Json, message: Message) -> bool:
        """Deliver a message; False when the endpoint refuses it or has not answered within the ack deadline."""
        config = subscription["pushConfig"]
        endpoint: str = config["pushEndpoint"]
        try:
            answer = self._http.request(
                "POST",
                endpoint,
                body=json.dumps(message.envelope(subscription["name"])),
                headers=self._headers(endpoint, config.get("oidcToken")),
                timeout=float(subscription["ackDeadlineSeconds"]),
                redirect=False,
            )
        except (urllib3.exceptions.HTTPError, ApiError):
            return False
        return answer.status in _ACKNOWLEDGED

    def _headers(self, endpoint: str, token: Json | None) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "User-Agent": "CloudPubSub-Google"}
        if token:
            audience = token.get("audience") or endpoint
            headers["Authorization"] = self._authorization(token["serviceAccountEmail"], audience)
        return headers
