"""Resources and headers as Cloud Storage shows them. Pure."""

from __future__ import annotations

import base64
from urllib.parse import quote

from localcloud.core.iam import PROJECT_NUMBER
from localcloud.core.service import Json
from localcloud.services.storage.state_index import METAGENERATION, Version

_NO_CACHE = "no-cache, no-store, max-age=0, must-revalidate"
# Characters of custom metadata that a header carries as they are.
_PLAIN_IN_HEADERS = " !#$&'()*+,/:;=?@[]\"<>{}|^`~"


def object_name(bucket: str, name: str) -> str:
    """Return an object's resource name for IAM."""
    return f"projects/_/buckets/{bucket}/objects/{name}"


def bucket_name(bucket: str) -> str:
    """Return a bucket's resource name for IAM."""
    return f"projects/_/buckets/{bucket}"


def object_etag(version: Version) -> str:
    """Return the etag of an object's version."""
    return _etag(version.generation, METAGENERATION)


def object_view(version: Version) -> Json:
    """Return an Object resource, without links."""
    fields = version.fields
    return {
        "kind": "storage#object",
        "id": f"{version.bucket}/{version.name}/{version.generation}",
        "name": version.name,
        "bucket": version.bucket,
        "generation": str(version.generation),
        "metageneration": str(METAGENERATION),
        "etag": object_etag(version),
        "timeStorageClassUpdated": fields["timeCreated"],
        "timeFinalized": fields["timeCreated"],
        **fields,
    }


def uniform_access(settings: Json) -> bool:
    """True if a bucket of these settings has uniform bucket-level access, which is off unless somebody asks for it."""
    access = settings.get("iamConfiguration", {}).get("uniformBucketLevelAccess", {})
    return bool(access.get("enabled"))


def bucket_view(name: str, record: Json) -> Json:
    """Return a Bucket resource, without links. `record` is what the store keeps of the bucket."""
    settings = {"location": "US-CENTRAL1", "storageClass": "STANDARD"} | record["settings"]
    access = {"uniformBucketLevelAccess": {"enabled": False}, "publicAccessPrevention": "enforced"}
    return {
        "kind": "storage#bucket",
        "id": name,
        "name": name,
        "projectNumber": PROJECT_NUMBER,
        "locationType": "region",
        "metageneration": str(record["metageneration"]),
        "etag": _etag(name, record["metageneration"]),
        "timeCreated": record["timeCreated"],
        "updated": record["updated"],
        **settings,
        "location": settings["location"].upper(),
        "iamConfiguration": access | settings.get("iamConfiguration", {}),
    }


def layout_view(name: str, record: Json) -> Json:
    """Return a bucket's storage layout, which gcloud asks for before it copies or removes folders."""
    bucket = bucket_view(name, record)
    return {
        "kind": "storage#storageLayout",
        "bucket": name,
        "location": bucket["location"],
        "locationType": bucket["locationType"],
        "hierarchicalNamespace": {"enabled": False},
    }


def with_links(answer: Json, base: str) -> Json:
    """Return an answer whose resources have links that begin with `base`, the address of the request."""
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


def download_headers(version: Version) -> dict[str, str]:
    """Return the headers of a download that come from the object's fields."""
    fields = version.fields
    hashes = [
        f"{key}={fields[name]}" for key, name in (("crc32c", "crc32c"), ("md5", "md5Hash")) if name in fields
    ]
    optional = {
        "Content-Encoding": fields.get("contentEncoding"),
        "Content-Language": fields.get("contentLanguage"),
        "Content-Disposition": fields.get("contentDisposition"),
    }
    custom = {
        f"X-Goog-Meta-{quote(key)}": quote(text, safe=_PLAIN_IN_HEADERS)
        for key, text in fields.get("metadata", {}).items()
    }
    return {
        "Content-Type": _in_header(fields["contentType"]),
        "Cache-Control": _in_header(fields.get("cacheControl", _NO_CACHE)),
        "Accept-Ranges": "bytes",
        "ETag": _etag(version.generation, METAGENERATION),
        "X-Goog-Generation": str(version.generation),
        "X-Goog-Metageneration": str(METAGENERATION),
        "X-Goog-Storage-Class": fields["storageClass"],
        "X-Goog-Hash": ",".join(hashes),
        "X-Goog-Stored-Content-Encoding": _in_header(fields.get("contentEncoding", "identity")),
        "X-Goog-Stored-Content-Length": fields["size"],
        **{name: _in_header(value) for name, value in optional.items() if value},
        **custom,
    }


def _in_header(value: str) -> str:
    """Return a value whose UTF-8 bytes the HTTP server sends: it writes each character of a header as one byte."""
    return value.encode().decode("latin-1")


def _etag(version: object, metageneration: int) -> str:
    """Return a text that changes with each version and each metageneration."""
    return base64.b64encode(f"{version}/{metageneration}".encode()).decode()
