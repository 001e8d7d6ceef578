"""Resource URLs of Compute Engine: their printed form, and the accepted forms."""

from __future__ import annotations

import re

_BASE = "https://www.googleapis.com/compute/v1/"
_HOST = re.compile(r"https?://[^/]+/(?:compute/)?(?:v1|beta|alpha|\$CURRENT_VERSION)/")


def link(path: str) -> str:
    """Return the full URL of a resource path ("projects/P/zones/Z"), as Google prints it."""
    return _BASE + path


def parse(value: str, template: str) -> dict[str, str] | None:
    """Return the parts of a resource URL; None if it does not have the form of `template`.

    `template` is a path below the project, as "zones/{zone}/machineTypes/{name}". Full URLs, "projects/P/..."
    and the path below the project are accepted, as on Google; "project" is returned only if named.
    """
    path = _HOST.sub("", value, count=1).lstrip("/")
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template)
    found = re.fullmatch(rf"(?:projects/(?P<project>[^/]+)/)?{pattern}", path)
    return None if found is None else {k: v for k, v in found.groupdict().items() if v is not None}


def last(value: str) -> str:
    """Return the last segment of a resource URL, which is the resource's own name."""
    return value.rsplit("/", 1)[-1]
