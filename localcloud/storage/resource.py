"""The Object resource as Google describes it, from what fake-gcs-server says and what the index remembers. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote

from localcloud.errors import ApiError, invalid, unimplemented
from localcloud.service import Json

# What a caller may set; all else is the server's.
EDITABLE = (
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
    "contentType",
    "customTime",
    "metadata",
)
_DESCRIBED = (*EDITABLE, "crc32c", "md5Hash", "storageClass", "timeCreated", "updated")
_BEYOND = ("eventBasedHold", "temporaryHold", "retention", "customerEncryption", "kmsKeyName", "contexts")
_ACLS = ("predefinedAcl", "destinationPredefinedAcl")
_KEYS = ("kmsKeyName", "destinationKmsKeyName")


def record(generation: str, metageneration: int, fields: Json) -> Json:
    """Return what the index keeps of one version: `fields` are the resource's own, all but the names and links."""
    return {"generation": generation, "metageneration": metageneration, "fields": fields}


def resource(bucket: str, name: str, described: Json, remembered: Json | None) -> Json:
    """Return the Object resource, without its links. A record of another generation does not count."""
    generation = str(described["generation"])
    if remembered is not None and remembered["generation"] == generation:
        metageneration, fields = int(remembered["metageneration"]), remembered["fields"]
    else:
        metageneration, fields = 1, {key: described[key] for key in _DESCRIBED if described.get(key)}
    times = {"timeStorageClassUpdated": fields["timeCreated"], "timeFinalized": fields["timeCreated"]}
    fixed: Json = {
        "kind": "storage#object",
        "id": f"{bucket}/{name}/{generation}",
        "name": name,
        "bucket": bucket,
        "generation": generation,
        "metageneration": str(metageneration),
        "etag": etag(generation, metageneration),
    }
    size = {"size": str(described.get("size", "0"))}
    return {**fixed, **times, **size, **fields}


def own_fields(current: Json) -> Json:
    """Return what the index keeps of a resource's present version."""
    return {key: current[key] for key in (*_DESCRIBED, "componentCount") if key in current}


def etag(generation: str, metageneration: int) -> str:
    """Return a text that changes with each version, and with each change of a version's metadata."""
    return base64.b64encode(f"{generation}/{metageneration}".encode()).decode()


def editable(body: Json) -> Json:
    """Return what a caller sets in a new object; raises a 400 or 501 for what cannot be set here."""
    for key in _BEYOND:
        if body.get(key):
            raise unimplemented(f"localcloud's storage has no {key}; see localcloud/README.md")
    if body.get("acl"):
        raise _no_acl()
    chosen = {key: body[key] for key in EDITABLE if body.get(key) is not None}
    if "metadata" in chosen:
        chosen["metadata"] = _metadata(chosen["metadata"])
    return chosen


def check_params(params: Mapping[str, str]) -> None:
    """Raise Google's 400 for an ACL, as buckets here have uniform bucket-level access; and a 501 for a key of one's own."""
    if any(params.get(key) for key in _ACLS):
        raise _no_acl()
    for key in _KEYS:
        if params.get(key):
            raise unimplemented(f"localcloud's storage has no {key}; see localcloud/README.md")


def patched(fields: Json, body: Json) -> Json:
    """Return an object's fields after a PATCH: null removes a field, or a key of the custom metadata."""
    editable(body)
    result = {
        key: value for key, value in fields.items() if key not in EDITABLE or body.get(key, value) is not None
    }
    for key in EDITABLE:
        if body.get(key) is not None:
            result[key] = body[key]
    if isinstance(body.get("metadata"), dict):
        merged = fields.get("metadata", {}) | body["metadata"]
        result["metadata"] = _metadata({key: value for key, value in merged.items() if value is not None})
        if not result["metadata"]:
            del result["metadata"]
    return result


def replaced(fields: Json, body: Json) -> Json:
    """Return an object's fields after a PUT, which drops whatever it does not name."""
    return {key: value for key, value in fields.items() if key not in EDITABLE} | editable(body)


def with_links(answer: Json, base: str) -> Json:
    """Return the answer with each resource's links, which lead to the address the caller used."""
    linked = dict(answer)
    if "resource" in answer:
        linked["resource"] = with_links(answer["resource"], base)
    if "items" in answer:
        linked["items"] = [with_links(item, base) for item in answer["items"]]
    if answer.get("kind") == "storage#bucket":
        linked["selfLink"] = f"{base}/storage/v1/b/{quote(answer['name'], safe='')}"
    if answer.get("kind") == "storage#object":
        path = f"storage/v1/b/{quote(answer['bucket'], safe='')}/o/{quote(answer['name'], safe='')}"
        linked["selfLink"] = f"{base}/{path}"
        linked["mediaLink"] = f"{base}/download/{path}?generation={answer['generation']}&alt=media"
    return linked


def timestamp(seconds: float) -> str:
    """Return a time as Cloud Storage prints it: RFC 3339 in UTC, with milliseconds."""
    moment = datetime.fromtimestamp(seconds, tz=UTC).isoformat(timespec="milliseconds")
    return moment.replace("+00:00", "Z")


def _metadata(value: object) -> Json:
    if not isinstance(value, dict) or not all(isinstance(text, str | None) for text in value.values()):
        raise invalid("Invalid value for metadata: its values must be texts.")
    return {key: text for key, text in value.items() if text is not None}


def _no_acl() -> ApiError:
    return invalid(
        "Cannot insert legacy ACL for an object when uniform bucket-level access is enabled. Read more at "
        "https://cloud.google.com/storage/docs/uniform-bucket-level-access"
    )
