"""Pages of list calls: one paginator for every service."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from localcloud.core.errors import invalid

Json = dict[str, Any]


def page(
    items: Sequence[Any],
    params: Mapping[str, str],
    key: str,
    largest: int,
    *,
    default: int | None = None,
    size: str = "pageSize",
    clamp: bool = True,
) -> Json:
    """Return one page of `items` under `key`, with a `nextPageToken` when more follow.

    `largest` is the most items that a page holds, `default` how many it holds when the call does not say (None: as many
    as possible), `size` the call's parameter for it; a larger number is lowered, or refused without `clamp`. An empty
    page has no `key`. Raises `ApiError` 400.
    """
    wanted = int(params.get(size) or 0)
    if wanted < 0 or (wanted > largest and not clamp):
        raise invalid(
            f"Invalid value for field '{size}': '{wanted}'. Value must be in the range [0, {largest}]."
        )
    count = min(wanted or default or largest, largest)
    first = _first(params.get("pageToken", ""), items)
    chosen = list(items[first : first + count])
    answer: Json = {key: chosen} if chosen else {}
    if first + count < len(items):
        answer["nextPageToken"] = _token(first + count, chosen[-1])
    return answer


def _token(following: int, last: object) -> str:
    return base64.urlsafe_b64encode(f"{following} {_name(last)}".encode()).decode()


def _first(token: str, items: Sequence[object]) -> int:
    """Return the index at which a page begins: after the last page's last item, wherever that is now.

    If that item is gone, the page begins at its old place.
    """
    if not token:
        return 0
    try:
        place, _, last = base64.urlsafe_b64decode(token).decode().partition(" ")
        following = int(place)
    except ValueError:
        raise invalid(f"Invalid page token: '{token}'.") from None
    return next((at + 1 for at, item in enumerate(items) if _name(item) == last), following)


def _name(item: object) -> str:
    """Return the identity of a list's item: a resource's link or name, or the item itself."""
    if isinstance(item, Mapping):
        return str(item.get("selfLink") or item.get("name") or item.get("id"))
    return str(item)
