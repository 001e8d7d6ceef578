"""Which bucket and object names are accepted: Google's own rules, and what the file system under localcloud cannot hold. Pure."""

from __future__ import annotations

import re

from localcloud.errors import ApiError, invalid

_MAX_NAME = 1024
# The longest name of one file on the file systems of Linux.
_MAX_SEGMENT = 255

_MIN_BUCKET, _MAX_LABEL, _MAX_DOTTED = 3, 63, 222
_LABEL = r"[a-z0-9](?:[-_a-z0-9]{0,61}[a-z0-9])?"
_BUCKET = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")


def check_bucket(name: str) -> None:
    """Raise Google's 400 for a name that no new bucket may have.

    Source: cloud.google.com/storage/docs/buckets#naming.
    """
    longest = _MAX_DOTTED if "." in name else _MAX_LABEL
    length_ok = _MIN_BUCKET <= len(name) <= longest
    reserved = name.startswith("goog") or "google" in name or _ADDRESS.fullmatch(name)
    if not length_ok or reserved or not _BUCKET.fullmatch(name):
        raise invalid(f"Invalid bucket name: '{name}'")


def is_bucket(name: str) -> bool:
    """Tell whether a bucket of this name could exist."""
    try:
        check_bucket(name)
    except ApiError:
        return False
    return True


def check_object(name: str) -> None:
    """Raise a 400 for a name that Google refuses, or that localcloud's plain files cannot hold.

    Source of Google's part: cloud.google.com/storage/docs/objects#naming.
    """
    _check_google(name)
    limit = _beyond_files(name)
    if limit:
        message = (
            f"localcloud keeps each object as a plain file of its name and cannot hold {name!r}: {limit}. "
            "Cloud Storage itself accepts this name; use another one to run locally."
        )
        raise invalid(message)


def _check_google(name: str) -> None:
    if not name:
        raise ApiError(400, "required", "Required parameter: name")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise invalid(f"Object name {name!r} is not valid UTF-8.") from None
    if size > _MAX_NAME:
        raise invalid(
            f"The maximum object length is {_MAX_NAME} characters, but got a name with {size} characters: "
            f"''{name[:128]}...''"
        )
    if "\r" in name or "\n" in name:
        raise invalid(f"Disallowed unicode characters present in object name {name!r}")
    if name in {".", ".."} or name.startswith(".well-known/acme-challenge/"):
        raise invalid(f"Invalid object name: '{name}'")


def _beyond_files(name: str) -> str | None:
    """Say what in the name a path cannot express, if anything."""
    if "\0" in name:
        return "it has a NUL byte"
    # One slash at the end is a folder's placeholder, which is kept under an alias.
    for segment in name.removesuffix("/").split("/"):
        if segment == "":
            return "it has an empty segment ('//', or a slash in front)"
        if segment in {".", ".."}:
            return f"it has the segment '{segment}'"
        if len(segment.encode()) > _MAX_SEGMENT:
            return f"it has a segment of more than {_MAX_SEGMENT} bytes"
    return None
