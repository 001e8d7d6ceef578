"""Reads the names that Google Cloud's resources may have, so that a wrong one is found before the first call.

The rules are those that the APIs' own documentation gives for each resource; existence is for the APIs to tell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from builder.model import Accelerator, GcsLocation
from builder.options.values import Unfit, key_values, matching, parse_each, text

RESOURCE = r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?"  # Compute Engine's names: RFC 1035, 63 characters
REGION = r"[a-z]{2,20}-[a-z]{2,20}[0-9]{1,2}"
PROJECT = r"(?:[a-z0-9.-]{1,63}:)?[a-z][-a-z0-9]{4,28}[a-z0-9]"
_API = r"(?:https://[a-z0-9.-]+/compute/v1/)?"
_RESERVED_LABELS = "nb-"
_MOST_LABELS = 59  # 64 per resource, five of them ours
_LONGEST_PREFIX = 200
_SHORTEST_BUCKET, _LONGEST_BUCKET, _LONGEST_DOTTED_BUCKET = 3, 63, 222

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
service_account = matching(
    r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?@(?:[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?\.){1,5}gserviceaccount\.com",
    "expected a service account's address, such as notebook-vm@my-project.iam.gserviceaccount.com",
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
    r"[a-z0-9][-a-z0-9]*-docker\.pkg\.dev/[a-z0-9.:-]+/[a-z0-9-]+/[a-z0-9._/-]+?(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})",
    "expected an image of Artifact Registry with its tag or digest, LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE:TAG",
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


def gcs_location(value: object) -> GcsLocation:
    """`gs://bucket/prefix`; a slash at the end is taken off."""
    expected = "expected gs://BUCKET/PREFIX"
    address = text(value)
    if not address.startswith("gs://"):
        raise Unfit(expected)
    bucket, _, prefix = address.removeprefix("gs://").partition("/")
    prefix = prefix.removesuffix("/")
    if not _is_bucket(bucket):
        raise Unfit(
            f"{expected}; a bucket's name is 3 to 63 small letters, digits, dashes, underscores and dots"
        )
    if len(prefix) > _LONGEST_PREFIX:
        raise Unfit(f"{expected} with at most {_LONGEST_PREFIX} characters in PREFIX")
    if prefix and not all(re.fullmatch(_PREFIX_PART, part) for part in prefix.split("/")):
        raise Unfit(f"{expected}; PREFIX is names of letters, digits and ._=+@~- with one / between them")
    return GcsLocation(bucket, prefix)


def _is_bucket(name: str) -> bool:
    longest = _LONGEST_DOTTED_BUCKET if "." in name else _LONGEST_BUCKET
    return (
        _SHORTEST_BUCKET <= len(name) <= longest
        and re.fullmatch(_BUCKET, name) is not None
        and not re.fullmatch(r"[0-9]+(?:\.[0-9]+){3}", name)
        and not name.startswith("goog")
        and "google" not in name
    )


def output(value: object) -> str:
    """Return where the jobs' folders go below the location: `results/<run>`, or a folder below it.

    Other folders hold what other runs have published. No option names them, so no change of a repository replaces it.
    """
    path = text(value).removesuffix("/")
    if not re.fullmatch(_OUTPUT, path):
        raise Unfit(
            "expected results/<run> or a folder below it, such as results/<run>/figures; <run> stands for this run's id, and "
            "versions/ is for scheduled runs alone"
        )
    return path


def accelerator(value: object) -> Accelerator:
    """`type:count`; a bare type means one."""
    match = re.fullmatch(r"([a-z][a-z0-9]*(?:-[a-z0-9]+)+)(?::([0-9]{1,2}))?", text(value))
    count = int(match[2] or 1) if match else 0
    if match is None or count not in {1, 2, 4, 8}:
        raise Unfit("expected TYPE:COUNT with a count of 1, 2, 4 or 8, such as nvidia-tesla-t4:1")
    return Accelerator(match[1], count)


def labels(value: object) -> Mapping[str, str]:
    """Labels of Compute Engine: `key=value,key=value`, or a mapping in YAML."""
    pairs = key_values(value)
    if len(pairs) > _MOST_LABELS:
        raise Unfit(f"at most {_MOST_LABELS} labels")
    return dict(parse_each(pairs, _label))


def _label(pair: object) -> tuple[str, str]:
    key, content = pair if isinstance(pair, tuple) else ("", pair)
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", key):
        raise Unfit(
            "expected a label's key of at most 63 small letters, digits, _ and -, a letter first", key
        )
    if key.startswith(_RESERVED_LABELS):
        raise Unfit(f"label keys that begin with {_RESERVED_LABELS} are this tool's own; choose another", key)
    content = str(content) if isinstance(content, int) and not isinstance(content, bool) else content
    if not isinstance(content, str) or not re.fullmatch(r"[a-z0-9_-]{0,63}", content):
        raise Unfit(
            "expected a label's value of at most 63 small letters, digits, _ and -", f"{key}={content}"
        )
    return key, content


def region_in(subnetwork_address: str) -> str | None:
    """The region that a subnetwork's address names; None for a bare name."""
    match = re.search(rf"regions/({REGION})/", subnetwork_address)
    return match[1] if match else None
