"""The timeouts that clients pass to the HTTP layer, so that a test of them measures no time."""

from __future__ import annotations

from typing import Any

import pytest
import requests
import requests.adapters


def record_timeouts(monkeypatch: pytest.MonkeyPatch, url: str, most: float) -> list[float | None]:
    """Return a list that gets the timeout of each request to `url` that stays without an answer; None: it has none.

    Of a pair of timeouts, for the connection and for the answer, the list gets the longer one, or None if one is
    missing. A request without a timeout, or with one beyond `most`, is sent with `most`, so that a test of it fails and
    does not hang.
    """
    found: list[float | None] = []
    send = requests.adapters.HTTPAdapter.send

    def recorded(adapter: Any, request: Any, *, timeout: Any = None, **how: Any) -> Any:
        parts = timeout if isinstance(timeout, tuple) else (timeout,)
        longest = None if None in parts else max(parts)
        ours = request.url.startswith(url)
        if ours and (longest is None or longest > most):
            timeout = most
        try:
            return send(adapter, request, timeout=timeout, **how)
        except requests.RequestException:
            if ours:
                found.append(longest)
            raise

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", recorded)
    return found
