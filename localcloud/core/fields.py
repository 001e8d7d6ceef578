"""Partial responses: the `fields` parameter, such as `items(name,size),nextPageToken`. Pure."""

from __future__ import annotations

import re
from typing import Any

from localcloud.core.errors import invalid
from localcloud.core.service import Json

# A selection maps each wanted key ("*" is any) to what is wanted of its value; empty is all of it.
Selection = dict[str, "Selection"]

_TOKEN = re.compile(r"\s*([(),/]|[^(),/\s]+)\s*")


def partial(answer: Json, fields: str | None) -> Json:
    """Return the answer with only the fields asked for; raises Google's 400 for a text that cannot be read."""
    if not fields:
        return answer
    result = _keep(answer, _parsed(fields))
    return result if isinstance(result, dict) else {}


def _keep(value: Any, selection: Selection) -> Any:
    if not selection:
        return value
    if isinstance(value, list):
        return [_keep(item, selection) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for key, item in value.items():
        chosen = selection.get(key, selection.get("*"))
        if chosen is not None:
            kept[key] = _keep(item, chosen)
    return kept


def _parsed(text: str) -> Selection:
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != re.sub(r"\s", "", text):
        raise _unreadable(text)
    try:
        selection = _list(tokens, text)
    except RecursionError:
        raise _unreadable(text) from None
    if tokens:
        raise _unreadable(text)
    return selection


def _list(tokens: list[str], text: str) -> Selection:
    """Read `path,path,…` up to a closing bracket or the end."""
    selection: Selection = {}
    while True:
        _path(tokens, selection, text)
        if not tokens or tokens[0] != ",":
            return selection
        tokens.pop(0)


def _path(tokens: list[str], selection: Selection, text: str) -> None:
    """Read `name`, `name/path` or `name(list)` into the selection."""
    if not tokens or tokens[0] in "(),/":
        raise _unreadable(text)
    below = selection.setdefault(tokens.pop(0), {})
    if tokens and tokens[0] == "/":
        tokens.pop(0)
        _path(tokens, below, text)
    elif tokens and tokens[0] == "(":
        tokens.pop(0)
        below.update(_list(tokens, text))
        if not tokens or tokens.pop(0) != ")":
            raise _unreadable(text)


def _unreadable(text: str) -> Exception:
    return invalid(f"Invalid field selection {text}", "invalidParameter")
