"""Checks of request bodies that several services share: labels, bytes, and fields that are not covered. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Mapping
from typing import Any

from localcloud.core.errors import unimplemented

Json = dict[str, Any]

_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_MAX_LABELS = 64


def label_problem(labels: Mapping[str, str]) -> str | None:
    """Return the first fault of a resource's labels, as a sentence; None without one."""
    if len(labels) > _MAX_LABELS:
        return f"There are {len(labels)} labels; at most {_MAX_LABELS} are allowed."
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
            return f"'{key}: {value}' is no label."
    return None


def decoded(text: str | None) -> bytes:
    """Return the bytes of a field in base64, which may be URL-safe and lack its padding."""
    plain = (text or "").replace("-", "+").replace("_", "/").rstrip("=")
    return base64.b64decode(plain + "=" * (-len(plain) % 4))


def without_nulls(value: Any) -> Any:
    """Return a JSON value without the fields that are null, which means "not set"."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def check_covered(body: Json, not_covered: Collection[str], resource: str, prefix: str = "") -> None:
    """Raise `ApiError` 501 for the first field of a body that has a value and is not covered.

    The message names `resource` ("topic"), and the field after `prefix` ("buildConfig.").
    """
    for field in not_covered:
        if body.get(field):
            raise unimplemented(f"localcloud does not implement the field '{prefix}{field}' of a {resource}.")
