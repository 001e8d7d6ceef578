"""Makes the content of a kernel's output message fit the notebook format, which would otherwise end the run. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

from builder.strict_json import is_deeper

DISPLAYS = {"display_data", "execute_result", "update_display_data"}
# nbformat allows any JSON for these media types, and text only for the others.
JSON_TYPE = re.compile(r"application/(.*\+)?json")
# The executed notebook may have 200 levels, and an output is four levels down.
MAX_DEPTH = 190
COMMS = {"comm_open", "comm_msg", "comm_close"}


def fit(kind: str, content: dict[str, Any]) -> list[str]:
    """Change the content of a message of this kind where the notebook format refuses it; return what was changed."""
    if kind in DISPLAYS:
        return _fit_display(content)
    if kind in COMMS and not _is_widgets(content.get("data")):
        content["data"] = {}
    if kind == "stream":
        content["text"] = _text(content.get("text"))
    elif kind == "error":
        frames = content.get("traceback")
        content["traceback"] = [_text(frame) for frame in (frames if isinstance(frames, list) else [frames])]
        content.update({name: _text(content.get(name)) for name in ("ename", "evalue")})
    return []


def _is_widgets(data: Any) -> bool:
    """Return True if nbclient can take the data of a comm. A library's own comm can send any JSON."""
    return isinstance(data, dict) and isinstance(data.get("state", {}), dict)


def _fit_display(content: dict[str, Any]) -> list[str]:
    data = content.get("data")
    fitted: dict[str, Any] = {}
    changed: list[str] = []
    for media, value in data.items() if isinstance(data, dict) else [("text/plain", data)]:
        if value is None and not JSON_TYPE.fullmatch(media):
            continue  # as good as not given
        fitted[media] = _fit_value(media, value)
        if fitted[media] != value:
            changed.append(media)
    content["data"] = fitted
    if not isinstance(content.get("metadata"), dict):
        content["metadata"] = {}
    return changed


def _fit_value(media: str, value: Any) -> Any:
    if JSON_TYPE.fullmatch(media) and not is_deeper(value, MAX_DEPTH):
        return value
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return [_text(line) for line in value]
    return _text(value)


def _text(value: Any) -> str:
    """Return text that a file can hold; anything else as its JSON."""
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "(nested too deeply for a notebook)"
    return text.encode("utf-8", "backslashreplace").decode()
