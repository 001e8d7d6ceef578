"""What a secret may look like: labels, aliases, replication, times. Pure; the limits are those of Google's documentation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from localcloud.errors import invalid, unimplemented

Json = dict[str, Any]

_NOT_COVERED = (
    "secretType",
    "rotation",
    "topics",
    "tags",
    "customerManagedEncryption",
    "versionDestroyTtl",
)
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
_ANNOTATION_KEY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_REGION = re.compile(r"[a-z]+-[a-z]+\d{1,2}")
_RESERVED_ALIASES = ("latest", "NEW")
_MOST_LABELS = 64
_MOST_ALIASES = 50
_ANNOTATIONS_BYTES = 16 * 1024
_LONGEST_LABEL = 63
_LONGEST_LABEL_BYTES = 128
_SOONEST_EXPIRY = 60.0
_LATEST_EXPIRY = 100 * 365 * 86_400.0


def check_fields(body: Json) -> None:
    """Raise `ApiError` 501 for what localcloud does not do with a secret, such as to rotate it."""
    for key in _NOT_COVERED:
        if body.get(key) and body[key] != "SECRET_TYPE_UNSPECIFIED":
            raise unimplemented(f"localcloud does not implement the field '{key}' of a secret.")


def check_metadata(
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    aliases: Mapping[str, str],
    versions: Collection[str],
) -> None:
    """Raise `ApiError` 400 with all that is wrong; `versions` are the numbers that an alias may name."""
    problems = [*_labels(labels), *_annotations(annotations), *_aliases(aliases, versions)]
    if problems:
        raise invalid(" ".join(problems))


def replication(body: Json) -> Json:
    """Return where a new secret is kept; raises `ApiError` 400 unless it is said in one of the two ways."""
    wanted = body.get("replication") or {}
    kinds = [kind for kind in ("automatic", "userManaged") if wanted.get(kind) is not None]
    if len(kinds) != 1:
        raise invalid("Field [secret.replication] must have exactly one of 'automatic' and 'userManaged'.")
    if kinds == ["automatic"]:
        _check_encryption(wanted["automatic"])
        return {"automatic": {}}
    replicas = wanted["userManaged"].get("replicas") or []
    locations = [replica.get("location") or "" for replica in replicas]
    for replica in replicas:
        _check_encryption(replica)
    if not locations or len(set(locations)) < len(locations) or not all(map(_REGION.fullmatch, locations)):
        raise invalid(
            "Field [secret.replication.userManaged.replicas] must name one or more regions, each once, such as "
            f"us-east1; given: {locations}."
        )
    return {"userManaged": {"replicas": [{"location": location} for location in locations]}}


def expiry(time: str | None, ttl: str | None, now: float) -> float | None:
    """Return when a secret expires, in seconds since the epoch, by its `expireTime` or `ttl`; raises `ApiError` 400."""
    if time is not None and ttl is not None:
        raise invalid(
            "Invalid value at 'secret' (oneof), oneof field 'expiration' is already set. Cannot set 'ttl'"
        )
    if ttl is not None:
        expires = now + float(ttl.removesuffix("s"))
    elif time is not None:
        expires = moment(time)
    else:
        return None
    if not _SOONEST_EXPIRY <= round(expires - now, 3) <= _LATEST_EXPIRY:
        raise invalid(
            "The secret's expiration must be at least 60 seconds and at most 100 years in the future."
        )
    return expires


def moment(text: str) -> float:
    """Return a time such as "2026-07-01T12:00:00Z" in seconds since the epoch; raises `ApiError` 400."""
    try:
        found = datetime.fromisoformat(text.upper())
    except ValueError:
        raise invalid(f"Invalid time: '{text}'.") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def mask(text: str, changeable: Collection[str]) -> set[str]:
    """Return the fields that an update mask names, in camel case; raises `ApiError` 400 for others, and for none."""
    paths = {re.sub(r"_(\w)", lambda part: part[1].upper(), path.strip()) for path in text.split(",")} - {""}
    if not paths:
        raise invalid("Field [update_mask] is required: it names the fields to be updated.")
    check_fields(dict.fromkeys(paths, "named"))
    fixed = sorted(paths - set(changeable))
    if fixed:
        raise invalid(f"Field [update_mask] names fields that cannot be updated: {', '.join(fixed)}.")
    return paths


def _check_encryption(place: Json) -> None:
    if place.get("customerManagedEncryption"):
        raise unimplemented("localcloud does not implement customerManagedEncryption.")


def _labels(labels: Mapping[str, str]) -> Iterator[str]:
    if len(labels) > _MOST_LABELS:
        yield f"Field [secret.labels] has {len(labels)} labels; at most {_MOST_LABELS} are allowed."
    for key, value in labels.items():
        if not (key and unicodedata.category(key[0]) in {"Ll", "Lo"} and _is_label_text(key)):
            yield f"Field [secret.labels] has the invalid key [{key}]."
        if not _is_label_text(value):
            yield f"Field [secret.labels] has the invalid value [{value}] for the key [{key}]."


def _is_label_text(text: str) -> bool:
    kinds = (unicodedata.category(char) for char in text if char not in "_-")
    fitting = all(kind in {"Ll", "Lo"} or kind.startswith("N") for kind in kinds)
    return fitting and len(text) <= _LONGEST_LABEL and len(text.encode()) <= _LONGEST_LABEL_BYTES


def _annotations(annotations: Mapping[str, str]) -> Iterator[str]:
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size >= _ANNOTATIONS_BYTES:
        yield f"Field [secret.annotations] has {size} bytes; it must have less than 16KiB."
    for key in annotations:
        if not _ANNOTATION_KEY.fullmatch(key):
            yield f"Field [secret.annotations] has the invalid key [{key}]."


def _aliases(aliases: Mapping[str, str], versions: Collection[str]) -> Iterator[str]:
    if len(aliases) > _MOST_ALIASES:
        yield f"Field [secret.version_aliases] has {len(aliases)} aliases; at most {_MOST_ALIASES} are allowed."
    for alias, version in aliases.items():
        if not _ALIAS.fullmatch(alias) or alias in _RESERVED_ALIASES:
            yield f"Field [secret.version_aliases] has the invalid alias [{alias}]."
        if version not in versions:
            yield f"Field [secret.version_aliases]: the alias [{alias}] names version [{version}], which does not exist."
