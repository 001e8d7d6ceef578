"""Types of option values that name Google Cloud's resources: a wrong name is found before the first call.

Each rule is the one in the API's own documentation. Only the APIs know whether a resource exists.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from builder.model import Accelerator, GcsLocation
from builder.options.values import (
    PAIRS,
    TEXT,
    InvalidValue,
    ValueType,
    key_values,
    matching,
    parse_each,
    parse_text,
)

RESOURCE = r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?"  # Compute Engine's names: RFC 1035, 63 characters
REGION = r"[a-z]{2,20}-[a-z]{2,20}[0-9]{1,2}"
PROJECT = r"(?:[a-z0-9.-]{1,63}:)?[a-z][-a-z0-9]{4,28}[a-z0-9]"
_API = r"(?:https://[a-z0-9.-]+/compute/v1/)?"
_RESERVED_LABELS = "nb-"
_MAX_LABELS = 59  # 64 per resource; five are the tool's own
_MAX_PREFIX = 200
_MIN_BUCKET, _MAX_BUCKET, _MAX_DOTTED_BUCKET = 3, 63, 222

project = matching(f"{PROJECT}|[0-9]{{6,20}}", "expected a project's ID, such as my-project-123")
zone_or_region = matching(
    rf"{REGION}(?:-(?:[a-z]|ai[0-9][a-z]))?",
    "expected a zone such as us-central1-a, or a region such as us-central1",
)
machine_type = matching(
    r"(?=.{3,63}\Z)[a-z][a-z0-9]*(?:-[a-z0-9]+)+",
    "expected a machine type's bare name, such as e2-standard-4",
)
image = matching(RESOURCE, "expected an image's bare name; its project goes into NB_IMAGE_PROJECT")
image_family = matching(
    RESOURCE, "expected a family's bare name, such as common-cu129-ubuntu-2404-nvidia-580"
)
network = matching(
    rf"{RESOURCE}|{_API}(?:projects/{PROJECT}/)?global/networks/{RESOURCE}",
    "expected a network's name, or projects/PROJECT/global/networks/NAME",
)
subnetwork = matching(
    rf"{RESOURCE}|{_API}(?:projects/{PROJECT}/)?regions/{REGION}/subnetworks/{RESOURCE}",
    "expected a subnetwork's name, or projects/PROJECT/regions/REGION/subnetworks/NAME",
)
# 6 to 30 characters: IAM's projects.serviceAccounts.create
_SERVICE_ACCOUNT_ID = r"[a-z](?=[-a-z0-9]{5,29}@)[-a-z0-9]*[a-z0-9]"
_DOMAIN_PROJECT = r"[a-z][-a-z0-9]{4,28}[a-z0-9](?:\.[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?){0,4}"
service_account = matching(
    rf"{_SERVICE_ACCOUNT_ID}@{_DOMAIN_PROJECT}\.iam\.gserviceaccount\.com"
    r"|[0-9]{1,20}-compute@developer\.gserviceaccount\.com"
    rf"|{_DOMAIN_PROJECT}@appspot\.gserviceaccount\.com",
    "expected a service account's address, such as notebook-vm@my-project.iam.gserviceaccount.com, "
    "whose name before the @ is 6 to 30 small letters, digits and dashes, a letter first",
)
region = matching(REGION, "expected a region, such as us-central1")
function = matching(
    r"[a-z](?:[-a-z0-9]{2,61}[a-z0-9])", "expected 4 to 63 small letters, digits and dashes, a letter first"
)
topic = matching(
    r"(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}",
    "expected a topic's bare name: 3 to 255 letters, digits and -._~+%, a letter first and not goog",
)
container_image = matching(
    r"[a-z0-9][-a-z0-9]*-docker\.pkg\.dev/[a-z0-9.:-]+/[a-z0-9-]+/[a-z0-9._/-]+?"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})",
    "expected an image of Artifact Registry with its tag or digest, "
    "LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE:TAG",
)
kernel = matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", "expected a kernel's name, such as python3")
run_id = matching(
    r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?",
    "expected 1 to 63 letters, digits, dashes, dots and underscores, with a letter or digit at both ends",
)

_BUCKET_PART = r"[a-z0-9](?:[-_a-z0-9]{0,61}[a-z0-9])?"
_BUCKET = rf"{_BUCKET_PART}(?:\.{_BUCKET_PART})*"
_PREFIX_PART = r"[A-Za-z0-9_][A-Za-z0-9._=+@~-]*"
_OUTPUT = r"results/<run>(?:/[A-Za-z0-9][A-Za-z0-9._=-]{0,99}){0,5}"


def _parse_gcs_location(value: object) -> GcsLocation:
    """Return the location in `gs://bucket/prefix`, with or without a slash at its end."""
    expected = "expected gs://BUCKET/PREFIX"
    address = parse_text(value)
    if not address.startswith("gs://"):
        raise InvalidValue(expected)
    bucket, _, prefix = address.removeprefix("gs://").partition("/")
    prefix = prefix.removesuffix("/")
    if not is_bucket(bucket):
        raise InvalidValue(
            f"{expected}; a bucket's name is 3 to 63 small letters, digits, dashes, underscores and dots"
        )
    if len(prefix) > _MAX_PREFIX:
        raise InvalidValue(f"{expected} with at most {_MAX_PREFIX} characters in PREFIX")
    if prefix and not all(re.fullmatch(_PREFIX_PART, part) for part in prefix.split("/")):
        raise InvalidValue(
            f"{expected}; PREFIX is names of letters, digits and ._=+@~- with one / between them"
        )
    return GcsLocation(bucket, prefix)


def is_bucket(name: str) -> bool:
    """Return True if a bucket may have this name."""
    longest = _MAX_DOTTED_BUCKET if "." in name else _MAX_BUCKET
    return (
        _MIN_BUCKET <= len(name) <= longest
        and re.fullmatch(_BUCKET, name) is not None
        and not re.fullmatch(r"[0-9]+(?:\.[0-9]+){3}", name)
        and not name.startswith("goog")
        and "google" not in name
    )


def _parse_output(value: object) -> str:
    """Return the folder of the jobs' folders below the location: `results/<run>`, or a folder below it.

    Other folders hold the results of other runs, so no option may name them.
    """
    path = parse_text(value).removesuffix("/")
    if not re.fullmatch(_OUTPUT, path):
        raise InvalidValue(
            "expected results/<run> or a folder below it, such as results/<run>/figures; <run> stands for "
            "this run's id, and versions/ is for scheduled runs alone"
        )
    return path


def _parse_accelerator(value: object) -> Accelerator:
    """Return the accelerator in `type:count`; a bare type means one."""
    match = re.fullmatch(r"([a-z][a-z0-9]*(?:-[a-z0-9]+)+)(?::([0-9]{1,2}))?", parse_text(value))
    count = int(match[2] or 1) if match else 0
    if match is None or count not in {1, 2, 4, 8}:
        raise InvalidValue("expected TYPE:COUNT with a count of 1, 2, 4 or 8, such as nvidia-tesla-t4:1")
    return Accelerator(match[1], count)


def _parse_labels(value: object) -> Mapping[str, str]:
    """Return Compute Engine's labels from `key=value,key=value`, or from a mapping."""
    pairs = key_values(value)
    if len(pairs) > _MAX_LABELS:
        raise InvalidValue(f"at most {_MAX_LABELS} labels")
    return dict(parse_each(pairs, _label))


def _label(pair: object) -> tuple[str, str]:
    key, content = pair if isinstance(pair, tuple) else ("", pair)
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", key):
        raise InvalidValue(
            "expected a label's key of at most 63 small letters, digits, _ and -, a letter first", key
        )
    if key.startswith(_RESERVED_LABELS):
        raise InvalidValue(
            f"label keys that begin with {_RESERVED_LABELS} are this tool's own; choose another", key
        )
    content = (
        str(content) if isinstance(content, int) else content
    )  # True has a capital letter, and is refused
    if not isinstance(content, str) or not re.fullmatch(r"[a-z0-9_-]{0,63}", content):
        raise InvalidValue(
            "expected a label's value of at most 63 small letters, digits, _ and -", f"{key}={content}"
        )
    return key, content


def region_in(subnetwork_address: str) -> str | None:
    """Return the region that a subnetwork's address names, or None for a bare name."""
    match = re.search(rf"regions/({REGION})/", subnetwork_address)
    return match[1] if match else None


def _write_accelerator(value: Accelerator) -> str:
    return f"{value.type}:{value.count}"


gcs_location = ValueType(_parse_gcs_location, TEXT, GcsLocation.url)
output = ValueType(_parse_output, TEXT)
accelerator = ValueType(_parse_accelerator, TEXT, _write_accelerator)
labels = ValueType(_parse_labels, PAIRS, dict)
