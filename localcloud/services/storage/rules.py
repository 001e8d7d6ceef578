"""Checks that need no state: names, preconditions, and the fields that a caller may set. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from localcloud.core.errors import ApiError, invalid
from localcloud.core.service import Json
from localcloud.services.storage.refusals import NotModified, condition_not_met, no_acl, not_covered

_MAX_OBJECT = 1024
_MIN_BUCKET, _MAX_LABEL, _MAX_DOTTED = 3, 63, 222
_LABEL = r"[a-z0-9](?:[-_a-z0-9]{0,61}[a-z0-9])?"
_BUCKET = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")

# The fields of an object that a caller may set. The server sets all others.
OBJECT_FIELDS = (
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
    "contentType",
    "customTime",
    "metadata",
    "storageClass",
)
# Those that a download has as headers.
_HEADER_FIELDS = ("cacheControl", "contentDisposition", "contentEncoding", "contentLanguage", "contentType")
# Fields that a caller may set in a new bucket, and those that it may change later.
BUCKET_FIELDS = ("labels", "location", "storageClass", "iamConfiguration")
BUCKET_CHANGES = ("labels", "iamConfiguration")
# Fields of a bucket that Google's clients send, and that have no effect here.
_BUCKET_IGNORED = ("name", "kind", "softDeletePolicy")

_OBJECT_NOT_COVERED = (
    "eventBasedHold",
    "temporaryHold",
    "retention",
    "customerEncryption",
    "kmsKeyName",
    "contexts",
)
_ACLS = ("predefinedAcl", "destinationPredefinedAcl")
_PARAMS_NOT_COVERED = (
    "kmsKeyName",
    "destinationKmsKeyName",
    "softDeleted",
    "filter",
    "matchGlob",
    "includeTrailingDelimiter",
)


def check_bucket_name(name: str) -> None:
    """Raise Google's 400 for a name that no bucket may have.

    Source: cloud.google.com/storage/docs/buckets#naming.
    """
    if not is_bucket_name(name):
        raise invalid(f"Invalid bucket name: '{name}'")


def is_bucket_name(name: str) -> bool:
    """True if a bucket may have this name. Such a name is always a valid name of one folder."""
    longest = _MAX_DOTTED if "." in name else _MAX_LABEL
    reserved = name.startswith("goog") or "google" in name or _ADDRESS.fullmatch(name)
    return _MIN_BUCKET <= len(name) <= longest and not reserved and _BUCKET.fullmatch(name) is not None


def check_object_name(name: str) -> None:
    """Raise Google's 400 for a name that no object may have.

    Source: cloud.google.com/storage/docs/objects#naming.
    """
    if not name:
        raise ApiError(400, "required", "Required parameter: name")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise invalid(f"Object name {name!r} is not valid UTF-8.") from None
    if size > _MAX_OBJECT:
        raise invalid(
            f"The maximum object length is {_MAX_OBJECT} characters, but got a name with {size} characters: "
            f"''{name[:128]}...''"
        )
    if "\r" in name or "\n" in name:
        raise invalid(f"Disallowed unicode characters present in object name {name!r}")
    if name in {".", ".."} or name.startswith(".well-known/acme-challenge/"):
        raise invalid(f"Invalid object name: '{name}'")


def is_object_name(name: str) -> bool:
    """True if an object may have this name."""
    try:
        check_object_name(name)
    except ApiError:
        return False
    return True


@dataclass(frozen=True)
class Conditions:
    """The preconditions of a request on a generation and a metageneration. None means "no condition"."""

    generation_match: int | None = None
    generation_not_match: int | None = None
    metageneration_match: int | None = None
    metageneration_not_match: int | None = None

    @classmethod
    def of(cls, params: Mapping[str, object], prefix: str = "if") -> Conditions:
        """Return the conditions in query parameters. `prefix` is "ifSource" for the source of a copy."""
        names = ("GenerationMatch", "GenerationNotMatch", "MetagenerationMatch", "MetagenerationNotMatch")
        return cls(*(whole_number(params, prefix + name) for name in names))

    def check_write(self, generation: int, metageneration: int) -> None:
        """Raise a 412 unless all conditions hold. Both numbers are 0 for an object that does not exist."""
        if not self._match(generation, metageneration) or not self._differ(generation, metageneration):
            raise condition_not_met()

    def check_read(self, generation: int, metageneration: int) -> None:
        """Raise a 412 if a "match" fails, and `NotModified` if a "not match" fails."""
        if not self._match(generation, metageneration):
            raise condition_not_met()
        if not self._differ(generation, metageneration):
            raise NotModified

    def _match(self, generation: int, metageneration: int) -> bool:
        return self.generation_match in {None, generation} and self.metageneration_match in {
            None,
            metageneration,
        }

    def _differ(self, generation: int, metageneration: int) -> bool:
        return self.generation_not_match != generation and self.metageneration_not_match != metageneration


def check_etag(headers: Mapping[str, str], etag: str, *, reading: bool) -> None:
    """Raise a 412 unless If-Match fits the present etag; and `NotModified`, or a 412, if If-None-Match fits it."""
    if "if-match" in headers and not _names(headers["if-match"], etag):
        raise condition_not_met()
    if "if-none-match" in headers and _names(headers["if-none-match"], etag):
        raise NotModified if reading else condition_not_met()


def _names(header: str, etag: str) -> bool:
    """True if a header is "*" or lists the etag, with or without quotation marks."""
    return {"*", etag} & {each.strip().removeprefix("W/").strip('"') for each in header.split(",")} != set()


def whole_number(params: Mapping[str, object], name: str) -> int | None:
    """Return an int64 parameter or field, None if it is absent; raises Google's 400."""
    if params.get(name) is None:
        return None
    text = str(params[name])
    if not text.isascii() or not text.isdigit():
        raise invalid(f"Invalid value for {name}: '{text}'. It must be a whole number.", "invalidParameter")
    return int(text)


def check_params(params: Mapping[str, str]) -> None:
    """Raise Google's 400 for an ACL, and a 501 for a parameter that localcloud does not cover."""
    if any(params.get(key) for key in _ACLS):
        raise no_acl()
    for key in _PARAMS_NOT_COVERED:
        if params.get(key, "false") not in {"", "false"}:
            raise not_covered(key)


def object_fields(body: Json) -> Json:
    """Return the fields that a caller sets in a new object; raises a 400 or 501 for what nobody can set."""
    for key in _OBJECT_NOT_COVERED:
        if body.get(key):
            raise not_covered(key)
    if body.get("acl"):
        raise no_acl()
    fields = {key: body[key] for key in OBJECT_FIELDS if body.get(key) is not None}
    if "metadata" in fields:
        fields["metadata"] = {key: text for key, text in fields["metadata"].items() if text is not None}
    return fields


def check_headers(fields: Json) -> None:
    """Raise a 400 for a field that no header of a download can carry."""
    for key in _HEADER_FIELDS:
        if _CONTROL.search(fields.get(key, "")):
            raise invalid(f"Invalid value for '{key}': it has a control character.")


def bucket_fields(body: Json, settable: tuple[str, ...]) -> Json:
    """Return the `settable` fields of a request's body; raises a 501 for a field with a value that would be lost."""
    for key, value in body.items():
        if value and key not in {*settable, *_BUCKET_IGNORED}:
            raise not_covered(f"{key} of buckets")
    return {key: body[key] for key in settable if key in body}


def merged(fields: Json, change: Json) -> Json:
    """Return fields after a PATCH: null removes a field, an object is merged field by field."""
    result = dict(fields)
    for key, value in change.items():
        if isinstance(value, dict):
            result[key] = merged(fields.get(key) or {}, value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result
