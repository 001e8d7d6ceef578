"""Pages of a list call that has no filter."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from localcloud.errors import invalid

Json = dict[str, Any]


def page(items: Sequence[Any], params: Mapping[str, str], key: str, largest: int) -> Json:
    """Return one page under `key`, with a `nextPageToken` when there is more; raises `ApiError` 400.

    `largest` is the most that a page holds, and what it holds when the call does not say.
    """
    size = int(params.get("pageSize", "0"))
    if size < 0:
        raise invalid(f"Invalid page size: {size}. It must not be negative.")
    size = min(size, largest) or largest
    first = _first(params.get("pageToken", ""))
    answer: Json = {key: list(items[first : first + size])} if first < len(items) else {}
    if first + size < len(items):
        answer["nextPageToken"] = base64.urlsafe_b64encode(f"from {first + size}".encode()).decode()
    return answer


def _first(token: str) -> int:
    if not token:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token).decode().removeprefix("from "))
    except ValueError:
        raise invalid(f"Invalid page token: '{token}'.") from None
